"""The limit: Polars and PyArrow on one ideal file, with no catalog, no checks and no history."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from benchmarks.contenders.base import SYMBOL, Cannot, Contender


class Limit(Contender):
    """Every write is one Parquet file of Polars' defaults and one fsync; every read knows which file."""

    name = "limit"
    packages = ("polars", "pyarrow")
    durability = "1 fsync of the file"
    one_file = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._bars = folder / "bars.parquet"
        self._trades = folder / "trades.parquet"
        self._written = 0

    def append_bars(self, rows: Any, symbol: str = SYMBOL) -> None:
        """Write the new rows beside the others: less than any store must do to find them again."""
        if symbol == SYMBOL and not self._bars.exists():
            _write(self._bars, rows)
        else:
            self._written += 1
            _write(self.folder / f"more-{self._written}.parquet", rows)

    def append_group(self, items: Sequence[tuple[str, Any]]) -> None:
        """Write everything that is new as one file."""
        self._written += 1
        named = [rows.with_columns(symbol=pl.lit(symbol)) for symbol, rows in items]
        _write(self.folder / f"more-{self._written}.parquet", pl.concat(named))

    def append_trades(self, rows: Any) -> None:
        raise Cannot("one file does not take batches")

    def load_trades(self, rows: Any) -> None:
        _write(self._trades, rows)

    def correct_bar(self, rows: Any) -> None:
        raise Cannot("a file is written whole")

    def read_bars(self, start: int | None = None, end: int | None = None) -> pl.DataFrame:
        if start is None or end is None:
            return pl.read_parquet(self._bars)
        return pl.scan_parquet(self._bars).filter(_inside(start, end)).collect()

    def read_trades(self, start: int, end: int) -> pl.DataFrame:
        return pl.scan_parquet(self._trades).filter(_inside(start, end)).collect()

    def last_bar(self) -> int:
        metadata = pq.read_metadata(self._bars)
        return int(metadata.row_group(metadata.num_row_groups - 1).column(0).statistics.max_raw)

    def resample(self, start: int, end: int) -> pl.DataFrame:
        trades = pl.scan_parquet(self._trades).filter(_inside(start, end))
        price, amount = pl.col("price"), pl.col("amount")
        return (
            trades.group_by_dynamic("ts", every="1m")
            .agg(
                open=price.first(),
                high=price.max(),
                low=price.min(),
                close=price.last(),
                volume=amount.sum(),
                quote_volume=(price * amount).sum(),
                trades=pl.len(),
            )
            .collect()
        )


def _inside(start: int, end: int) -> pl.Expr:
    ts = pl.col("ts")
    return (ts >= pl.lit(start).cast(pl.Datetime("ns", "UTC"))) & (ts < pl.lit(end).cast(pl.Datetime("ns", "UTC")))


def _write(path: Path, frame: pl.DataFrame) -> None:
    with path.open("wb") as file:
        frame.write_parquet(file)
        file.flush()
        os.fsync(file.fileno())
