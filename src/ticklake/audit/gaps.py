"""Gap detection: what is missing of a dataset, and why, from everything that the lake holds."""

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
from ticklake.core.events import missed_events
from ticklake.core.gaps import (
    Gap,
    GapReason,
    GapReport,
    bar_holes,
    during_outages,
    gaps_of,
    gaps_within,
    never_fetched,
    with_events,
    with_jumps,
)
from ticklake.core.outage import Quiet, covers
from ticklake.core.sequence import LATE, Jump, Numbering, has_numbers, spared
from ticklake.core.span import ALL_TIME, Span, common, normalise, subtract
from ticklake.core.time import format_time
from ticklake.engine.engine import Engine
from ticklake.engine.read import load, read_chunks
from ticklake.engine.store import Store, retried

__all__ = ["closed_spans", "gap_report", "missing_intervals"]

_FEW = 16
"""So many instants are read one by one; if there are more, everything between them is read."""
_NUMBERED = {"trades": ("id", "trade ids"), "book": ("seq", "updates")}


def missing_intervals(engine: Engine, dataset: Dataset, want: Span) -> list[Span]:
    """Return the spans inside *want* without rows that should have them.

    For bars: the bars of the calendar that are absent. For other kinds: what was never covered. Time in which the market is
    closed is left out.
    """
    store = engine.store
    coverage, shut = store.catalog.coverage(dataset), closed_spans(engine, dataset, want)
    if dataset.timeframe is None:
        only = _has_only_snapshots(store, dataset)
        return [part for hole in subtract(want, shut) for part in never_fetched(hole, coverage, only_snapshots=only)]
    return retried(lambda: bar_holes(dataset, want, _times_by_piece(store, dataset, want), coverage, shut))


def gap_report(engine: Engine, dataset: Dataset, want: Span, *, quick: bool = False) -> GapReport:
    """Return every hole inside *want* with its reason.

    Coverage, calendar and quarantine tell most; if *quick*, that is all that is looked at. Else sequence numbers, schedules and
    the silence of other symbols are looked at, too: one pass over the times and ids of trades (about half a second for ten
    million), and for bars, where some are absent, the times of other symbols around them. What is read of those is
    kept for the next report of the same version.
    """
    store = engine.store
    coverage, shut = store.catalog.coverage(dataset), closed_spans(engine, dataset, want)
    invalid = pl.Series("ts", [], dtype=pl.Int64)
    if dataset.timeframe is not None:
        gaps = retried(lambda: _gaps_in_bars(store, dataset, want, coverage, shut))
    else:
        invalid = _still_refused(store, dataset, want)
        only = _has_only_snapshots(store, dataset)
        gaps = gaps_of(dataset, want, coverage, (), [invalid], shut, only_snapshots=only)
    if quick:
        return GapReport(tuple(gaps))
    reads = engine.cached("peers", lambda version: PeerReads(store, version))
    peers = Peers(store, dataset, coverage, reads)
    if dataset.timeframe is not None:
        return GapReport(tuple(_bars_in_outages(dataset, want, gaps, peers)))
    if dataset.kind == "funding":
        return GapReport(tuple(_by_schedule(store, dataset, want, gaps, invalid.to_list(), peers)))
    if dataset.kind in _NUMBERED:
        return _by_numbers(store, dataset, want, gaps, coverage, shut, peers)
    return GapReport(tuple(gaps))


def _gaps_in_bars(store: Store, dataset: Dataset, want: Span, coverage: Coverage, shut: Sequence[Span]) -> list[Gap]:
    present = _times_by_piece(store, dataset, want)
    return gaps_of(dataset, want, coverage, present, _refused_times(store, dataset, want), shut)


def _bars_in_outages(dataset: Dataset, want: Span, gaps: Sequence[Gap], peers: Peers) -> list[Gap]:
    """Tell outages from silence where other symbols were looked at, or say why that is impossible."""
    silent = [gap.span for gap in gaps if gap.reason is GapReason.NO_TRADES]
    if not silent:
        return list(gaps)
    if peers.alone:
        return [_with_detail(gap, peers.alone) for gap in gaps]
    return during_outages(dataset, gaps, peers.silent_bars(silent, want))


def _with_detail(gap: Gap, why: str) -> Gap:
    if gap.reason is not GapReason.NO_TRADES:
        return gap
    return replace(gap, detail=why)


