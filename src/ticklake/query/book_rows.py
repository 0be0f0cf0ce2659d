"""The rows that make books: from the snapshot on which a book stands, as far as they are known at an instant."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl

from ticklake.core.book_state import (
    KEPT_DEPTHS,
    OVERTAKEN,
    Base,
    BookColumns,
    Integers,
    Levels,
    Side,
    in_book_order,
    snapshot_starts,
)
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import PROVENANCE
from ticklake.core.knowledge import NO_LAG, Knowledge, Lags, known_at
from ticklake.core.provenance import depth_in
from ticklake.core.span import ALL_TIME, Span
from ticklake.core.time import DAY, HOUR, MINUTE
from ticklake.engine.engine import Engine
from ticklake.engine.read import chunks_of, read_rows
from ticklake.engine.store import DatasetView

__all__ = ["FOREVER", "NAMES", "BookRows", "Checkpoint", "Moment", "Snapshot", "with_last"]

NAMES = ("ts", "received_at", "seq", "side", "price", "amount", "is_snapshot")
"""The columns that make a book."""
_BASE_NAMES = ("ts", "received_at", "seq", "is_snapshot")
_BACK = (MINUTE, 10 * MINUTE, HOUR, DAY)
"""How far back a snapshot is looked for, in turns; after that, twice as far each time."""
_VIEWS = (10 * MINUTE, DAY)
"""How much of a dataset is looked at in turns, before all of it is: a view brings the bytes of small segments along."""
_AT_ONCE = 1_000_000
"""Up to so many rows are read at once, more piece by piece."""
FOREVER = ALL_TIME.end - 1
"""The instant at which every row is there."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A book at an instant.

    Parameters
    ----------
    levels
        The book, with its rows applied but those of *extra*.
    extra
        The places in *rows* of those that come after rows that are not known yet.
    rows, first
        The rows that were taken last, and the number of the first of them.
    older
        The rows before them that are levels, with their numbers as ``row``, if they were asked for.
    """

    at: int
    levels: Levels
    extra: Sequence[int]
    rows: pl.DataFrame
    first: int
    older: pl.DataFrame | None = None

    @property
    def last(self) -> tuple[int, int] | None:
        """The time and the number of the last row that counts."""
        if not self.extra:
            return self.levels.last
        place = self.extra[-1]
        return int(self.rows["ts"].to_physical()[place]), int(self.rows["seq"][place])

    @property
    def base(self) -> Base | None:
        """The snapshot on which the book stands."""
        return self.levels.base_with(self.extra)

    def sides(self, depth: int | None = None) -> tuple[Side, Side]:
        """Return bids and asks, of each the best *depth* levels."""
        return self.levels.sides(depth, self.extra)

    def rows_of(self, numbers: Integers) -> pl.DataFrame:
        """Return the rows of levels by their numbers, in this order."""
        if self.older is None or not self.older.height:
            return self.rows[numbers - self.first]
        # Few levels have older rows, and the newer ones are very many: they are picked apart.
        is_new = numbers >= self.first
        places = np.concatenate([np.flatnonzero(~is_new), np.flatnonzero(is_new)])
        wanted = pl.DataFrame({"row": pl.Series(numbers[~is_new], dtype=pl.Int64)})
        older = wanted.join(self.older, on="row", maintain_order="left").drop("row")
        picked = pl.concat([older, self.rows[numbers[is_new] - self.first]])
        return picked[np.argsort(places)]


class Snapshot(NamedTuple):
    """A snapshot of a book."""

    ts: int
    seq: int

    @property
    def start(self) -> int:
        """From when on rows make a book that stands on it: changes that are not in it may be older than its time."""
        # A time in place of a number: nothing overtakes it.
        if self.seq == self.ts:
            return self.ts
        return max(self.ts - OVERTAKEN, ALL_TIME.start)


class Checkpoint(NamedTuple):
    """The book after all rows up to ``ts``: the number of the last row, the snapshot on which it stands, and its levels.

    ``version`` is that of the lake whose rows made it. ``known`` and ``received`` are when all of them are known, by default and by their
    times of receipt alone.
    """

    ts: int
    seq: int
    base: Base
    levels: pl.DataFrame
    version: int
    known: int
    received: int


Start = Snapshot | Checkpoint | None
"""From where rows make a book: a snapshot among them, or a checkpoint before them."""
Find = Callable[[Engine, Dataset, int, Knowledge], Checkpoint | None]
"""Returns the checkpoint before an instant, if there is one."""


def no_checkpoint(_engine: Engine, _dataset: Dataset, _at: int, _knowledge: Knowledge) -> None:
    """Return none: rows alone make the book."""


@dataclass(frozen=True, slots=True)
class BookRows:
    """Reads the rows of a dataset's books, from one version of the lake.

    ``find`` finds checkpoints, from which books are made faster, and the same.
    """

    engine: Engine
    dataset: Dataset
    knowledge: Knowledge = "default"
    lags: Lags = NO_LAG
    find: Find = no_checkpoint

    @property
    def names(self) -> Sequence[str]:
        """The columns that make a book."""
        if self.dataset.exchange in KEPT_DEPTHS:
            return (*NAMES, PROVENANCE)
        return NAMES

    def columns_of(self, rows: pl.DataFrame) -> BookColumns:
        """Return rows with the columns :attr:`names` as arrays."""
        if self.dataset.exchange not in KEPT_DEPTHS:
            return BookColumns.of(rows)
        depths: dict[int, int] = {}
        for number, origin in self.engine.catalog.provenances().items():
            depth = depth_in(origin.note)
            if depth is not None:
                depths[number] = depth
        return BookColumns.of(rows, depths)

    def view(self, span: Span) -> DatasetView:
        """Return what the lake has of the dataset inside *span*."""
        return self.engine.store.view(self.dataset, span)

    def known(self, rows: pl.DataFrame) -> pl.Series:
        """Return from when on each row is known."""
        return known_at(rows, self.dataset, self.knowledge, self.lags)

    def view_to(self, at: int) -> tuple[DatasetView, Start]:
        """Return a view of the rows up to *at*, and from where its rows make the book.

        If there is nothing that a book can stand on, the view reaches back to the first row.
        """
        checkpoint = self._checkpoint(at)
        if checkpoint is not None:
            view = self.view(Span(checkpoint.ts + 1, max(at, checkpoint.ts + 1) + 1))
            base = self.base(view, at)
            if base is not None:
                return self._reaching(view, base), base
            # Committed meanwhile: rows before the checkpoint may be others.
            if view.version == checkpoint.version:
                return view, checkpoint
        return self.view_with_base(at)

    def _checkpoint(self, at: int) -> Checkpoint | None:
        # Checkpoints know when their rows were known, but not by the lags of a caller.
        if self.knowledge != "event" and self.lags.of(self.dataset):
            return None
        return self.find(self.engine, self.dataset, at, self.knowledge)

    def _reaching(self, view: DatasetView, base: Snapshot) -> DatasetView:
        """Return a view that reaches back to the first row that may count for a snapshot."""
        if base.start < view.span.start:
            return self.view(Span(base.start, view.span.end))
        return view

    def view_with_base(self, at: int) -> tuple[DatasetView, Snapshot | None]:
        """Return a view of the rows up to *at*, and the snapshot in it on which the book stands.

        If there is none, the view reaches back to the first row.
        """
        for back in (*_VIEWS, None):
            start = ALL_TIME.start
            if back is not None:
                start = max(at - back, start)
            view = self.view(Span(start, at + 1))
            base = self.base(view, at)
            if base is not None:
                return self._reaching(view, base), base
        return view, None

    def view_of(self, span: Span) -> tuple[DatasetView, Start]:
        """Return a view of the rows that make the books in *span*, and from where they do."""
        _, start = self.view_to(span.start)
        if isinstance(start, Checkpoint):
            view = self.view(Span(start.ts + 1, max(span.end, start.ts + 2)))
            by_time = BookRows(self.engine, self.dataset, "event")
            # A snapshot that becomes known later may stand before changes that the checkpoint has.
            near = by_time.base(view, start.ts + OVERTAKEN)
            if view.version == start.version and near is None:
                return view, start
            _, start = self.view_with_base(span.start)
        # Without one, a snapshot before may become known later: any row may count.
        first = ALL_TIME.start
        if start is not None:
            first = min(start.start, span.start)
        return self.view(Span(first, max(span.end, first + 1))), start

    def base(self, view: DatasetView, at: int) -> Snapshot | None:
        """Return the newest snapshot in a view at or before *at* that is known then; ``None`` if there is none."""
        inside = [segment for segment in view.segments if segment.min_ts <= at]
        if not inside:
            return None
        end = min(max(segment.max_ts for segment in inside), at) + 1
        first = max(min(segment.min_ts for segment in inside), view.span.start)
        if end <= first:
            return None
        for start in _starts(end, first):
            found = None
            for rows in self.pieces(view, Span(start, end), _BASE_NAMES):
                found = self._last_base(rows, at) or found
            if found is not None:
                return found
            end = start
        return None

    def _last_base(self, rows: pl.DataFrame, at: int) -> Snapshot | None:
        if not rows["is_snapshot"].any():
            return None
        ts = rows["ts"].to_physical()
        # A message counts as a whole: its rows share their time, and nearly always when they were received.
        is_known = (self.known(rows).fill_null(FOREVER + 1) <= at) & (ts <= at)
        starts = pl.Series(snapshot_starts(rows)) & is_known
        if not starts.any():
            return None
        return Snapshot(int(ts.filter(starts)[-1]), int(rows["seq"].filter(starts)[-1]))

    def pieces(self, view: DatasetView, span: Span, names: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Yield the rows of a view inside *span* in order, in frames that split no instant."""
        part = view.of(view.segments, span)
        if _rows_near(part) <= _AT_ONCE:
            rows = read_rows(self.engine.store, part, names)
            if rows.height:
                yield rows
        else:
            yield from chunks_of(self.engine.store, part, names)

    def moments(
        self,
        view: DatasetView,
        start: Start,
        instants: Integers,
        names: Sequence[str] = (),
        *,
        keeps_rows: bool = False,
        applied: Callable[[pl.DataFrame, int, Levels], None] = lambda _rows, _first, _levels: None,
    ) -> Iterator[Moment]:
        """Yield the book at each of sorted *instants*, made of the rows from *start* on, or of all.

        The book of a moment must be read before the next one is asked for. With *keeps_rows*, a moment has the rows of its levels.
        *applied* is called with each piece of rows before it is given up, the number of its first row, and the book.
        """
        names = names or self.names
        levels, first = self.book_at(start), 0
        pending = view.kind.empty().select(names)
        older: pl.DataFrame | None = None
        if keeps_rows:
            older = _numbered(pending, 0)
        if isinstance(start, Checkpoint):
            first = start.levels.height
            if keeps_rows:
                older = _numbered(start.levels.select(names), 0)
        place = 0
        end = int(instants[-1]) + 1
        for piece, is_last in with_last(self.pieces_from(view, start, end, names)):
            rows = in_book_order(pl.concat([pending, piece]))
            times = self._take(levels, rows, first)
            last, reach = len(instants), FOREVER
            if not is_last:
                # Pieces split no instant, but a snapshot of the next piece may stand before changes at the end of this one.
                reach = int(levels.newest) - OVERTAKEN
                last = int(np.searchsorted(instants, reach))
            yield from _moments_in(levels, times, rows, first, instants[place:last], older)
            place = last
            if place == len(instants):
                return
            levels.advance(_known_until(times, min(int(instants[place]), reach)))
            applied(rows, first, levels)
            if older is not None:
                older = _of_levels(levels, pl.concat([older, _numbered(rows, first).head(levels.done)]))
            pending = rows.slice(levels.done)
            first += levels.done
        times = self._take(levels, pending, first)
        yield from _moments_in(levels, times, pending, first, instants[place:], older)

    def book_at(self, start: Start) -> Levels:
        """Return the book before the rows from *start* on."""
        if isinstance(start, Checkpoint):
            levels = BookColumns.of(start.levels)
            return Levels.resume(self.dataset.exchange, start.base, levels, (start.ts, start.seq))
        return Levels(self.dataset.exchange)

    def pieces_from(self, view: DatasetView, base: Start, end: int, names: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Yield the rows before *end* from the snapshot *base* on, those after a checkpoint, or all."""
        if base is None or isinstance(base, Checkpoint):
            yield from self.pieces(view, Span(view.span.start, max(end, view.span.start + 1)), names)
            return
        before: list[pl.DataFrame] = []
        pieces = self.pieces(view, Span(base.start, max(end, base.ts + 1)), names)
        for piece in pieces:
            before.append(piece)
            if int(piece["ts"].to_physical()[-1]) >= base.ts:
                break
        rows = in_book_order(pl.concat(before))
        is_base = (rows["ts"].to_physical() == base.ts) & (rows["seq"] == base.seq)
        yield rows.slice(int(is_base.arg_max() or 0))
        yield from pieces

    def _take(self, levels: Levels, rows: pl.DataFrame, first: int) -> Integers:
        """Hand rows to a book; return from when on each counts."""
        columns = self.columns_of(rows)
        levels.take(columns, first)
        return columns.known_at(self.known(rows))


def with_last(pieces: Iterator[pl.DataFrame]) -> Iterator[tuple[pl.DataFrame, bool]]:
    """Yield pieces, and whether each is the last one."""
    piece = next(pieces, None)
    while piece is not None:
        following = next(pieces, None)
        yield piece, following is None
        piece = following


def _numbered(rows: pl.DataFrame, first: int) -> pl.DataFrame:
    return rows.with_columns(pl.int_range(first, first + rows.height, dtype=pl.Int64).alias("row"))


def _of_levels(levels: Levels, rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that are levels of a book."""
    bids, asks = levels.sides()
    numbers = np.concatenate([bids.row, asks.row])
    return rows.filter(pl.col("row").is_in(pl.Series(numbers).implode()))


def _moments_in(
    levels: Levels, times: Integers, rows: pl.DataFrame, first: int, instants: Integers, older: pl.DataFrame | None
) -> Iterator[Moment]:
    latest = np.maximum.accumulate(times)
    earliest = np.minimum.accumulate(times[::-1])[::-1]
    for at, until in zip(instants.tolist(), np.searchsorted(latest, instants, side="right").tolist(), strict=True):
        levels.advance(until)
        extra: list[int] = []
        # Rows that were received late stand before others that are known already.
        if until < len(times) and earliest[until] <= at:
            extra = (np.flatnonzero(times[until:] <= at) + until).tolist()
        yield Moment(at, levels, extra, rows, first, older)


def _known_until(times: Integers, at: int) -> int:
    """Return how many rows there are before the first that is not known at *at*."""
    return int(np.searchsorted(np.maximum.accumulate(times), at, side="right"))


def _starts(end: int, first: int) -> Iterator[int]:
    """Yield from where to look for a snapshot before *end*, further back each time, down to *first*."""
    for back in _BACK:
        if end - back > first:
            yield end - back
    # Doubled from the longest on: where snapshots are rare, one is found in few steps.
    back = 2 * _BACK[-1]
    while end - back > first:
        yield end - back
        back *= 2
    yield first


def _rows_near(view: DatasetView) -> int:
    """Return how many rows have to be read for a view at most."""
    total = 0
    for segment in view.segments:
        if segment.min_ts >= view.span.end or segment.max_ts < view.span.start:
            continue
        if segment.blocks:
            total += sum(block.rows for block in segment.blocks if block.meets(view.span))
        else:
            total += segment.rows
    return total
