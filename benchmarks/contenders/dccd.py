"""dccd: its Parquet store, fed with its records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
from dccd.domain.dataset import DatasetId
from dccd.domain.records import OHLCBar, Trade
from dccd.domain.symbol import Symbol
from dccd.domain.types import DataType
from dccd.storage.parquet import ParquetStore

from benchmarks.contenders.base import SYMBOL, Contender


class Dccd(Contender):
    """A file a year for bars and a file a day for trades, rewritten whole by every save.

    Its store takes lists of pydantic records only; they are made outside the timing.
    """

    name = "dccd"
    packages = ("dccd", "polars")
    durability = "nothing: it renames a file that was never synced"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._store = ParquetStore(folder)
        self._trades = DatasetId(exchange="binance", symbol=Symbol.parse(SYMBOL), data_type=DataType.TRADES)

    def bars(self, frame: pl.DataFrame, symbol: str = SYMBOL) -> list[OHLCBar]:
        del symbol
        names = ("ts", "open", "high", "low", "close", "volume", "quote_volume", "trades")
        return [OHLCBar(**row) for row in _rows(frame.select(names))]

    def trades(self, frame: pl.DataFrame) -> list[Trade]:
        return [Trade(**row) for row in _rows(frame.rename({"id": "tid"}))]

    def append_bars(self, rows: Any, symbol: str = SYMBOL) -> None:
        self._store.save(_bars(symbol), rows)

    def append_trades(self, rows: Any) -> None:
        self._store.save(self._trades, rows)

    def correct_bar(self, rows: Any) -> None:
        self._store.save(_bars(SYMBOL), rows)

    def read_bars(self, start: int | None = None, end: int | None = None) -> pl.DataFrame:
        found: pl.DataFrame = self._store.load(_bars(SYMBOL), start, None if end is None else end - 1)
        return found

    def read_trades(self, start: int, end: int) -> pl.DataFrame:
        found: pl.DataFrame = self._store.load(self._trades, start, end - 1)
        return found

    def latest_trades(self, count: int) -> pl.DataFrame:
        """Read everything: it has no other way to the end."""
        found: pl.DataFrame = self._store.load(self._trades)
        return found.tail(count)

    def last_bar(self) -> int:
        newest: int | None = self._store.last_timestamp(_bars(SYMBOL))
        assert newest is not None
        return newest

    def inventory(self) -> list[dict[str, Any]]:
        """What it found before is cached by time of modification, as in its daemon."""
        found: list[dict[str, Any]] = self._store.inventory()
        return found


def _bars(symbol: str) -> DatasetId:
    return DatasetId(exchange="binance", symbol=Symbol.parse(symbol), data_type=DataType.OHLC, span=60)


def _rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    return frame.with_columns(pl.col("ts").to_physical()).to_dicts()