def _by_schedule(
    store: Store, dataset: Dataset, want: Span, gaps: Sequence[Gap], invalid: Sequence[int], peers: Peers
) -> list[Gap]:
    """Count the events that are missing in *gaps*, and add those that are missing where all was looked at.

    All events are read, whatever is wanted: those beside it say what the interval is.
    """
    events = _times(store, dataset, ALL_TIME).to_list()
    missed = [left for stretch in missed_events(events, want) for left in stretch.without(invalid)]
    return sorted([*with_events(gaps, missed), *peers.missed_events(missed)], key=lambda gap: gap.span)


def _by_numbers(
    store: Store,
    dataset: Dataset,
    want: Span,
    gaps: list[Gap],
    coverage: Coverage,
    closed: Sequence[Span],
    peers: Peers,
) -> GapReport:
    """Add what one pass over numbers and times finds: missing rows, and silence of all symbols."""
    column, what = _NUMBERED[dataset.kind]
    row = store.catalog.dataset(dataset)
    is_numbered = row is not None and has_numbers(dataset, row.id_space)
    shortest = None
    if dataset.kind == "trades" and not peers.alone:
        shortest = peers.shortest(want)
    if not is_numbered and shortest is None:
        return GapReport(tuple(gaps))
    around = _with_neighbours(store, dataset, want) if is_numbered else want
    numbering, quiet = retried(lambda: _passed(store, dataset, around, want, is_numbered, shortest))
    jumps: list[Jump] = []
    if numbering is not None:
        jumps = [jump for jump in numbering.jumps if jump.span.overlaps(want)]
    if jumps:
        jumps = list(spared(jumps, _refused_numbers(store, dataset, around, column, jumps)))
    found = gaps_within(with_jumps(gaps, jumps, coverage, what), want)
    if quiet is not None:
        silent = _open_silence(quiet.finish(), coverage.spans(Found.DATA), closed, jumps)
        found = sorted([*found, *peers.silent_trades(silent, quiet.shortest)], key=lambda gap: gap.span)
    return GapReport(tuple(found), tuple(_notes(dataset, want, what, numbering)))


def _passed(
    store: Store, dataset: Dataset, around: Span, want: Span, is_numbered: bool, shortest: int | None
) -> tuple[Numbering | None, Quiet | None]:
    """Read times and numbers once, in order; silence of at least *shortest* is looked for inside *want*."""
    # Both begin empty here: when a file went away meanwhile, the whole pass is repeated.
    numbering = Numbering() if is_numbered else None
    quiet = None if shortest is None else Quiet(want, shortest)
    column, _ = _NUMBERED[dataset.kind]
    is_book = dataset.kind == "book"
    names = ["ts"]
    if is_numbered:
        names.append(column)
    if is_book:
        names.append("is_snapshot")
    for frame in _pieces(store, dataset, around, names):
        times = frame["ts"].to_physical()
        if numbering is not None:
            numbering.feed(times, whole_numbers(frame[column]), frame["is_snapshot"] if is_book else None)
        if quiet is not None:
            quiet.feed(times.filter((times >= want.start) & (times < want.end)))
    if numbering is not None:
        numbering.finish()
    return numbering, quiet


def _with_neighbours(store: Store, dataset: Dataset, want: Span) -> Span:
    """Return *want* with at least one row before and after it, where there is one, and what comes a little out of turn."""
    segments = store.view(dataset, data=False).segments
    before = max((segment.min_ts for segment in segments if segment.min_ts < want.start), default=want.start)
    after = min((segment.max_ts for segment in segments if segment.max_ts >= want.end), default=want.end - 1)
    return Span(before, after + 1).widen(LATE, LATE)


def _open_silence(
    quiet: Iterable[Span], data: Sequence[Span], closed: Sequence[Span], jumps: Sequence[Jump]
) -> list[Span]:
    """Return the quiet stretches that were looked at, while the market was open, and where no trade is missing."""
    seen = common(list(quiet), data)
    awake = [part for span in seen for part in subtract(span, closed)]
    jumped = normalise(jump.span for jump in jumps)
    return [span for span in awake if list(subtract(span, jumped)) == [span]]


