"""Delta Lake through delta-rs: a table a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake

from benchmarks.contenders.base import SYMBOL, Contender


class Delta(Contender):
    """Arrow in and out. Its times are microseconds: nothing of this data is lost, nanoseconds would be."""

    name = "delta"
    packages = ("deltalake", "pyarrow")
    durability = "nothing: it never syncs"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._trades = str(folder / "trades")

    def bars(self, frame: pl.DataFrame, symbol: str = SYMBOL) -> Any:
        del symbol
        return _micros(frame)

    def trades(self, frame: pl.DataFrame) -> Any:
        return _micros(frame)

    def append_bars(self, rows: Any, symbol: str = SYMBOL) -> None:
        write_deltalake(self._bars(symbol), rows, mode="append")

    def append_trades(self, rows: Any) -> None:
        """Insert what is not there yet; the range of time lets it skip files."""
        if not DeltaTable.is_deltatable(self._trades):
            self.load_trades(rows)
            return
        first = pc.min(rows["ts"]).cast("int64").as_py()
        _merge(
            self._trades, rows, f"t.ts >= to_timestamp_micros({first}) AND t.ts = s.ts AND t.id = s.id", update=False
        )

    def load_trades(self, rows: Any) -> None:
        write_deltalake(self._trades, rows, mode="append")

    def compact(self) -> None:
        for path in self.folder.iterdir():
            table = DeltaTable(str(path))
            table.optimize.compact()
            table.vacuum(0, dry_run=False, enforce_retention_duration=False)

    def correct_bar(self, rows: Any) -> None:
        _merge(self._bars(SYMBOL), rows, "t.ts = s.ts", update=True)

    def read_bars(self, start: int | None = None, end: int | None = None) -> Any:
        return _read(self._bars(SYMBOL), start, end)

    def read_trades(self, start: int, end: int) -> Any:
        return _read(self._trades, start, end)

    def last_bar(self) -> int:
        """Read it from the statistics in the log."""
        actions = pl.DataFrame(DeltaTable(self._bars(SYMBOL)).get_add_actions(flatten=True))
        return int(actions["max.ts"].dt.epoch("ns").max())  # type: ignore[arg-type]

    def _bars(self, symbol: str) -> str:
        return str(self.folder / symbol.replace("/", "-"))


def _read(path: str, start: int | None, end: int | None) -> Any:
    dataset = DeltaTable(path).to_pyarrow_dataset()
    if start is None or end is None:
        return dataset.to_table().sort_by("ts")
    ts = pc.field("ts")
    low, high = (pl.Series([ns // 1000]).cast(pl.Datetime("us", "UTC")).to_arrow()[0] for ns in (start, end))
    return dataset.to_table(filter=(ts >= low) & (ts < high)).sort_by("ts")


def _merge(path: str, rows: Any, predicate: str, *, update: bool) -> None:
    merger = DeltaTable(path).merge(rows, predicate, source_alias="s", target_alias="t")
    if update:
        merger = merger.when_matched_update_all()
    merger.when_not_matched_insert_all().execute()


def _micros(frame: pl.DataFrame) -> Any:
    return frame.with_columns(pl.col("ts").dt.cast_time_unit("us")).to_arrow()
