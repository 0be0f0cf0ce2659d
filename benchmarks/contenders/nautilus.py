"""NautilusTrader: its Parquet catalog, fed with its objects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
from nautilus_trader.model.data import Bar, BarType, TradeTick
from nautilus_trader.model.enums import AggressorSide
from nautilus_trader.model.identifiers import InstrumentId, TradeId
from nautilus_trader.model.objects import Price, Quantity
from nautilus_trader.persistence.catalog import ParquetDataCatalog

from benchmarks.contenders.base import SYMBOL, Contender

INSTRUMENT = InstrumentId.from_str("BTCUSDT.BINANCE")
SIDES = {"buy": AggressorSide.BUYER, "sell": AggressorSide.SELLER}


class Nautilus(Contender):
    """A new file a write; a query returns a list of objects, which is what a backtest takes.

    Objects are made outside the timing when they are written. A bar has no quote volume and no count of trades.
    Batches may not overlap: it refuses intervals that are not disjoint.
    """

    name = "nautilus"
    packages = ("nautilus_trader", "pyarrow")
    durability = "nothing: it never syncs"
    dedupes = False

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._catalog = ParquetDataCatalog(str(folder.resolve()))

    def bars(self, frame: pl.DataFrame, symbol: str = SYMBOL) -> list[Bar]:
        kind = _bar_type(symbol)
        rows = _physical(frame).select("ts", "open", "high", "low", "close", "volume").iter_rows()
        return [
            Bar(kind, Price(o, 2), Price(h, 2), Price(low, 2), Price(c, 2), Quantity(v, 8), ts, ts)
            for ts, o, h, low, c, v in rows
        ]

    def trades(self, frame: pl.DataFrame) -> list[TradeTick]:
        rows = _physical(frame).select("ts", "price", "amount", "side", "id").iter_rows()
        return [
            TradeTick(INSTRUMENT, Price(price, 2), Quantity(amount, 5), SIDES[side], TradeId(name), ts, ts)
            for ts, price, amount, side, name in rows
        ]

    def append_bars(self, rows: Any, symbol: str = SYMBOL) -> None:
        del symbol
        self._catalog.write_data(rows)

    def append_group(self, items: Sequence[tuple[str, Any]]) -> None:
        self._catalog.write_data([row for _, rows in items for row in rows])

    def append_trades(self, rows: Any) -> None:
        """Write a file; two batches may meet in one instant, so its check of intervals is skipped."""
        self._catalog.write_data(rows, skip_disjoint_check=True)

    def compact(self) -> None:
        for kind in (Bar, TradeTick):
            self._catalog.consolidate_data(kind, ensure_contiguous_files=False)

    def read_bars(self, start: int | None = None, end: int | None = None) -> list[Bar]:
        until = None if end is None else end - 1
        return self._catalog.query(Bar, identifiers=[str(_bar_type(SYMBOL))], start=start, end=until)

    def read_trades(self, start: int, end: int) -> list[TradeTick]:
        return self._catalog.query(TradeTick, identifiers=[str(INSTRUMENT)], start=start, end=end - 1)

    def last_bar(self) -> int:
        """Read it from the names of the files."""
        newest = self._catalog.query_last_timestamp(Bar, str(_bar_type(SYMBOL)))
        assert newest is not None
        return int(newest.value)


def _bar_type(symbol: str) -> BarType:
    return BarType.from_str(f"{symbol.replace('/', '')}.BINANCE-1-MINUTE-LAST-EXTERNAL")


def _physical(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col("ts").to_physical())
