"""What a lake answers: rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.span import ALL_TIME, Span
from ticklake.core.time import TimeLike, parse_time
from ticklake.core.timeframe import Timeframe
from ticklake.lake.base import Base, DatasetLike

if TYPE_CHECKING:
    from ticklake.core.adjust import Adjust

__all__ = ["Reading"]


class Reading(Base):
    """The verbs that read; frames are Polars frames sorted by ``ts``."""

    def load(
        self,
        dataset: DatasetLike,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        columns: Sequence[str] | None = None,
        last: int | None = None,
        provenance: bool = False,
    ) -> pl.DataFrame:
        """Return the rows of a dataset in ``[start, end)``; the newest *last* ones if given.

        An unknown dataset is an empty frame. With *provenance*, a column says where each row came from.
        """
        return self.engine.load(
            Dataset.parse(dataset),
            Span.parse(start, end),
            columns=columns,
            last=last,
            version=self._version,
            provenance=provenance,
        )

    def scan(
        self,
        dataset: DatasetLike,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        provenance: bool = False,
    ) -> pl.LazyFrame:
        """Return the same rows as a lazy frame, pinned to the version of now."""
        span = Span.parse(start, end)
        return self.engine.scan(Dataset.parse(dataset), span, version=self._version, provenance=provenance)

    def ohlcv(
        self,
        exchange: str,
        symbol: str,
        timeframe: str,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        adjust: Adjust | None = None,
    ) -> pl.DataFrame:
        """Return bars: ``ts`` (open time), open, high, low, close, volume, quote_volume, trades.

        Stored prices are raw. With *adjust* they are returned as they look after the newest event that the lake holds:
        ``splits`` divides prices before a split by its ratio and multiplies volumes; ``all`` also multiplies prices
        before a dividend by ``1 - dividend / close of the session before``. The formula is CRSP's
        (:mod:`ticklake.core.adjust`).

        Raises
        ------
        BadInput
            If the symbol's splits or dividends were never brought in.
        """
        dataset = Dataset.of(exchange, symbol, "ohlcv", timeframe)
        if adjust is None:
            return self.load(dataset, start, end)
        return self.engine.load_adjusted(dataset, Span.parse(start, end), adjust, version=self._version)

    def trades(
        self, exchange: str, symbol: str, start: TimeLike | None = None, end: TimeLike | None = None
    ) -> pl.DataFrame:
        """Return trades: ``ts``, received_at, id, price, amount, side (the taker's)."""
        return self.load(Dataset.of(exchange, symbol, "trades"), start, end)

    def funding(
        self, exchange: str, symbol: str, start: TimeLike | None = None, end: TimeLike | None = None
    ) -> pl.DataFrame:
        """Return settled funding rates: ``ts``, rate, predicted_rate, next_ts, mark_price, interval."""
        return self.load(Dataset.of(exchange, symbol, "funding"), start, end)

    def resample(
        self,
        dataset: DatasetLike,
        timeframe: str | Timeframe,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
    ) -> pl.DataFrame:
        """Return bars made from trades or from shorter bars: columns of kind ``ohlcv``, none where there were no rows.

        A bar that *start* or *end* cuts through is made of the rows inside. Rows are streamed: memory does not grow
        with them.

        Raises
        ------
        Unsupported
            If the dataset holds neither trades nor bars of which *timeframe* is a whole multiple.
        """
        span, frame = Span.parse(start, end), Timeframe.parse(timeframe)
        return self.engine.resample(Dataset.parse(dataset), frame, span, version=self._version)

    def book(self, exchange: str, symbol: str, at: TimeLike | None = None, depth: int | None = None) -> pl.DataFrame:
        """Return the newest snapshot of the order book at or before *at* (now): best prices first.

        Columns are those of kind ``book``; *depth* keeps that many levels a side. Empty if there is none.
        """
        dataset = Dataset.of(exchange, symbol, "book")
        until = ALL_TIME.end if at is None else parse_time(at) + 1
        snapshots = self.scan(dataset, None, _moment(until)).filter("is_snapshot")
        newest = snapshots.select(pl.struct("ts", "seq").last()).collect().to_series()
        if not newest.len() or newest[0]["ts"] is None:
            return dataset.spec.empty().select(dataset.spec.names)
        rows = snapshots.filter(ts=newest[0]["ts"], seq=newest[0]["seq"]).collect()
        bids = rows.filter(side="bid").sort("price", descending=True)
        asks = rows.filter(side="ask").sort("price")
        return pl.concat([side if depth is None else side.head(depth) for side in (bids, asks)])


def _moment(ns: int) -> int | None:
    return None if ns == ALL_TIME.end else ns
