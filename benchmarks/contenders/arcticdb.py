"""ArcticDB on LMDB: its usual local store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
from arcticdb import Arctic, OutputFormat, QueryBuilder, WritePayload

from benchmarks.contenders.base import SYMBOL, Contender


class ArcticDB(Contender):
    """Pandas frames indexed by time go in, the only form it takes; Polars comes out, the fastest it gives.

    It does not dedupe: ``append`` takes rows at or after the last time only, and keeps equal rows twice.
    """

    name = "arcticdb"
    packages = ("arcticdb", "pandas")
    durability = "4 fdatasyncs an append"
    dedupes = False

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._store = Arctic(f"lmdb://{folder}?map_size=64GB", output_format=OutputFormat.POLARS)
        self._bars = self._store.get_library("bars", create_if_missing=True)
        self._trades = self._store.get_library("trades", create_if_missing=True)
        self._pieces = 0

    def close(self) -> None:
        self._bars = self._trades = self._store = None

    def bars(self, frame: pl.DataFrame, symbol: str = SYMBOL) -> pd.DataFrame:
        del symbol
        return _indexed(frame)

    def trades(self, frame: pl.DataFrame) -> pd.DataFrame:
        return _indexed(frame)

    def append_bars(self, rows: Any, symbol: str = SYMBOL) -> None:
        self._bars.append(symbol, rows)

    def append_group(self, items: Sequence[tuple[str, Any]]) -> None:
        self._bars.append_batch([WritePayload(symbol, rows) for symbol, rows in items])

    def append_trades(self, rows: Any) -> None:
        self._trades.append(SYMBOL, rows)
        self._pieces += 1

    def compact(self) -> None:
        """Merge the pieces that appending trades left. What was written at once lies well already.

        The symbol is not looked up: the first ``list_symbols`` of a library takes a second.
        """
        if self._pieces > 1:
            self._trades.compact_data(SYMBOL, prune_previous_versions=True)

    def correct_bar(self, rows: Any) -> None:
        self._bars.update(SYMBOL, rows)

    def read_bars(self, start: int | None = None, end: int | None = None) -> pl.DataFrame:
        wanted = None if start is None or end is None else (pd.Timestamp(start), pd.Timestamp(end - 1))
        found: pl.DataFrame = self._bars.read(SYMBOL, date_range=wanted).data
        return found

    def read_trades(self, start: int, end: int) -> pl.DataFrame:
        wanted = (pd.Timestamp(start), pd.Timestamp(end - 1))
        found: pl.DataFrame = self._trades.read(SYMBOL, date_range=wanted).data
        return found

    def latest_trades(self, count: int) -> pl.DataFrame:
        found: pl.DataFrame = self._trades.tail(SYMBOL, count).data
        return found

    def last_bar(self) -> int:
        return int(self._bars.get_description(SYMBOL).date_range[1].value)

    def inventory(self) -> list[Any]:
        """Ask for the description of every symbol: rows and range of dates."""
        found: list[Any] = self._bars.get_description_batch(self._bars.list_symbols())
        return found

    def resample(self, start: int, end: int) -> pl.DataFrame:
        """Aggregate inside the store; the quote volume needs a product, which it projects first."""
        query = QueryBuilder().date_range((pd.Timestamp(start), pd.Timestamp(end - 1)))
        query = query.apply("quote", query["price"] * query["amount"])
        query = query.resample("1min").agg(
            {
                "open": ("price", "first"),
                "high": ("price", "max"),
                "low": ("price", "min"),
                "close": ("price", "last"),
                "volume": ("amount", "sum"),
                "quote_volume": ("quote", "sum"),
                "trades": ("price", "count"),
            }
        )
        found: pl.DataFrame = self._trades.read(SYMBOL, query_builder=query).data
        return found


def _indexed(frame: pl.DataFrame) -> pd.DataFrame:
    naive = frame.with_columns(pl.col("ts").dt.replace_time_zone(None))
    return naive.to_pandas().set_index("ts")
