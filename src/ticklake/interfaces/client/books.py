"""Order books of a remote lake."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import polars as pl

from ticklake.core.book import Book
from ticklake.core.dataset import Dataset
from ticklake.core.duration import DurationLike
from ticklake.core.knowledge import Knowledge
from ticklake.core.selection import parse_columns
from ticklake.core.time import TimeLike
from ticklake.core.words import Columns
from ticklake.errors import BadInput
from ticklake.interfaces.client.asking import Asking

__all__ = ["RemoteBooks"]

_WINDOWS = ("1s", "5s", "15s", "60s")


class RemoteBooks(Asking):
    """The verbs that answer with order books."""

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
        """Return the order book as it was at *at* (now): see :meth:`Lake.book <ticklake.Lake.book>`."""
        dataset = Dataset.of(exchange, symbol, "book")
        book: Book = self._ask(
            "book",
            exchange=dataset.exchange,
            symbol=symbol,
            at=self._instant(at),
            depth=depth,
            knowledge=knowledge,
            columns=parse_columns(dataset.spec, columns),
        )
        if at is None:
            # Of a version that was named by a time, it was filled in here.
            book.at = None
        return book

    def books(
        self,
        exchange: str,
        symbol: str,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        every: DurationLike | None = "1s",
        depth: int | None = 10,
        *,
        wide: bool = False,
        bucket: float | None = None,
        knowledge: Knowledge = "default",
    ) -> pl.LazyFrame:
        """Return the order books in ``[start, end)``, fetched at once, as a lazy frame: see :meth:`Lake.books <ticklake.Lake.books>`."""
        if depth == 0:
            raise BadInput("depth=0 is not a number of rows: pass a whole number from 1, or None for all levels")
        # Without these words, the parameters would be left out and mean what is usual.
        step = "message" if every is None else every
        levels = 0 if depth is None else depth
        options = {"wide": wide, "bucket": bucket, "knowledge": knowledge}
        return self._series("books", exchange, symbol, start, end, every=step, depth=levels, **options)

    def book_stats(
        self,
        exchange: str,
        symbol: str,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        every: DurationLike = "1s",
        depths: Iterable[int] = (1, 5, 10),
        *,
        knowledge: Knowledge = "default",
    ) -> pl.LazyFrame:
        """Return figures of the order books in ``[start, end)``: see :meth:`Lake.book_stats <ticklake.Lake.book_stats>`."""
        return self._series("book_stats", exchange, symbol, start, end, every=every, depths=depths, knowledge=knowledge)

    def imbalances(
        self,
        exchange: str,
        symbol: str,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        every: DurationLike = "1s",
        windows: Iterable[DurationLike] = _WINDOWS,
        depth: int = 10,
        *,
        knowledge: Knowledge = "default",
    ) -> pl.LazyFrame:
        """Return mean imbalances of the order books: see :meth:`Lake.imbalances <ticklake.Lake.imbalances>`."""
        return self._series(
            "imbalances", exchange, symbol, start, end, every=every, windows=windows, depth=depth, knowledge=knowledge
        )

    def _series(
        self, verb: str, exchange: str, symbol: str, start: TimeLike | None, end: TimeLike | None, **options: Any
    ) -> pl.LazyFrame:
        rows: pl.DataFrame = self._ask(verb, exchange=exchange, symbol=symbol, start=start, end=end, **options)
        return rows.lazy()
