"""Frames read: the rows of several datasets around instants, with one plan and one read a dataset.

Rows that were read are kept for the next frame: a frame of the newest hour, made again every second, reads what is new. What is kept of a
dataset holds for the version that last changed it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from ticklake.catalog.changes import DatasetRow
from ticklake.catalog.gap_notes import GapNotes
from ticklake.core.batch import canonical, sort
from ticklake.core.coverage import Coverage, Covered, Found
from ticklake.core.dataset import SNAPSHOTS, Dataset
from ticklake.core.frame_data import BookReads, FrameData
from ticklake.core.frame_parts import Absent, Facts, PartData
from ticklake.core.frame_request import EVENT_KINDS, STATES, FrameRequest
from ticklake.core.frames import FrameBatch
from ticklake.core.kinds import PROVENANCE
from ticklake.core.knowledge import KNOWLEDGE, LIVE_WITHIN, known_at
from ticklake.core.merge import Keying, is_in, key_of
from ticklake.core.segment import Segment
from ticklake.core.selection import picked
from ticklake.core.span import ALL_TIME, Span, normalise
from ticklake.core.time import HOUR
from ticklake.core.timeframe import Timeframe
from ticklake.core.timeline import NEVER, DerivedBars, Edge, Timeline
from ticklake.engine.engine import Engine
from ticklake.engine.overlay import overlaid
from ticklake.engine.read import read_rows
from ticklake.engine.store import retried
from ticklake.errors import UnknownDataset
from ticklake.query.resample import can_become

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ticklake.core.book import Book
    from ticklake.core.timeline import Times

__all__ = ["FrameReader", "Live"]

Live = Callable[[Dataset], pl.DataFrame | None]
"""Returns the newest rows of a dataset that this process collects, without a hole; ``None`` if it does not."""

BUDGET = 256 * 1024**2
"""Bytes of all rows that are kept."""
_ATTEMPTS = 4
"""How often a frame is read because commits came in between; after that it is read from one version."""
_MOST_ROWS = 100_000
"""A read is extended to whole hours if so many rows are not exceeded: the next frames are often near."""
_MOST_KEPT = 2_000_000
"""So many rows of a dataset are kept in one piece: rows that are asked for next to them are added."""
_BARS_AROUND = 1_000
_IMBALANCE_DEPTH = 10
_MOST_HEADS = 1_000
"""Of so many symbols it is remembered which datasets there are."""
_ROWS_APART = 50_000
"""Windows are read apart if there are more rows than these between them."""
_NEVER = 2**62
_LIVE = "live"
"""The key of rows with live ones behind them, among timelines."""
_STORED = [Timeframe(count, "s") for count in (1, 5, 10, 15, 30)]
_STORED += [Timeframe(count, "m") for count in (1, 2, 3, 5, 10, 15, 20, 30, 45)]
_STORED += [Timeframe(count, "h") for count in (1, 2, 3, 4, 6, 8, 12)]
_STORED += [Timeframe(count, "d") for count in (1, 2, 3)]
"""The timeframes that are looked for when bars have to be made: those that exchanges serve."""

_NO_TIMES = pl.Series("ts", [], dtype=pl.Int64)


@dataclass(eq=False)
class _Rows:
    """The rows of a dataset in one span, and what the catalog knows of them.

    ``version`` is the newest version for which this is known to hold, ``changed_in`` the one that last changed the dataset.
    """

    dataset: Dataset
    span: Span
    version: int
    head: DatasetRow | None
    segments: tuple[Segment, ...]
    frame: pl.DataFrame
    coverage: Coverage
    revisions: Sequence[dict[str, Any]] = ()
    refused_times: pl.Series = field(default_factory=lambda: _NO_TIMES)
    live_since: int | None = None
    """From when on rows are in the cache of live rows."""
    stored: _Rows | None = None
    fresh: pl.DataFrame | None = None
    """The rows that are stored, and those that are not and come after all of them, if these are both."""
    timelines: dict[Any, Any] = field(default_factory=dict)

    @classmethod
    def none(cls, need: _Need, version: int) -> _Rows:
        """Return no rows: those of a dataset that has only live ones."""
        empty = need.dataset.spec.empty().select(need.dataset.spec.names)
        return cls(need.dataset, need.span, version, None, (), empty, Coverage())

    @property
    def is_live(self) -> bool:
        """Whether this process collects the dataset."""
        return self.live_since is not None

    @property
    def keying(self) -> Keying:
        """How the dataset tells its rows apart."""
        return self.head.keying if self.head is not None else "natural"

    @property
    def first_ts(self) -> int | None:
        """The time of the first row of the dataset."""
        if self.head is not None and self.head.min_ts is not None:
            return self.head.min_ts
        return self.live_since

    def refused(self) -> pl.Series:
        """Return the times of refused rows."""
        return self.refused_times

    @cached_property
    def ts(self) -> Times:
        """The times of the rows."""
        times: Times = self.frame["ts"].to_numpy().view(np.int64)
        return times

    @cached_property
    def size(self) -> int:
        """Bytes in memory."""
        # Timelines share the rows, and have three times of each.
        return int(self.frame.estimated_size()) + 24 * self.frame.height

    @cached_property
    def begins(self) -> bool:
        """Whether the dataset has no rows before the span."""
        return self.head is None or self.head.min_ts is None or self.span.start <= self.head.min_ts

    def has(self, need: _Need) -> bool:
        """Whether these are all rows that are needed."""
        if not (self.span.start <= need.span.start and need.span.end <= self.span.end):
            return False
        if self.begins or not need.before:
            return True
        return int(self.ts.searchsorted(need.span.start)) >= need.before

    def source(self, start: int, end: int) -> str:
        """Return where the rows from *start* to *end* were."""
        if self.live_since is not None and self.live_since <= start:
            return "cache"
        stored = self._stored_in(start, end)
        if self.live_since is not None and self.live_since <= end:
            return f"cache, {stored}"
        return stored

    def _stored_in(self, start: int, end: int) -> str:
        for segment in self.segments:
            if segment.path is not None and segment.min_ts <= end and segment.max_ts >= start:
                return "files"
        return "inline"


@dataclass(frozen=True, slots=True)
class _Need:
    """What is needed of a dataset: the rows in a span, and so many *before* it."""

    dataset: Dataset
    span: Span
    before: int = 0


class FrameReader:
    """Reads frames of a lake, or of one version of it. All methods may be called from any thread.

    Parameters
    ----------
    live
        What this process collects; nothing, by default.
    budget
        Bytes of rows that are kept for the next frames.
    """

    def __init__(self, engine: Engine, live: Live | None = None, budget: int = BUDGET) -> None:
        self.engine = engine
        self._live = live
        self.budget = budget
        self._heads: dict[Any, tuple[int, int, dict[Dataset, DatasetRow]]] = {}
        self._kept: OrderedDict[Dataset, _Rows] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, request: FrameRequest, at: Times) -> FrameBatch:
        """Return frames at these instants, all of one version.

        Raises
        ------
        UnknownDataset
            If the lake has nothing of the symbol.
        """
        for _ in range(_ATTEMPTS):
            version = self.engine.catalog.version()
            read: dict[Dataset, _Rows] = {}
            batch = self._read(self.engine, request, at, version, read)
            if self.engine.catalog.version() == version:
                # Not before: parts of rows may be of a newer version, and nothing would tell.
                for rows in read.values():
                    self._keep(rows)
                return batch
        # Commits come faster than frames are read: one version stands still.
        pinned = self.engine.at(self.engine.catalog.version(), self.engine.now())
        return self._read(pinned, request, at, pinned.catalog.version(), {})

    def _read(
        self, engine: Engine, request: FrameRequest, at: Times, version: int, read: dict[Dataset, _Rows]
    ) -> FrameBatch:
        heads = self.heads(engine, request, version, int(at.min(initial=ALL_TIME.end)))
        if at.size < 2:
            return FrameBatch(at, [_Reading(self, engine, request, at, version, heads, read).data()])
        groups = self._groups(engine, request, at, heads)
        data = [_Reading(self, engine, request, at[places], version, heads, read).data() for places in groups]
        return FrameBatch(at, data, groups)

    def heads(self, engine: Engine, request: FrameRequest, version: int, since: int) -> dict[Dataset, DatasetRow]:
        """Return the datasets of a version of which frames from an instant on may need rows.

        Raises
        ------
        UnknownDataset
            If there are none.
        """
        key = (request.exchange, request.symbol, request.timeframes)
        known = self._heads.get(key)
        if known is not None and known[0] == version and known[1] <= since:
            return known[2]
        names = [request.dataset("ohlcv", timeframe) for timeframe in request.timeframes]
        names += [request.dataset(kind) for kind in (*EVENT_KINDS, "book")]
        _, heads = engine.catalog.heads(names)
        # Bars that the lake does not have, or has from later on, are made of others.
        if not heads or any(
            name.spec.bars and since < self.first_close(name, heads.get(name)) + engine.lags.of(name) for name in names
        ):
            _, others = engine.catalog.heads([request.dataset("ohlcv", timeframe) for timeframe in _STORED])
            heads |= others
        if not heads and not any(self.live_rows(name) is not None for name in names):
            raise UnknownDataset(f"the lake has nothing of {request.symbol} on {request.exchange}")
        if len(self._heads) >= _MOST_HEADS:
            self._heads.clear()
        self._heads[key] = (version, since, heads)
        return heads

    def _groups(
        self, engine: Engine, request: FrameRequest, at: Times, heads: Mapping[Dataset, DatasetRow]
    ) -> list[NDArray[np.intp]]:
        """Return the places of instants that are read together, in order of time.

        Windows that are far apart are read apart, if the time between them has many rows. And frames from before the first bar of a dataset
        are apart from those after it: their bars are made of others.
        """
        order = np.argsort(at, kind="stable")
        moments = at[order]
        is_new = np.zeros(len(at), dtype=np.bool_)
        since = request.since(moments)
        between = since[1:] - moments[:-1]
        wanted = [
            dataset for dataset in heads if dataset.kind in EVENT_KINDS or dataset.timeframe in request.timeframes
        ]
        for dataset in wanted:
            head = heads[dataset]
            rows = _expected_rows(head, int(moments[-1]) - int(since[0]))
            if rows > _MOST_ROWS and head.min_ts is not None and head.max_ts is not None:
                # As many rows as a read brings that are not needed cost as much as another read.
                apart = _ROWS_APART * max(head.max_ts - head.min_ts, 1) // head.rows
                is_new[1:] |= between > apart
        for dataset, head in heads.items():
            if dataset.spec.bars:
                first = self.first_close(dataset, head) + engine.lags.of(dataset)
                place = int(moments.searchsorted(first))
                if 0 < place < len(at):
                    is_new[place] = True
        return np.split(order, np.flatnonzero(is_new))

    def first_close(self, dataset: Dataset, head: DatasetRow | None) -> int:
        """Return when the first bar of a dataset closed, or its first row happened; never, if it has none."""
        if head is not None and head.min_ts is not None:
            return min(dataset.row_end(head.min_ts), _NEVER)
        live = self.live_rows(dataset)
        if live is None:
            return _NEVER
        return min(dataset.row_end(int(live["ts"].to_physical()[0])), _NEVER)

    def kept(self, need: _Need, version: int) -> _Rows | None:
        """Return the rows that were kept of a dataset, if they are those of a version and all that are needed."""
        with self._lock:
            rows = self._kept.get(need.dataset)
            if rows is None or rows.version != version or not rows.has(need):
                return None
            self._kept.move_to_end(need.dataset)
            return rows

    def outdated(self, dataset: Dataset) -> _Rows | None:
        """Return the rows that were kept of a dataset, of whatever version."""
        with self._lock:
            return self._kept.get(dataset)

    def _keep(self, rows: _Rows) -> None:
        """Keep rows for the next frames."""
        with self._lock:
            self._kept[rows.dataset] = rows
            self._kept.move_to_end(rows.dataset)
            size = sum(kept.size for kept in self._kept.values())
            while size > self.budget and len(self._kept) > 1:
                _, dropped = self._kept.popitem(last=False)
                size -= dropped.size

    def live_rows(self, dataset: Dataset) -> pl.DataFrame | None:
        """Return the newest rows of a dataset that this process collects."""
        if self._live is None:
            return None
        rows = self._live(dataset)
        if rows is None or not rows.height:
            return None
        return rows


class _Reading:
    """One read of frames, from one version."""

    def __init__(
        self,
        reader: FrameReader,
        engine: Engine,
        request: FrameRequest,
        at: Times,
        version: int,
        heads: Mapping[Dataset, DatasetRow],
        read: dict[Dataset, _Rows],
    ) -> None:
        self._reader = reader
        self._engine = engine
        self._request = request
        self._at = at
        self._version = version
        self._heads = heads
        self._read_rows = read
        self._absent: list[Absent] = []
        self._parts: dict[str, PartData] = {}
        self._live_book: pl.DataFrame | None = None
        self._since = int(request.since(at).min(initial=ALL_TIME.end))
        self._until = int(at.max(initial=ALL_TIME.start))

    def data(self) -> FrameData:
        """Return the data of all frames."""
        if self._at.size:
            for timeframe in self._request.timeframes:
                self._add_bars(timeframe)
            for kind in EVENT_KINDS:
                if self._request.kinds is None or kind in self._request.kinds:
                    self._add_events(kind)
        features = self._features()
        return FrameData(
            self._request,
            self._version,
            self._at,
            self._parts,
            books=self._books(),
            features=features,
            absent=tuple(self._absent),
        )

    # Parts

    def _add_bars(self, timeframe: Timeframe) -> None:
        dataset = self._request.dataset("ohlcv", timeframe)
        name = f"bars.{timeframe}"
        before = self._before(timeframe)
        lag = self._engine.lags.of(dataset)
        is_later = self._until < self._reader.first_close(dataset, self._heads.get(dataset)) + lag
        if self._is_never_received(dataset) or (is_later and self._base_of(dataset) is not None):
            self._add_made_bars(name, dataset, before)
            return
        need = self._need(dataset, self._since - timeframe.length - lag, before)
        rows = self._rows(need)
        if rows is None:
            self._add_made_bars(name, dataset, before)
            return
        facts = replace(self._facts(rows, need, lag), since=self._first_known(rows))
        # Before its first bar was known, the lake had no such bars, and nothing told that it would have some.
        absent = self._absent_bars(name, dataset)
        self._parts[name] = PartData(name, self._timeline(rows), True, facts, source=rows.source, before=absent)

    def _before(self, timeframe: Timeframe) -> int:
        """Return how many bars from before a window are needed."""
        if timeframe == self._request.timeframes[0]:
            return max(1, self._request.warm_up)
        return 1

    def _is_never_received(self, dataset: Dataset) -> bool:
        """Whether no row of a kind says when it was received, and only those that do count."""
        return self._request.knowledge == "received" and "received_at" not in dataset.spec.names

    def _add_made_bars(self, name: str, dataset: Dataset, before: int) -> None:
        """Add bars that the lake does not have, made of what it has."""
        timeframe = dataset.timeframe
        base = self._base_of(dataset)
        absent = self._absent_bars(name, dataset)
        if timeframe is None or base is None:
            self._absent.append(absent)
            return
        lag = max(self._engine.lags.of(dataset), self._engine.lags.of(base))
        begin = timeframe.floor(self._since - lag, dataset.anchor)
        count = before + 1
        while True:
            need = self._need(base, begin - count * timeframe.length - lag, 0)
            rows = self._rows(need)
            if rows is None:
                self._absent.append(absent)
                return
            bars = self._made(rows, timeframe, lag)
            # Where rows are sparse, the bars before the windows are far before them.
            if rows.begins or int(bars.happened.searchsorted(self._since - lag, side="right")) > before:
                break
            count *= 4
        # Until the first of its rows was known, it was not known that there would be something to make bars of.
        facts = replace(self._facts(rows, need, lag), made=timeframe, since=self._first_known(rows))
        source = PartData(name, self._timeline(rows), False, facts)
        self._parts[name] = PartData(name, bars, True, facts, source, rows.source, absent)

    def _absent_bars(self, name: str, dataset: Dataset) -> Absent:
        why = f"the lake has no {dataset}, and nothing shorter of which its bars can be made"
        if self._is_never_received(dataset):
            why = "nobody notes when bars are received, and there are no trades of which they can be made"
        return Absent(name, str(dataset), why)

    def _base_of(self, dataset: Dataset) -> Dataset | None:
        """Return of what bars are made: the longest bars of which they are a multiple, or trades.

        Only those count that the lake had at the instants: what came later is no part of earlier frames.
        """
        bases: list[Dataset] = []
        for known in dict.fromkeys([*self._heads, self._request.dataset("trades")]):
            if known == dataset or self._is_never_received(known) or not _can_be_base(known, dataset):
                continue
            lag = self._engine.lags.of(known)
            if self._until >= self._reader.first_close(known, self._heads.get(known)) + lag:
                bases.append(known)
        return max(bases, key=_length, default=None)

    def _add_events(self, kind: str) -> None:
        dataset = self._request.dataset(kind)
        is_state = kind in STATES
        if self._is_never_received(dataset):
            self._absent.append(Absent(kind, str(dataset), f"nobody notes when rows of {kind} are received"))
            return
        lag = self._engine.lags.of(dataset)
        start = self._since - lag if is_state else self._since
        need = self._need(dataset, start, int(is_state))
        rows = self._rows(need)
        absent: Absent | None = None
        # Without names, a frame has what there is.
        if self._request.kinds is not None:
            absent = Absent(kind, str(dataset), f"the lake has no {dataset}")
        if rows is None:
            if absent is not None:
                self._absent.append(absent)
            return
        facts = replace(self._facts(rows, need, lag), since=self._first_known(rows))
        self._parts[kind] = PartData(kind, self._timeline(rows), is_state, facts, source=rows.source, before=absent)

    def _first_known(self, rows: _Rows) -> int:
        """Return from when on it could be known that there is such a dataset."""
        known = [self._timeline(rows).first_known, self._first_known_before(rows)]
        if rows.coverage.pieces:
            known.append(rows.coverage.pieces[0].span.start)
        return min(known)

    def _first_known_before(self, rows: _Rows) -> int:
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

    def _books(self) -> BookReads | None:
        kinds, depth = self._request.kinds, self._request.book_depth
        dataset = self._request.dataset("book")
        is_named = depth is not None or "book" in (kinds or ())
        if kinds is not None and not is_named:
            return None
        live = self._reader.live_rows(dataset)
        if dataset not in self._heads:
            if is_named:
                self._absent.append(Absent("book", str(dataset), f"no snapshot of {dataset} was known"))
            return None
        # Caught now: when the book is looked at, there may be newer ones.
        self._live_book = live
        return BookReads(dataset, is_named, self._read_book, self._read_imbalances, self._at)

    @cached_property
    def _engine_of_books(self) -> Engine:
        """An engine that reads this version later, too, with the changes that were not committed yet."""
        engine, live = self._pinned, self._live_book
        if live is None:
            return engine
        dataset = self._request.dataset("book")
        since = int(live["ts"].to_physical()[0])
        stored = engine.load(dataset, Span(since, ALL_TIME.end))
        fresh = _not_stored(live, stored, dataset, "natural")
        newest = engine.load(dataset, last=1, provenance=True)
        if not fresh.height or not newest.height:
            return engine
        rows = canonical(fresh, dataset.spec, int(newest[PROVENANCE][0]))
        return overlaid(engine, {dataset: sort(rows, dataset.spec)}, engine.now, "add")

    @cached_property
    def _pinned(self) -> Engine:
        """An engine that reads the same version later, too."""
        if self._engine.catalog.pinned is not None:
            return self._engine
        return self._engine.at(self._version, self._engine.now())

    def _read_book(self, at: int) -> Book:
        from ticklake.query.book import book_at

        request, engine = self._request, self._engine_of_books
        return book_at(
            engine, request.dataset("book"), at, request.book_depth, None, request.knowledge, self._engine.lags
        )

    def _read_imbalances(self, at: Times) -> pl.DataFrame:
        from ticklake.query.book_stats import imbalances_at

        request = self._request
        return imbalances_at(
            self._engine_of_books,
            request.dataset("book"),
            at.tolist(),
            depth=request.book_depth or _IMBALANCE_DEPTH,
            knowledge=request.knowledge,
            lags=self._engine.lags,
        )

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

    # What parts are made of

    def _timeline(self, rows: _Rows) -> Timeline:
        key = self._request.knowledge
        timeline: Timeline | None = rows.timelines.get(key)
        if timeline is None:
            timeline = rows.timelines[key] = self._new_timeline(rows)
        return timeline

    def _new_timeline(self, rows: _Rows) -> Timeline:
        knowledge, lags = self._request.knowledge, self._engine.lags
        if rows.stored is not None and rows.fresh is not None:
            return self._timeline(rows.stored).extended(rows.fresh, knowledge, lags)
        return Timeline(rows.dataset, rows.frame, knowledge, lags, rows.keying, rows.revisions)

    def _made(self, rows: _Rows, timeframe: Timeframe, lag: int) -> DerivedBars:
        key = (self._request.knowledge, timeframe)
        bars = rows.timelines.get(key)
        if bars is None:
            bars = DerivedBars(self._timeline(rows), timeframe, self._edge(rows, timeframe), lag)
            rows.timelines[key] = bars
        return bars

    def _edge(self, rows: _Rows, timeframe: Timeframe) -> Edge:
        dataset = rows.dataset
        looked = rows.coverage.spans(Found.DATA)
        first = rows.first_ts
        is_clock = False
        if not dataset.spec.bars:
            notes = GapNotes(self._engine.catalog.database, self._engine.now)
            is_clock = not rows.is_live and notes.wanted(dataset) is None
        if is_clock and first is not None:
            # Nobody adds to these rows: their first bar is as whole as it will ever be.
            first = timeframe.floor(first, dataset.anchor_of(timeframe))
        begins = [span.start for span in looked[:1]]
        if first is not None:
            begins.append(first)
        return Edge(
            min(begins, default=ALL_TIME.start),
            np.array([span.start for span in looked], dtype=np.int64),
            np.array([span.end for span in looked], dtype=np.int64),
            is_clock,
        )

    def _facts(self, rows: _Rows, need: _Need, lag: int) -> Facts:
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
            only_snapshots=dataset.kind in SNAPSHOTS,
        )

    # Reads

    def _need(self, dataset: Dataset, start: int, before: int) -> _Need:
        return _Need(dataset, Span(max(start, ALL_TIME.start), min(self._until + 1, ALL_TIME.end)), before)

    def _rows(self, need: _Need) -> _Rows | None:
        """Return the rows that are needed of a dataset; ``None`` if the lake has none of it, and it is not collected."""
        head = self._heads.get(need.dataset)
        live = self._reader.live_rows(need.dataset)
        if head is None and live is None:
            return None
        rows = self._stored(need, head)
        if live is None:
            return rows
        return _with_live(rows, live)

    def _stored(self, need: _Need, head: DatasetRow | None) -> _Rows:
        if head is None:
            return _Rows.none(need, self._version)
        if self._engine is not self._reader.engine:
            # A version that was pinned because there were so many: what is kept is of another one.
            return self._loaded(need, head)
        rows = self._reader.kept(need, self._version)
        if rows is not None:
            return rows
        outdated = self._read_rows.get(need.dataset) or self._reader.outdated(need.dataset)
        if outdated is not None and outdated.head is not None and outdated.head.id == head.id:
            if outdated.version != self._version:
                outdated = self._renewed(outdated, head)
            rows = self._extended(outdated, need, head)
        if rows is None:
            rows = self._loaded(need, head)
        self._read_rows[need.dataset] = rows
        return rows

    def _extended(self, rows: _Rows, need: _Need, head: DatasetRow) -> _Rows | None:
        """Return kept rows with those around them that are needed, too; ``None`` if they are too far away."""
        if rows.has(need):
            return rows
        hull = rows.span.hull(_widened(need, head))
        if _expected_rows(head, hull.length) > _MOST_KEPT or rows.size > self._reader.budget * 3 // 4:
            return None
        before = after = rows.frame.clear()
        segments = list(rows.segments)
        if hull.start < rows.span.start:
            found, before = self._read(need.dataset, Span(hull.start, rows.span.start))
            segments += found
        if hull.end > rows.span.end:
            found, after = self._read(need.dataset, Span(rows.span.end, hull.end))
            segments += found
        frame = pl.concat([before, rows.frame, after], rechunk=True)
        distinct = {segment.id: segment for segment in segments}
        extended = self._with_history(need.dataset, hull, head, tuple(distinct.values()), frame)
        if not extended.has(need):
            return None
        return extended

    def _read(self, dataset: Dataset, span: Span) -> tuple[tuple[Segment, ...], pl.DataFrame]:
        store = self._engine.store

        def attempt() -> tuple[tuple[Segment, ...], pl.DataFrame]:
            view = store.view(dataset, span)
            return view.segments, read_rows(store, view, dataset.spec.names)

        return retried(attempt)

    def _loaded(self, need: _Need, head: DatasetRow) -> _Rows:
        """Read the rows that are needed."""
        wide = need.span
        if need.before:
            # Mostly one read brings the rows before the window, too.
            wide = _widened(need, head)
        return self._contiguous(_Need(need.dataset, wide, 0), need, head)

    def _contiguous(self, wide: _Need, need: _Need, head: DatasetRow) -> _Rows:
        dataset, span = need.dataset, wide.span
        segments, frame = self._read(dataset, span)
        before = int(frame["ts"].to_physical().search_sorted(need.span.start))
        if before < need.before and head.min_ts is not None and head.min_ts < span.start:
            more = self._engine.load(dataset, Span(ALL_TIME.start, span.start), last=need.before)
            start = ALL_TIME.start
            if more.height == need.before:
                start = int(more["ts"].to_physical()[0])
            frame = pl.concat([more, frame], rechunk=True)
            span = Span(start, span.end)
        return self._with_history(dataset, span, head, segments, frame)

    def _with_history(
        self, dataset: Dataset, span: Span, head: DatasetRow, segments: tuple[Segment, ...], frame: pl.DataFrame
    ) -> _Rows:
        catalog = self._engine.catalog
        revisions: Sequence[dict[str, Any]] = ()
        has_revisions, has_refused = catalog.has_history(dataset)
        if has_revisions:
            revisions = catalog.revisions(dataset, span)
        refused = _NO_TIMES
        if has_refused:
            found = [row[0] for rows in catalog.refused(dataset, span, ["ts"]) for row in rows if row[0] is not None]
            refused = pl.Series("ts", found, dtype=pl.Int64)
        coverage = catalog.coverage(dataset)
        return _Rows(dataset, span, self._version, head, segments, frame, coverage, revisions, refused)

    def _renewed(self, rows: _Rows, head: DatasetRow) -> _Rows:
        """Return rows as of a newer version: what changed is read, and the rest is kept."""
        if rows.head is not None and head.changed_in == rows.head.changed_in:
            renewed = self._with_history(rows.dataset, rows.span, head, rows.segments, rows.frame)
            if renewed.revisions == rows.revisions:
                # Bars that are made of rows depend on coverage, too.
                is_same = renewed.coverage == rows.coverage
                kept = {key: made for key, made in rows.timelines.items() if key in KNOWLEDGE or is_same}
                kept.pop(_LIVE, None)
                renewed.timelines = kept
            return renewed
        store = self._engine.store
        now = store.view(rows.dataset, rows.span, data=False).segments
        before = {segment.id for segment in rows.segments}
        after = {segment.id for segment in now}
        changed = [segment.span for segment in now if segment.id not in before]
        changed += [segment.span for segment in rows.segments if segment.id not in after]
        frame = rows.frame
        parts = normalise(part for span in changed if (part := span.intersect(rows.span)) is not None)
        if parts:
            part = Span(parts[0].start, parts[-1].end)
            fresh = retried(lambda: read_rows(store, store.view(rows.dataset, part), rows.dataset.spec.names))
            ts = frame["ts"].to_physical()
            first, last = int(ts.search_sorted(part.start)), int(ts.search_sorted(part.end))
            frame = pl.concat([frame.head(first), fresh, frame.slice(last)])
        return self._with_history(rows.dataset, rows.span, head, now, frame)


def _can_be_base(base: Dataset, dataset: Dataset) -> bool:
    """Whether the bars of *dataset* can be made of the rows of *base*."""
    if base.kind not in ("ohlcv", "trades") or dataset.timeframe is None:
        return False
    return can_become(base, dataset.timeframe)


def _length(dataset: Dataset) -> int:
    if dataset.timeframe is None:
        return 0
    return dataset.timeframe.length


def _expected_rows(head: DatasetRow, length: int) -> float:
    """Return about how many rows a dataset has in so much time."""
    if head.min_ts is None or head.max_ts is None:
        return 0
    return head.rows * min(1.0, length / max(head.max_ts - head.min_ts, 1))


def _widened(need: _Need, head: DatasetRow) -> Span:
    """Return the span that is read: the next frames are often near."""
    dataset, span = need.dataset, need.span
    if dataset.spec.bars and dataset.timeframe is not None:
        around = _BARS_AROUND * dataset.timeframe.length
        return span.widen(max(around, 2 * need.before * dataset.timeframe.length), around)
    hours = Span(span.start // HOUR * HOUR, -(-span.end // HOUR) * HOUR).intersect(ALL_TIME) or span
    if _expected_rows(head, hours.length) > _MOST_ROWS:
        return span
    return hours


def _with_live(rows: _Rows, live: pl.DataFrame) -> _Rows:
    """Return stored rows with those that are not committed yet."""
    times = live["ts"].to_numpy().view(np.int64)
    key = (len(times), int(times[-1]))
    known = rows.timelines.get(_LIVE)
    if known is None or known[0] != key:
        known = rows.timelines[_LIVE] = (key, _joined(rows, live, times))
    with_live: _Rows = known[1]
    return with_live


def _joined(rows: _Rows, live: pl.DataFrame, times: Times) -> _Rows:
    stored = rows.frame
    place = int(rows.ts.searchsorted(times[0]))
    fresh = live
    if place < stored.height:
        shared = int(times.searchsorted(rows.ts[-1], side="right"))
        # Committed rows are those of the cache: only where they differ, they have to be compared.
        if np.array_equal(times[:shared], rows.ts[place:]):
            fresh = live.slice(shared)
        else:
            fresh = _not_stored(live, stored.slice(place), rows.dataset, rows.keying)
    since = int(times[0])
    coverage = rows.coverage
    if not rows.dataset.spec.bars:
        # The stream goes on without a hole: nothing is missing since its oldest row that is kept. Whether others share the instant of that
        # one is not known. Of bars each is looked for.
        coverage = coverage.add(Covered(Span(since + 1, ALL_TIME.end)))
    joined = replace(rows, live_since=since, coverage=coverage, timelines={})
    if not fresh.height:
        joined.timelines.update({key: made for key, made in rows.timelines.items() if key in KNOWLEDGE})
        return joined
    fresh = fresh.select(stored.columns)
    joined.frame = pl.concat([stored, fresh])
    if not stored.height or fresh["ts"][0] > stored["ts"][-1]:
        joined.stored, joined.fresh = rows, fresh
    else:
        joined.frame = joined.frame.sort("ts", maintain_order=True)
    return joined


def _not_stored(live: pl.DataFrame, stored: pl.DataFrame, dataset: Dataset, keying: Keying) -> pl.DataFrame:
    """Return those live rows that are not stored; of a row that is both, the stored one holds."""
    kind = dataset.spec
    key = [name for name in key_of(kind, keying) if name in live.columns]
    return live.filter(~is_in(live, stored.select(key)))
