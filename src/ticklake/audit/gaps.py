"""Gap detection: which rows of a dataset are missing, and why, by everything that the lake holds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import polars as pl

from ticklake.audit.outages import Peers
from ticklake.audit.peers import PeerReads
from ticklake.audit.sequence import whole_numbers
from ticklake.core.coverage import Coverage, Found
from ticklake.core.dataset import SNAPSHOTS, Dataset
from ticklake.core.events import Missed, missed_events
from ticklake.core.gaps import (
    Gap,
    GapReason,
    GapReport,
    apart_from_outer_instants,
    bar_holes,
    during_outages,
    gaps_of,
    gaps_within,
    never_fetched,
    with_events,
    with_jumps,
    with_rows_missing,
)
from ticklake.core.outage import Quiet, covers
from ticklake.core.sequence import LATE, Jump, Numbering, has_numbers, spared
from ticklake.core.span import ALL_TIME, Span, common, normalise, outside, subtract
from ticklake.core.time import format_time
from ticklake.engine.engine import Engine
from ticklake.engine.read import load, read_chunks
from ticklake.engine.store import Store, retried

__all__ = ["closed_spans", "gap_report", "has_only_snapshots", "missing_intervals"]

_FEW = 16
"""Up to so many instants are read one by one; for more, everything between the first and the last is read."""
_NUMBERED = {"trades": ("id", "trade ids"), "book": ("seq", "updates")}


def missing_intervals(engine: Engine, dataset: Dataset, want: Span) -> list[Span]:
    """Return the spans inside *want* without rows that should have them.

    For bars: the bars of the calendar that are absent. For other kinds: what was never covered. Time in which the market is
    closed is left out.
    """
    store = engine.store
    coverage = store.catalog.coverage(dataset)
    if dataset.spec.definition:
        return [gap.span for gap in _gaps_in_features(dataset, want, coverage)]
    closed = closed_spans(engine, dataset, want)
    if dataset.timeframe is None:
        only_snapshots = has_only_snapshots(store, dataset)
        missing: list[Span] = []
        for trading in subtract(want, closed):
            missing += never_fetched(trading, coverage, only_snapshots=only_snapshots)
        return missing
    return retried(lambda: bar_holes(dataset, want, _times(store, dataset, want), coverage, closed))


def gap_report(engine: Engine, dataset: Dataset, want: Span, *, quick: bool = False) -> GapReport:
    """Return every hole inside *want* with its reason.

    Coverage, calendar and quarantine explain most holes; if *quick*, nothing else is used. Otherwise sequence numbers,
    schedules and the silence of other symbols are used too. This takes one pass over the times and ids of trades (about
    half a second for ten million), and for absent bars a read of the times of other symbols around them. Those times are
    kept for the next report on the same version.
    """
    store = engine.store
    coverage = store.catalog.coverage(dataset)
    if dataset.spec.definition:
        gaps = _gaps_in_features(dataset, want, coverage)
        if coverage.pieces:
            return GapReport(tuple(gaps))
        return GapReport(notes=(f"{dataset}: its values were written, so it is not known when there should be one",))
    closed = closed_spans(engine, dataset, want)
    invalid = pl.Series("ts", [], dtype=pl.Int64)
    instants: list[Gap] = []
    if dataset.timeframe is not None:
        gaps = retried(lambda: _gaps_in_bars(store, dataset, want, coverage, closed))
    else:
        invalid = _still_refused(store, dataset, want)
        only_snapshots = has_only_snapshots(store, dataset)
        gaps = gaps_of(dataset, want, coverage, (), [invalid], closed, only_snapshots=only_snapshots)
        row = store.catalog.dataset(dataset)
        if row is not None:
            gaps, instants = apart_from_outer_instants(gaps, coverage, row.min_ts, row.max_ts)
    if quick:
        return GapReport(tuple(gaps))
    reads = engine.cached("peers", lambda version: PeerReads(store, version))
    peers = Peers(store, dataset, coverage, reads)
    if dataset.timeframe is not None:
        return GapReport(tuple(_bars_in_outages(dataset, want, gaps, peers)))
    if dataset.kind == "funding":
        return GapReport(tuple(_by_schedule(store, dataset, want, gaps, invalid.to_list(), peers)))
    if dataset.kind in _NUMBERED:
        return _by_numbers(store, dataset, want, gaps, instants, coverage, closed, peers)
    return GapReport(tuple(gaps))


def _gaps_in_features(dataset: Dataset, want: Span, coverage: Coverage) -> list[Gap]:
    """Return the holes between the instants at which values were computed; of those that users wrote none is expected."""
    reach = coverage.reach
    inside = None
    if reach is not None:
        inside = reach.intersect(want)
    if inside is None:
        return []
    return gaps_of(dataset, inside, coverage, (), ())


def _gaps_in_bars(store: Store, dataset: Dataset, want: Span, coverage: Coverage, closed: Sequence[Span]) -> list[Gap]:
    present = _times(store, dataset, want)
    return gaps_of(dataset, want, coverage, present, _refused_times(store, dataset, want), closed)


def _bars_in_outages(dataset: Dataset, want: Span, gaps: Sequence[Gap], peers: Peers) -> list[Gap]:
    """Turn bars without trades into outages where other symbols were silent too, or say why that cannot be decided."""
    silent: list[Span] = []
    explained: list[Gap] = []
    for gap in gaps:
        if gap.reason is GapReason.NO_TRADES:
            silent.append(gap.span)
            explained.append(replace(gap, detail=peers.alone))
        else:
            explained.append(gap)
    # Without silent bars no other symbol has to be read.
    if not silent or peers.alone:
        return explained
    return during_outages(dataset, gaps, peers.silent_bars(silent, want))


def _by_schedule(
    store: Store, dataset: Dataset, want: Span, gaps: Sequence[Gap], invalid: Sequence[int], peers: Peers
) -> list[Gap]:
    """Count the events that are missing in *gaps*, and add gaps for those missing in covered spans.

    All events are read, not only those in *want*: the interval is derived from the events around it.
    """
    events = load(store, dataset, ALL_TIME, columns=["ts"])["ts"].to_physical().to_list()
    missed: list[Missed] = []
    for stretch in missed_events(events, want):
        missed += stretch.without(invalid)
    return _sorted(with_events(gaps, missed), peers.missed_events(missed))


def _by_numbers(
    store: Store,
    dataset: Dataset,
    want: Span,
    gaps: list[Gap],
    instants: Sequence[Gap],
    coverage: Coverage,
    closed: Sequence[Span],
    peers: Peers,
) -> GapReport:
    """Add the missing rows and the silences of all symbols that one pass over numbers and times finds."""
    column, what = _NUMBERED[dataset.kind]
    row = store.catalog.dataset(dataset)
    is_numbered = row is not None and has_numbers(dataset, row.id_space)
    shortest = None
    if dataset.kind == "trades" and not peers.alone:
        shortest = peers.shortest(want)
    if not is_numbered and shortest is None:
        return GapReport(tuple(gaps))
    around = want
    if is_numbered:
        # A jump across a bound of the span shows between a row inside and one outside.
        around = _with_neighbours(store, dataset, want)
    numbering, quiet = retried(lambda: _read_numbers(store, dataset, around, want, is_numbered, shortest))
    jumps: list[Jump] = []
    if numbering is not None:
        jumps = [jump for jump in numbering.jumps if jump.span.overlaps(want)]
    # Refused rows are searched only if there are jumps to explain: there may be millions of them.
    if jumps:
        jumps = list(spared(jumps, _refused_numbers(store, dataset, around, column, jumps)))
    gaps = gaps_within(with_jumps(gaps, jumps, coverage, what), want)
    gaps = _sorted(gaps, with_rows_missing(instants, jumps, what))
    if quiet is not None:
        silent = _open_silence(quiet.finish(), coverage.spans(Found.DATA), closed, jumps)
        gaps = _sorted(gaps, peers.silent_trades(silent, quiet.shortest))
    return GapReport(tuple(gaps), tuple(_notes(dataset, want, what, numbering)))


def _sorted(gaps: Iterable[Gap], others: Iterable[Gap]) -> list[Gap]:
    return sorted([*gaps, *others], key=lambda gap: gap.span)


def _read_numbers(
    store: Store, dataset: Dataset, around: Span, want: Span, is_numbered: bool, shortest: int | None
) -> tuple[Numbering | None, Quiet | None]:
    """Read times and numbers once, in order; look for silences of at least *shortest* inside *want*."""
    # Both are created here and not by the caller: if a file is compacted away meanwhile, the whole pass is repeated.
    numbering: Numbering | None = None
    quiet: Quiet | None = None
    names = ["ts"]
    column, _ = _NUMBERED[dataset.kind]
    is_book = dataset.kind == "book"
    if is_numbered:
        numbering = Numbering()
        names.append(column)
    if is_book:
        names.append("is_snapshot")
    if shortest is not None:
        quiet = Quiet(want, shortest)
    for frame in _chunks(store, dataset, around, names):
        times = frame["ts"].to_physical()
        if numbering is not None:
            snapshots = None
            if is_book:
                snapshots = frame["is_snapshot"]
            numbering.feed(times, whole_numbers(frame[column]), snapshots)
        if quiet is not None:
            quiet.feed(times.filter((times >= want.start) & (times < want.end)))
    if numbering is not None:
        numbering.finish()
    return numbering, quiet


def _with_neighbours(store: Store, dataset: Dataset, want: Span) -> Span:
    """Return *want*, widened so that it holds a row before and one after it, where there are any.

    It is wider than that by the time that rows may come out of order.
    """
    before: list[int] = []
    after: list[int] = []
    for segment in store.view(dataset, data=False).segments:
        if segment.min_ts < want.start:
            before.append(segment.min_ts)
        if segment.max_ts >= want.end:
            after.append(segment.max_ts)
    start = max(before, default=want.start)
    last = min(after, default=want.end - 1)
    return Span(start, last + 1).widen(LATE, LATE)


def _open_silence(
    quiet: Iterable[Span], data: Sequence[Span], closed: Sequence[Span], jumps: Sequence[Jump]
) -> list[Span]:
    """Return the quiet spans that are covered, while the market was open, and where no trade is missing."""
    trading = outside(common(list(quiet), data), closed)
    jumped = normalise(jump.before_next for jump in jumps)
    return [span for span in trading if list(subtract(span, jumped)) == [span]]


def _notes(dataset: Dataset, want: Span, what: str, numbering: Numbering | None) -> Iterator[str]:
    if numbering is None:
        return
    if numbering.is_scattered:
        yield f"{dataset}: {what} have too many holes to be numbered without any: what is missing cannot be told from them"
    for restart in numbering.restarts:
        if restart.at in want:
            jump = f"after {restart.before} comes {restart.after}"
            yield f"{dataset}: {what} begin anew at {format_time(restart.at)}: {jump}; no gap"


def _refused_times(store: Store, dataset: Dataset, want: Span) -> Iterator[pl.Series]:
    """Yield the times of refused rows in batches; rows without a time are left out."""
    for rows in store.catalog.refused(dataset, want, ["ts"]):
        yield pl.Series("ts", [row[0] for row in rows], dtype=pl.Int64).drop_nulls()


def _still_refused(store: Store, dataset: Dataset, want: Span) -> pl.Series:
    """Return the times of refused rows that did not come again as good rows, sorted and without repeats.

    Bars do not need this: a good bar that came later leaves no hole.
    """
    times = pl.concat([pl.Series("ts", [], dtype=pl.Int64), *_refused_times(store, dataset, want)]).unique().sort()
    if not times.len():
        return times
    good = retried(lambda: _keys_at(store, dataset, times))
    if not good:
        return times
    names = list(dataset.spec.key)
    good_times = {key[0] for key in good}
    refused_times = set[int]()
    for rows in store.catalog.refused(dataset, want, ["ts", "row"]):
        for ts, text in rows:
            # Most refused rows have no good row at their time: only the others are worth parsing.
            if ts is not None and (str(ts) not in good_times or _key_of(text, names) not in good):
                refused_times.add(ts)
    # Rows refused since the first look at the catalog were not compared with good ones: they are left out.
    return pl.Series("ts", sorted(refused_times.intersection(times.to_list())), dtype=pl.Int64)


def _keys_at(store: Store, dataset: Dataset, times: pl.Series) -> set[tuple[str, ...]]:
    """Return the keys of the rows at sorted *times*, as text; the time comes first."""
    names = list(dataset.spec.key)
    spans = [Span(int(times[0]), int(times[-1]) + 1)]
    if times.len() <= _FEW:
        # Reading one instant decodes one row group: for many of them, one read is cheaper.
        spans = [Span(ts, ts + 1) for ts in times]
    keys = set[tuple[str, ...]]()
    for span in spans:
        for frame in _chunks(store, dataset, span, names):
            rows = frame.with_columns(pl.col("ts").to_physical())
            for row in rows.filter(pl.col("ts").is_in(times.implode())).iter_rows():
                keys.add(tuple(map(str, row)))
    return keys


def _key_of(row: str, names: Sequence[str]) -> tuple[str, ...]:
    values = json.loads(row)
    return tuple(str(values.get(name)) for name in names)


def _refused_numbers(store: Store, dataset: Dataset, want: Span, column: str, jumps: Sequence[Jump]) -> set[int]:
    """Return the numbers of refused rows inside *jumps*: those rows are not lost, their gap says ``invalid``."""
    missing = normalise(Span(jump.first, jump.last + 1) for jump in jumps)
    refused = set[int]()
    for rows in store.catalog.refused(dataset, want, ["ts", "row"]):
        for _, row in rows:
            text = str(json.loads(row).get(column))
            if not text.isdecimal():
                continue
            number = int(text)
            if covers(missing, Span(number, number + 1)):
                refused.add(number)
    return refused


def has_only_snapshots(store: Store, dataset: Dataset) -> bool:
    """Whether every row is a snapshot of its own: after an update of a book, the next update is expected."""
    if dataset.kind not in SNAPSHOTS:
        return False
    if "is_snapshot" not in dataset.spec.names:
        return True

    def attempt() -> bool:
        return all(rows["is_snapshot"].all() for rows in _chunks(store, dataset, ALL_TIME, ["ts", "is_snapshot"]))

    return retried(attempt)


def closed_spans(engine: Engine, dataset: Dataset, span: Span) -> list[Span]:
    """Return when the market of *dataset* is closed inside *span*: nothing can be missing then."""
    if not dataset.spec.in_sessions:
        return []
    return engine.sessions.closed(dataset, span)


def _times(store: Store, dataset: Dataset, span: Span) -> Iterator[pl.Series]:
    """Yield the times of the rows inside *span* in order, chunk by chunk: a dataset's times may not fit in memory."""
    for frame in _chunks(store, dataset, span, ["ts"]):
        yield frame["ts"].to_physical()


def _chunks(store: Store, dataset: Dataset, span: Span, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    return read_chunks(store, store.view(dataset, span), columns)
