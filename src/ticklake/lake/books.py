"""Order books: as they were at an instant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.duration import DurationLike, parse_length
from ticklake.core.knowledge import Knowledge, parse_knowledge
from ticklake.core.selection import parse_columns, parse_count
from ticklake.core.span import Span
from ticklake.core.time import SECOND, TimeLike
from ticklake.errors import BadInput
from ticklake.lake.arguments import Columns, as_list, known_dataset, optional_count, optional_time, span_of_interest
from ticklake.lake.reading import Reading

if TYPE_CHECKING:
    from ticklake.core.book import Book

__all__ = ["BookVerbs"]

_EVERY = "1s"
_WIDEST = 1_000
"""A wide table has four columns for each level."""
_WINDOWS = ("1s", "5s", "15s", "60s")


class BookVerbs(Reading):
    """The methods that answer with order books."""

    def book(
        self,
        exchange: str,
        symbol: str,
        at: TimeLike | None = None,
        depth: int | None = None,
        knowledge: Knowledge = "default",
        *,
        columns: Columns | None = None,
    ) -> Book:
        """Return the order book as it was at *at* (now): bids, then asks, best prices first.

        It is the newest snapshot at or before *at* with every change after it up to *at*, that instant included.

        Parameters
        ----------
        depth
            Keep that many levels a side.
        knowledge
            Which rows count, as in :mod:`ticklake.core.knowledge`: by default those that were known at *at*. With ``"event"``, all that
            happened until then, whenever they were received.

        Returns
        -------
        Book
            A frame with the columns of kind ``book``: each level has the row that set it. Where there is no snapshot it is empty, and its
            ``reason`` says why. ``proof`` says whether it is known to be whole, ``flags`` what is wrong with it.
        """
        from ticklake.query.book import book_at

        dataset = known_dataset(self.engine, Dataset.of(exchange, symbol, "book"))
        names = parse_columns(dataset.spec, columns)
        return book_at(
            self.engine,
            dataset,
            optional_time(at),
            optional_count("depth", depth, 1),
            names,
            parse_knowledge(knowledge),
            self.engine.lags,
        )

    def books(
        self,
        exchange: str,
        symbol: str,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        every: DurationLike | None = _EVERY,
        depth: int | None = 10,
        *,
        wide: bool = False,
        bucket: float | None = None,
        knowledge: Knowledge = "default",
    ) -> pl.LazyFrame:
        """Return the order books in ``[start, end)`` as a lazy frame: memory does not grow with them.

        Parameters
        ----------
        every
            A book at *start* and every so long after it. With ``None`` there is one after each message of the exchange, in its order and with
            its number ``seq``, whenever it was received.
        depth
            The best levels of each side; ``None`` for all.
        wide
            A row for each book, with ``bid_price_1``, ``bid_amount_1``, ``ask_price_1``, ``ask_amount_1``, ``bid_price_2``, ...: null where
            there is no level.
        bucket
            Sum up the levels whose prices lie in one range of this width; bids are rounded down, asks up. *depth* counts levels before that.

        Returns
        -------
        polars.LazyFrame
            ``ts``, ``side``, ``level`` (1 is the best), ``price``, ``amount``: a row for each level, none where there is no book.
        """
        from ticklake.query.book_series import scan_books

        dataset, span = self._series(exchange, symbol, start, end)
        count = optional_count("depth", depth, 1)
        if wide and (count is None or bucket is not None):
            raise BadInput(f"wide=True needs a depth and no bucket, not depth={depth!r} and bucket={bucket!r}")
        if wide and count is not None and count > _WIDEST:
            raise BadInput(f"depth={count:,} is too much for a wide table: pass at most {_WIDEST:,}, or wide=False")
        step = None
        if every is not None:
            step = _positive("every", every)
        width = None
        if bucket is not None:
            width = _width(bucket)
        known, lags = parse_knowledge(knowledge), self.engine.lags
        return scan_books(self.engine, dataset, span, step, count, wide=wide, bucket=width, knowledge=known, lags=lags)

    def book_stats(
        self,
        exchange: str,
        symbol: str,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        every: DurationLike = _EVERY,
        depths: Iterable[int] = (1, 5, 10),
        *,
        knowledge: Knowledge = "default",
    ) -> pl.LazyFrame:
        """Return figures of the order books in ``[start, end)`` as a lazy frame: a row at *start* and *every* so long after it.

        Returns
        -------
        polars.LazyFrame
            ``ts``; ``bid_price``, ``bid_amount``, ``ask_price``, ``ask_amount`` of the best levels; ``spread``, ``mid``, ``microprice``;
            for each of *depths* ``bid_amount_5``, ``ask_amount_5`` and ``imbalance_5``, (bid - ask) / (bid + ask); ``order_flow``, what came
            to the best bid less what came to the best ask since the row before. Null where there is no book.
        """
        from ticklake.query.book_stats import scan_stats

        dataset, span = self._series(exchange, symbol, start, end)
        counts = [parse_count("depths", depth, 1) for depth in as_list("depths", depths)]
        if not counts:
            raise BadInput("depths is empty: name at least one number of levels, like 5")
        return scan_stats(
            self.engine,
            dataset,
            span,
            _positive("every", every),
            counts,
            parse_knowledge(knowledge),
            self.engine.lags,
        )

    def imbalances(
        self,
        exchange: str,
        symbol: str,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        every: DurationLike = _EVERY,
        windows: Iterable[DurationLike] = _WINDOWS,
        depth: int = 10,
        *,
        knowledge: Knowledge = "default",
    ) -> pl.LazyFrame:
        """Return mean imbalances of the order books as a lazy frame: a row at *start* and *every* so long after it, before *end*.

        Returns
        -------
        polars.LazyFrame
            ``ts``, and for each of *windows* a column like ``imbalance_5s``: the mean imbalance of the best *depth* levels in the books of
            every second of the window that ends at ``ts``. Null where one of them is missing.
        """
        from ticklake.query.book_stats import scan_imbalances

        dataset, span = self._series(exchange, symbol, start, end)
        lengths = list(map(_whole_seconds, as_list("windows", windows)))
        if not lengths:
            raise BadInput("windows is empty: name at least one, like '5s'")
        return scan_imbalances(
            self.engine,
            dataset,
            span,
            _positive("every", every),
            lengths,
            parse_count("depth", depth, 1),
            parse_knowledge(knowledge),
            self.engine.lags,
        )

    def _series(self, exchange: str, symbol: str, start: TimeLike | None, end: TimeLike | None) -> tuple[Dataset, Span]:
        """Return the dataset of books, and the span of a series of them: that of its rows by default."""
        dataset = known_dataset(self.engine, Dataset.of(exchange, symbol, "book"))
        span = span_of_interest(self.engine, dataset, start, end)
        if span is None:
            span = Span(0, 0)
        return dataset, span


def _positive(name: str, value: DurationLike) -> int:
    length = parse_length(value)
    if length <= 0:
        raise BadInput(f"{name}={value!r} is no time: pass one that is longer than 0, like '1s'")
    return length


def _whole_seconds(window: DurationLike) -> int:
    length = _positive("windows", window)
    if length % SECOND:
        raise BadInput(f"a window of {window!r} is no number of whole seconds: pass one like '5s'")
    return length


def _width(bucket: float) -> float:
    if isinstance(bucket, bool) or not isinstance(bucket, int | float) or not 0 < bucket < float("inf"):
        raise BadInput(f"bucket={bucket!r} is no width of prices: pass a number greater than 0, like 10")
    return float(bucket)
