"""Books: an order book as it was at an instant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from ticklake.core.book import Book, BookFlag, BookFlags
from ticklake.core.book_state import Side
from ticklake.core.coverage import Found
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import PROVENANCE
from ticklake.core.knowledge import NO_LAG, Knowledge, Lags
from ticklake.core.time import format_time
from ticklake.engine.engine import Engine
from ticklake.engine.read import count_rows
from ticklake.engine.store import DatasetView, retried
from ticklake.query.book_checkpoints import checkpoint_before
from ticklake.query.book_proof import is_stale, judge, stretches_of
from ticklake.query.book_rows import FOREVER, BookRows, Find, Moment

__all__ = ["book_at"]


def book_at(
    engine: Engine,
    dataset: Dataset,
    at: int | None,
    depth: int | None,
    columns: Sequence[str] | None = None,
    knowledge: Knowledge = "default",
    lags: Lags = NO_LAG,
    find: Find = checkpoint_before,
) -> Book:
    """Return the book after all rows up to *at* that are known then, or an empty one with the reason why there is none."""
    names = list(dataset.spec.names)
    if columns is not None:
        names = list(columns)
    request = _Request(engine, dataset, at, depth, names, BookRows(engine, dataset, knowledge, lags, find))
    return retried(request.book)


@dataclass(frozen=True, slots=True)
class _Request:
    """A book that is asked for."""

    engine: Engine
    dataset: Dataset
    at: int | None
    depth: int | None
    names: Sequence[str]
    rows: BookRows

    @property
    def instant(self) -> int:
        """The last instant whose rows count."""
        if self.at is None:
            return FOREVER
        return min(self.at, FOREVER)

    def book(self) -> Book:
        """Read it."""
        view, base = self.rows.view_to(self.instant)
        if base is None:
            return self._empty(view, self._why_no_base(view))
        instants = np.array([self.instant])
        every = [*self.dataset.spec.names, PROVENANCE]
        (moment,) = self.rows.moments(view, base, instants, every, keeps_rows=True)
        return self._filled(view, moment)

    def _filled(self, view: DatasetView, moment: Moment) -> Book:
        bids, asks = moment.sides()
        last = moment.last
        base = moment.base
        if last is None or base is None:
            return self._empty(view, self._why_no_base(view))
        levels = moment.rows_of(np.concatenate([bids.row, asks.row]))
        book = Book(_shown(levels, bids, asks, self.depth).select(self.names))
        book._levels = levels.select("side", "price", "amount")
        book.at, book.version = self.at, view.version
        book.ts, book.seq = last
        self._judge(book, base.ts, levels)
        if not levels.height:
            book.reason = f"{self.dataset} has no levels{_until(self.at)}: all of them were removed"
        return book

    def _judge(self, book: Book, since: int, levels: pl.DataFrame) -> None:
        """Note the proof of a book, and what is wrong with it."""
        newest = book.ts or since
        coverage = self.engine.catalog.coverage(self.dataset)
        at = self.at
        if at is None:
            at = max(newest, self.engine.now())
        book.stretches = stretches_of(coverage, since, at)
        origins = self.engine.catalog.provenances()
        sources = [origins[number] for number in levels[PROVENANCE].unique().sort().to_list()]
        book.proof = judge(self.dataset, sources, coverage, since, newest, book.stretches)
        flags: list[BookFlag] = []
        spread = book.spread
        if spread is not None and spread <= 0:
            flags.append("crossed")
        if book.stretches:
            flags.append("gap")
        if book.proof == "unproven":
            flags.append("unproven")
        if is_stale(coverage, newest, at):
            flags.append("stale")
        book.flags = BookFlags(flags)

    def _why_no_base(self, view: DatasetView) -> str:
        """Return why there is no book."""
        until = _until(self.at)
        changes = count_rows(self.engine.store, view)
        if not changes:
            return f"{self.dataset} has no rows{until}{self._removed()}"
        if self.rows.knowledge != "event" and self._has_base_by_time(view):
            return (
                f"{self.dataset} has {changes:,} rows{until}, and no snapshot among them was known "
                f"then (knowledge={self.rows.knowledge!r})"
            )
        return f"{self.dataset} has {changes:,} changes{until}, and no snapshot that they change{self._removed()}"

    def _has_base_by_time(self, view: DatasetView) -> bool:
        by_time = BookRows(self.engine, self.dataset, "event")
        return by_time.base(view, self.instant) is not None

    def _removed(self) -> str:
        """Say that rows before were removed, if they were."""
        for piece in reversed(self.engine.catalog.coverage(self.dataset).pieces):
            is_removed = piece.found is Found.EXPIRED or piece.reason == "deleted"
            if is_removed and piece.span.start <= self.instant:
                return f"; rows before {format_time(piece.span.end)} were removed ({piece.reason})"
        return ""

    def _empty(self, view: DatasetView, reason: str) -> Book:
        book = Book(self.dataset.spec.empty().select(self.names))
        book.reason, book.at, book.version = reason, self.at, view.version
        return book


def _shown(levels: pl.DataFrame, bids: Side, asks: Side, depth: int | None) -> pl.DataFrame:
    """Return the best *depth* levels of each side."""
    if depth is None:
        return levels
    count = len(bids.price)
    return pl.concat([levels.head(min(count, depth)), levels.slice(count, min(len(asks.price), depth))])


def _until(at: int | None) -> str:
    if at is None:
        return ""
    return f" at or before {format_time(at)}"
