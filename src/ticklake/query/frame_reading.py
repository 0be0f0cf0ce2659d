"""One read of frames, from one version: the parts of all of them, and what is known about these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ticklake.catalog.gap_notes import GapNotes
from ticklake.core.coverage import Found
from ticklake.core.dataset import SNAPSHOTS, Dataset
from ticklake.core.derived_bars import DerivedBars, Edge
from ticklake.core.frame_data import BookReads, FrameData
from ticklake.core.frame_parts import Absent, Facts, PartData
from ticklake.core.frame_request import EVENT_KINDS, STATES, FrameRequest
from ticklake.core.knowledge import LIVE_WITHIN, known_at
from ticklake.core.selection import picked
from ticklake.core.span import ALL_TIME, Span
from ticklake.core.timeframe import Timeframe
from ticklake.core.timeline import NEVER, Timeline
from ticklake.query.frame_books import FrameBooks
from ticklake.query.frame_heads import Heads
from ticklake.query.frame_rows import FrameRows, Need
from ticklake.query.frame_store import RowReader

if TYPE_CHECKING:
    from ticklake.core.timeline import Times

__all__ = ["read_frames"]


def read_frames(reader: RowReader, heads: Heads, request: FrameRequest, at: Times) -> FrameData:
    """Return the data of frames at instants."""
    return _Reading(reader, heads, request, at).data()


class _Reading:
    def __init__(self, reader: RowReader, heads: Heads, request: FrameRequest, at: Times) -> None:
        self._reader = reader
        self._engine = reader.engine
        self._heads = heads
        self._request = request
        self._at = at
        self._absent: list[Absent] = []
        self._parts: dict[str, PartData] = {}
        self._since = int(request.since(at).min(initial=ALL_TIME.end))
        self._until = int(at.max(initial=ALL_TIME.start))

    def data(self) -> FrameData:
        """Return the data of all frames."""
        if self._at.size:
            self._add_parts()
        books = self._books()
        absent = tuple(self._absent)
        return FrameData(self._request, self._reader.version, self._at, self._parts, absent, books, self._features())

    def _add_parts(self) -> None:
        for timeframe in self._request.timeframes:
            self._add_bars(timeframe)
        for kind in EVENT_KINDS:
            if kind in self._request.looked_up:
                self._add_events(kind)

    # Bars

    def _add_bars(self, timeframe: Timeframe) -> None:
        dataset = self._request.dataset("ohlcv", timeframe)
        name = f"bars.{timeframe}"
        before = self._before(timeframe)
        is_later = self._until < self._heads.since(dataset)
        if self._heads.is_never_received(dataset) or (is_later and self._base_of(dataset) is not None):
            self._add_made_bars(name, dataset, before)
            return
        lag = self._engine.lags.of(dataset)
        need = self._need(dataset, self._since - timeframe.length - lag, before)
        rows = self._rows(need)
        if rows is None:
            self._add_made_bars(name, dataset, before)
            return
        # Before its first bar was known, the lake had no such bars, and nothing told that it would have some.
        self._add_stored(name, rows, need, keeps_newest=True, before=self._absent_bars(name, dataset))

    def _add_stored(self, name: str, rows: FrameRows, need: Need, *, keeps_newest: bool, before: Absent | None) -> None:
        facts = self._facts(rows, need, self._engine.lags.of(rows.dataset))
        self._parts[name] = PartData(name, self._timeline(rows), keeps_newest, facts, source=rows.source, before=before)

    def _before(self, timeframe: Timeframe) -> int:
        """Return how many bars from before a window are needed."""
        if timeframe == self._request.timeframes[0]:
            return max(1, self._request.warm_up)
        return 1

    def _base_of(self, dataset: Dataset) -> Dataset | None:
        return self._heads.base_of(dataset, self._until)

    def _add_made_bars(self, name: str, dataset: Dataset, before: int) -> None:
        """Add bars that the lake does not have, made of what it has."""
        base = self._base_of(dataset)
        absent = self._absent_bars(name, dataset)
        if dataset.timeframe is None or base is None:
            self._absent.append(absent)
            return
        lag = max(self._engine.lags.of(dataset), self._engine.lags.of(base))
        need, rows, bars = self._made_bars(base, dataset, before, lag)
        # Until the first of its rows was known, it was not known that there would be something to make bars of.
        facts = replace(self._facts(rows, need, lag), made=dataset.timeframe)
        source = PartData(name, self._timeline(rows), False, facts)
        self._parts[name] = PartData(name, bars, True, facts, source, rows.source, absent)

    def _made_bars(self, base: Dataset, dataset: Dataset, before: int, lag: int) -> tuple[Need, FrameRows, DerivedBars]:
        """Return bars made of the rows of *base*, at least so many from *before* the windows, and of which rows."""
        timeframe = dataset.timeframe or Timeframe(1, "m")
        begin = timeframe.floor(self._since - lag, dataset.anchor)
        count = before + 1
        while True:
            need = self._need(base, begin - count * timeframe.length - lag, 0)
            # A base is a dataset that the lake has or this process collects.
            rows = self._rows(need) or FrameRows.none(need, self._reader.version)
            bars = self._made(rows, timeframe, lag)
            earlier = int(bars.happened.searchsorted(self._since - lag, side="right"))
            # Rows that came late make no bars that were known at the first instant.
            if rows.begins or np.count_nonzero(bars.known[:earlier] <= int(self._at.min())) > before:
                return need, rows, bars
            # Where rows are sparse, the bars before the windows are far before them.
            count *= 4

    def _absent_bars(self, name: str, dataset: Dataset) -> Absent:
        why = f"the lake has no {dataset}, and nothing shorter of which its bars can be made"
        if self._heads.is_never_received(dataset):
            why = "nobody notes when bars are received, and there are no trades of which they can be made"
        return Absent(name, str(dataset), why)

    def _made(self, rows: FrameRows, timeframe: Timeframe, lag: int) -> DerivedBars:
        key = (self._request.knowledge, timeframe)
        bars = rows.timelines.get(key)
        if bars is None:
            bars = DerivedBars(self._timeline(rows), timeframe, self._edge(rows, timeframe), lag)
            rows.timelines[key] = bars
        return bars

    def _edge(self, rows: FrameRows, timeframe: Timeframe) -> Edge:
        """Return from when until when whole bars can be made of rows."""
        spans = rows.coverage.spans(Found.DATA)
        looked = np.array([(span.start, span.end) for span in spans], dtype=np.int64).reshape(-1, 2)
        is_clock = not rows.dataset.spec.bars and not self._is_collected(rows)
        begins = looked[:1, 0].tolist()
        if rows.first_ts is not None:
            first = rows.first_ts
            if is_clock:
                # Nobody adds to these rows: their first bar is as whole as it will ever be.
                first = timeframe.floor(first, rows.dataset.anchor_of(timeframe))
            begins.append(first)
        return Edge(min(begins, default=ALL_TIME.start), looked[:, 0].copy(), looked[:, 1].copy(), is_clock)

    def _is_collected(self, rows: FrameRows) -> bool:
        """Whether somebody adds to the rows: this process, or who has asked for them."""
        notes = GapNotes(self._engine.catalog.database, self._engine.now)
        return rows.is_live or notes.wanted(rows.dataset) is not None

    # Events, books and features

    def _add_events(self, kind: str) -> None:
        dataset = self._request.dataset(kind)
        if self._heads.is_never_received(dataset):
            self._absent.append(Absent(kind, str(dataset), f"nobody notes when rows of {kind} are received"))
            return
        need = self._need(dataset, self._since, 0)
        if kind in STATES:
            # The newest one that was known may have happened before the window.
            need = self._need(dataset, self._since - self._engine.lags.of(dataset), 1)
        # Without names, a frame has what there is.
        absent: Absent | None = None
        if self._request.kinds is not None:
            absent = Absent(kind, str(dataset), f"the lake has no {dataset}")
        rows = self._rows(need)
        if rows is not None:
            self._add_stored(kind, rows, need, keeps_newest=kind in STATES, before=absent)
        elif absent is not None:
            self._absent.append(absent)

    def _books(self) -> BookReads | None:
        if "book" not in self._request.looked_up:
            return None
        dataset = self._request.dataset("book")
        is_named = self._request.kinds is not None or self._request.book_depth is not None
        if dataset not in self._heads.rows:
            if is_named:
                self._absent.append(Absent("book", str(dataset), f"no snapshot of {dataset} was known"))
            return None
        live = self._reader.live.of(dataset)
        books = FrameBooks(self._engine, self._reader.version, self._request, live)
        return BookReads(dataset, is_named, books.read, books.imbalances, self._at)

    def _features(self) -> Callable[[int], Mapping[str, Any]] | None:
        """Return the values of the features that are asked for by instant; those of all instants are found at once."""
        if not self._request.features:
            return None
        from ticklake.query.features import features_of_frames

        request = self._request
        names = (list(request.features), request.exchange, str(request.symbol), self._at.tolist(), request.knowledge)
        # Of which there is no value at all is not asked: frames from before the first value lack it as well.
        values, _ = features_of_frames(self._engine, *names)
        return values.__getitem__

    # Rows, and what is known about them

    def _need(self, dataset: Dataset, start: int, before: int) -> Need:
        return Need(dataset, Span(max(start, ALL_TIME.start), min(self._until + 1, ALL_TIME.end)), before)

    def _rows(self, need: Need) -> FrameRows | None:
        return self._reader.rows(need, self._heads.rows.get(need.dataset))

    def _timeline(self, rows: FrameRows) -> Timeline:
        key = self._request.knowledge
        timeline: Timeline | None = rows.timelines.get(key)
        if timeline is None:
            timeline = rows.timelines[key] = self._new_timeline(rows)
        return timeline

    def _new_timeline(self, rows: FrameRows) -> Timeline:
        knowledge, lags = self._request.knowledge, self._engine.lags
        if rows.stored is not None and rows.fresh is not None:
            return self._timeline(rows.stored).extended(rows.fresh, knowledge, lags)
        return Timeline(rows.dataset, rows.frame, knowledge, lags, rows.keying, rows.revisions)

    def _facts(self, rows: FrameRows, need: Need, lag: int) -> Facts:
        dataset = rows.dataset
        closed: tuple[Span, ...] = ()
        if dataset.spec.in_sessions:
            closed = tuple(self._engine.sessions.closed(dataset, need.span))
        return Facts(
            dataset,
            rows.coverage.within(need.span),
            closed,
            rows.refused,
            lag,
            self._first_known(rows),
            dataset.kind in SNAPSHOTS,
        )

    def _first_known(self, rows: FrameRows) -> int:
        """Return from when on it could be known that there is such a dataset."""
        known = [self._timeline(rows).first_known, self._first_known_before(rows)]
        if rows.coverage.pieces:
            # Who looks at the time from an instant on has looked at nothing at that instant.
            known.append(rows.coverage.pieces[0].span.start + 1)
        return min(known)

    def _first_known_before(self, rows: FrameRows) -> int:
        """Return from when on a row was known that is before those that were read."""
        head, earliest = rows.head, int(self._at.min())
        if rows.begins or head is None or head.min_ts is None or self._timeline(rows).first_known <= earliest:
            return NEVER
        lag = self._engine.lags.of(rows.dataset)
        if self._request.knowledge != "received" and rows.dataset.row_end(head.min_ts) + lag + LIVE_WITHIN <= earliest:
            # Whenever it was received, the first row was known by then.
            return ALL_TIME.start
        first = NEVER
        names = picked(rows.dataset.spec.schema, ["ts", "received_at"])
        for chunk in self._engine.chunks(rows.dataset, Span(ALL_TIME.start, rows.span.start), columns=list(names)):
            known = known_at(chunk, rows.dataset, self._request.knowledge, self._engine.lags).drop_nulls()
            first = min(first, int(known.to_numpy().min(initial=NEVER)))
            if first <= earliest:
                break
        return first
