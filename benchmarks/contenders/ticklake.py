"""Ticklake itself, through its public face."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

import ticklake
from benchmarks.contenders.base import SYMBOL, Cannot, Contender, folder_size
from ticklake.app import RESERVE_FILE

TRADES = f"binance:trades:{SYMBOL}"


def _bars(symbol: str) -> str:
    return f"binance:ohlcv:1m:{symbol}"


class Ticklake(Contender):
    """Small batches go into the SQLite catalog, large ones into Parquet files."""

    name = "ticklake"
    packages = ("ticklake", "polars", "pyarrow", "sqlalchemy")
    durability = "1 fdatasync an append; fsync of every file and its folder"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.lake = ticklake.open(folder)

    def close(self) -> None:
        self.lake.close()

    def append_bars(self, rows: Any, symbol: str = SYMBOL) -> None:
        self.lake.save(_bars(symbol), rows)

    def append_group(self, items: Sequence[tuple[str, Any]]) -> None:
        save_all = getattr(self.lake, "save_all", None)
        if save_all is None:
            super().append_group(items)
        else:
            save_all([(_bars(symbol), rows) for symbol, rows in items])

    def append_trades(self, rows: Any) -> None:
        self.lake.save(TRADES, rows)

    def compact(self) -> None:
        self.lake.compact()

    def correct_bar(self, rows: Any) -> None:
        receipt = self.lake.save(_bars(SYMBOL), rows)
        assert receipt.changed == 1, receipt

    def read_bars(self, start: int | None = None, end: int | None = None) -> pl.DataFrame:
        return self.lake.load(_bars(SYMBOL), start, end)

    def read_trades(self, start: int, end: int) -> pl.DataFrame:
        return self.lake.load(TRADES, start, end)

    def latest_trades(self, count: int) -> pl.DataFrame:
        return self.lake.load(TRADES, last=count)

    def last_bar(self) -> int:
        newest = self.lake.last_timestamp(_bars(SYMBOL))
        assert newest is not None
        return newest

    def inventory(self) -> pl.DataFrame:
        return self.lake.inventory()

    def resample(self, start: int, end: int) -> Any:
        resample = getattr(self.lake, "resample", None)
        if resample is None:
            raise Cannot("Lake.resample does not exist yet")
        bars = resample(TRADES, "1m", start, end)
        return bars.collect() if isinstance(bars, pl.LazyFrame) else bars

    def size(self) -> int:
        """Return live files and catalog: what was replaced is vacuumed first.

        Without the reserve: a lake keeps 512 KiB empty for a full disk, however many rows it has.
        """
        self.lake.vacuum(0)
        self.close()
        (self.folder / RESERVE_FILE).unlink(missing_ok=True)
        return folder_size(self.folder)