def _notes(dataset: Dataset, want: Span, what: str, numbering: Numbering | None) -> Iterator[str]:
    if numbering is None:
        return
    if numbering.is_scattered:
        yield f"{dataset}: {what} have too many holes to be numbered without any: what is missing cannot be told from them"
    for anew in (restart for restart in numbering.restarts if restart.at in want):
        yield f"{dataset}: {what} begin anew at {format_time(anew.at)}: after {anew.before} comes {anew.after}; no gap"


def _refused_times(store: Store, dataset: Dataset, want: Span) -> Iterator[pl.Series]:
    """Yield the times of refused rows, many at a time; those without one are left out."""
    for rows in store.catalog.refused(dataset, want, ["ts"]):
        yield pl.Series("ts", [row[0] for row in rows], dtype=pl.Int64).drop_nulls()


def _still_refused(store: Store, dataset: Dataset, want: Span) -> pl.Series:
    """Return the times of refused rows that did not come a second time as good rows, once each and sorted.

    Of bars this need not be asked: where a good one came, there is no hole.
    """
    times = pl.concat([pl.Series("ts", [], dtype=pl.Int64), *_refused_times(store, dataset, want)]).unique().sort()
    if not times.len():
        return times
    good = retried(lambda: _keys_at(store, dataset, times))
    if not good:
        return times
    names = list(dataset.spec.key)
    good_times = {key[0] for key in good}
    still, known = set[int](), set(times.to_list())
    for rows in store.catalog.refused(dataset, want, ["ts", "row"]):
        for ts, text in rows:
            if ts is not None and (str(ts) not in good_times or _key_of(text, names) not in good):
                still.add(ts)
    return pl.Series("ts", sorted(still & known), dtype=pl.Int64)


def _keys_at(store: Store, dataset: Dataset, times: pl.Series) -> set[tuple[str, ...]]:
    """Return the keys of the rows at *times*, sorted, as text; the time comes first."""
    key = list(dataset.spec.key)
    spans = [Span(int(times[0]), int(times[-1]) + 1)]
    if times.len() <= _FEW:
        spans = [Span(ts, ts + 1) for ts in times]
    found = set[tuple[str, ...]]()
    for span in spans:
        for frame in _pieces(store, dataset, span, key):
            rows = frame.with_columns(pl.col("ts").to_physical()).filter(pl.col("ts").is_in(times.implode()))
            found |= {tuple(map(str, row)) for row in rows.iter_rows()}
    return found


def _key_of(row: str, names: Sequence[str]) -> tuple[str, ...]:
    values = json.loads(row)
    return tuple(str(values.get(name)) for name in names)


def _refused_numbers(store: Store, dataset: Dataset, want: Span, column: str, jumps: Sequence[Jump]) -> set[int]:
    """Return the numbers of refused rows inside *jumps*: they are no riddle, their gap says ``invalid``."""
    missing = normalise(Span(jump.first, jump.last + 1) for jump in jumps)
    found = set[int]()
    for rows in store.catalog.refused(dataset, want, ["ts", "row"]):
        ids = (str(json.loads(text).get(column)) for _, text in rows)
        numbers = (int(text) for text in ids if text.isdecimal())
        found |= {number for number in numbers if covers(missing, Span(number, number + 1))}
    return found


def _has_only_snapshots(store: Store, dataset: Dataset) -> bool:
    """Whether no row of a dataset follows from the one before: between updates of a book rows are expected."""
    if dataset.kind not in SNAPSHOTS:
        return False
    if "is_snapshot" not in dataset.spec.names:
        return True

    def attempt() -> bool:
        return all(rows["is_snapshot"].all() for rows in _pieces(store, dataset, ALL_TIME, ["ts", "is_snapshot"]))

    return retried(attempt)


def closed_spans(engine: Engine, dataset: Dataset, span: Span) -> list[Span]:
    """Return when the market of *dataset* is closed inside *span*, and nothing can be missing."""
    if not dataset.spec.in_sessions:
        return []
    return engine.sessions.closed(dataset, span)


def _times(store: Store, dataset: Dataset, span: Span) -> pl.Series:
    return load(store, dataset, span, columns=["ts"])["ts"].to_physical()


def _times_by_piece(store: Store, dataset: Dataset, span: Span) -> Iterator[pl.Series]:
    """Yield the times of the rows inside *span*, in order: much memory is needed for none."""
    return (frame["ts"].to_physical() for frame in _pieces(store, dataset, span, ["ts"]))


def _pieces(store: Store, dataset: Dataset, span: Span, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    return read_chunks(store, store.view(dataset, span), columns)
