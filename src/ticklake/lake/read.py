"""What a lake answers: rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.kinds import kind_of
from ticklake.core.selection import parse_columns, parse_count
from ticklake.core.span import Span
from ticklake.core.time import TimeLike, parse_time
from ticklake.core.timeframe import Timeframe
from ticklake.lake.base import DatasetLike, View
from ticklake.query.adjust import load_adjusted

if TYPE_CHECKING:
    from ticklake.core.adjust import Adjust
    from ticklake.core.book import Book

__all__ = ["Columns", "Reading"]

Columns = str | Sequence[str]


class Reading(View):
    """The verbs that read; frames are Polars frames sorted by ``ts``.

    All of them take *columns* (one name, or several; all by default) and *last* (only so many of the newest rows). A dataset
    that the lake does not have is an error; a frame is empty only where a dataset has no rows.
    """

    def load(
        self,
        dataset: DatasetLike,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        columns: Columns | None = None,
        last: int | None = None,
        provenance: bool = False,
    ) -> pl.DataFrame:
        """Return the rows of a dataset in ``[start, end)``; the newest *last* ones if given.

        With *provenance*, a column says where each row came from.

        Raises
        ------
        UnknownDataset
            If the lake has no such dataset.
        InvalidData
            If a column is not one of the kind's, or none is named.
        """
        known, span = self._known(dataset), Span.parse(start, end)
        return self.engine.load(known, span, columns=columns, last=last, provenance=provenance)

    def scan(
        self,
        dataset: DatasetLike,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        columns: Columns | None = None,
        last: int | None = None,
        provenance: bool = False,
    ) -> pl.LazyFrame:
        """Return the same rows as a lazy frame, pinned to the version of now."""
        known, span = self._known(dataset), Span.parse(start, end)
        names = parse_columns(known.spec, columns)
        rows = self.engine.scan(known, span, provenance=provenance)
        if last is not None:
            rows = rows.tail(parse_count("last", last))
        return rows if names is None else rows.select(names)

    def ohlcv(
        self,
        exchange: str,
        symbol: str,
        timeframe: str | Timeframe,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        adjust: Adjust | None = None,
        columns: Columns | None = None,
        last: int | None = None,
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
            return self.load(dataset, start, end, columns=columns, last=last)
        known, zone = self._known(dataset), self.engine.sessions.zone(dataset.exchange)
        rows = load_adjusted(self.engine.store, known, Span.parse(start, end), adjust, zone)
        return _narrowed(rows, "ohlcv", columns, last)

    def trades(
        self,
        exchange: str,
        symbol: str,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        columns: Columns | None = None,
        last: int | None = None,
    ) -> pl.DataFrame:
        """Return trades: ``ts``, received_at, id, price, amount, side (the taker's)."""
        return self.load(Dataset.of(exchange, symbol, "trades"), start, end, columns=columns, last=last)

    def funding(
        self,
        exchange: str,
        symbol: str,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        columns: Columns | None = None,
        last: int | None = None,
    ) -> pl.DataFrame:
        """Return settled funding rates: ``ts``, rate, predicted_rate, next_ts, mark_price, interval."""
        return self.load(Dataset.of(exchange, symbol, "funding"), start, end, columns=columns, last=last)

    def resample(
        self,
        dataset: DatasetLike,
        timeframe: str | Timeframe,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        columns: Columns | None = None,
        last: int | None = None,
    ) -> pl.DataFrame:
        """Return bars made from trades or from shorter bars: columns of kind ``ohlcv``, none where there were no rows.

        A bar that *start* or *end* cuts through is made of the rows inside. Rows are streamed: memory does not grow
        with them.

        Raises
        ------
        UnknownDataset
            If the lake has no such dataset.
        Unsupported
            If the dataset holds neither trades nor bars of which *timeframe* is a whole multiple.
        """
        from ticklake.query.resample import resample

        known, frame = self._known(dataset), Timeframe.parse(timeframe)
        return _narrowed(resample(self.engine.store, known, Span.parse(start, end), frame), "ohlcv", columns, last)

    def book(
        self,
        exchange: str,
        symbol: str,
        at: TimeLike | None = None,
        depth: int | None = None,
        *,
        columns: Columns | None = None,
    ) -> Book:
        """Return the newest snapshot of the order book at or before *at* (now): bids, then asks, best prices first.

        Parameters
        ----------
        depth
            Keep that many levels a side.

        Returns
        -------
        Book
            A frame with the columns of kind ``book``. Where there is no snapshot it is empty, and its ``reason`` says why.
        """
        from ticklake.query.book import book_at

        dataset = self._known(Dataset.of(exchange, symbol, "book"))
        names = parse_columns(dataset.spec, columns)
        levels = None if depth is None else parse_count("depth", depth, 1)
        return book_at(self.engine, dataset, None if at is None else parse_time(at), levels, names)


def _narrowed(rows: pl.DataFrame, kind: str, columns: Columns | None, last: int | None) -> pl.DataFrame:
    names = parse_columns(kind_of(kind), columns)
    newest = rows if last is None else rows.tail(parse_count("last", last))
    return newest if names is None else newest.select(names)
