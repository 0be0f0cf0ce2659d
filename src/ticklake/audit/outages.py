"""Outages: whether the other symbols of an exchange were silent, too, while one symbol had no rows."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice

import polars as pl

from ticklake.audit.peers import PeerReads
from ticklake.catalog.changes import DatasetRow
from ticklake.core.coverage import Coverage, Found
from ticklake.core.dataset import Dataset
from ticklake.core.events import JITTER, Missed, missed_within
from ticklake.core.gaps import Gap, GapReason, silence_reason
from ticklake.core.kinds import PROVENANCE
from ticklake.core.outage import (
    FEWEST_ROWS,
    LONGEST,
    Quiet,
    Silence,
    SilentBars,
    Witness,
    are_enough,
    covers,
    inside,
    shortest_silence,
    usual_pause,
    witnessed,
)
from ticklake.core.span import ALL_TIME, Span, common, normalise
from ticklake.core.time import DAY, HOUR
from ticklake.core.timeframe import Timeframe
from ticklake.engine.read import load, read_chunks
from ticklake.engine.store import Store, retried

__all__ = ["Peers"]

_AROUND, _FEWEST_BARS = 20, 2000
"""Usual pauses are measured on either side of a silence, within this many of its lengths or at least this many bars."""
_MOST_WITNESSES = 32
_BLOCK = 1 << 14
"""So many bars are read together: to read one of them, about as many are decoded anyway."""
_NO_BARS = pl.DataFrame(schema={"ts": pl.Int64, "odds": pl.Float64, "seen": pl.Int32})


class Peers:
    """The datasets of the same exchange, kind and timeframe, for other symbols; those with the most rows first."""

    def __init__(self, store: Store, dataset: Dataset, coverage: Coverage, reads: PeerReads) -> None:
        self._store = store
        self._reads = reads
        self._dataset = dataset
        self._data = coverage.spans(Found.DATA)

    @cached_property
    def alone(self) -> str:
        """Why outages cannot be inferred; empty if there are other symbols."""
        if self._others:
            return ""
        return f"no other symbol of {self._dataset.exchange} is held: whether it was an outage cannot be told"

    def silent_bars(self, silent: Sequence[Span], want: Span) -> Iterator[tuple[Span, str]]:
        """Yield the parts of *silent* where all symbols are silent, each with the reason to give."""
        frame = self._dataset.timeframe
        # Months differ in length, so blocks of them have no fixed bounds.
        if frame is None or frame.is_month:
            return
        # All symbols have the same blocks, so what one report reads serves the reports of the others.
        blocks = _blocks(silent, _BLOCK * frame.length)
        missing = pl.concat([_NO_BARS, *(self._missing_everywhere(frame, block) for block in blocks)])
        opens = missing["ts"].filter(inside(missing["ts"], normalise(silent)))
        looked_at: list[Span] = []
        share = 1.0
        if self._row is not None:
            looked_at = self._looked_at(self._row)
            share = self._share(self._row)
        bars = SilentBars.among(missing, opens, looked_at, share, frame.count_in(want, self._dataset.anchor))
        for span, witnesses in bars.outages(frame.length):
            if self._is_proven(span):
                yield span, self._reason(witnesses)

    def _missing_everywhere(self, frame: Timeframe, block: Span) -> pl.DataFrame:
        """Return the bars of a block that no symbol has.

        This symbol is among them, so that the answer is the same for all symbols and is read only once.
        """

        def read() -> pl.DataFrame:
            span = block.intersect(ALL_TIME)
            if span is None:
                return _NO_BARS
            bars = SilentBars(frame.opens(span, self._dataset.anchor), 1.0, 1)
            for row in self._reads.alike(self._dataset):
                # Each bar of the block was found at some symbol: no other one need be read.
                if not bars.opens.len():
                    break
                present = self._reads.times(row.dataset, span)
                bars.ask(present, self._looked_at(row), self._share(row))
            return bars.bars.cast(_NO_BARS.schema)

        group = (self._dataset.exchange, self._dataset.kind_text, str(frame))
        # The cache is bounded by values, and a bar has three.
        return self._reads.once(("missing", *group, block), read, lambda bars: 3 * bars.height)

    def shortest(self, want: Span) -> int:
        """Return how long trades must be silent for it not to be chance."""
        rate = sum(map(_rate, self._others))
        if self._row is not None:
            rate += _rate(self._row)
        return shortest_silence(rate, want.length)

    def silent_trades(self, silent: Sequence[Span], shortest: int) -> Iterator[Gap]:
        """Yield the parts of *silent* in which no symbol trades."""
        silences = [Silence(span) for span in silent if span.length >= shortest]
        for other in self._others:
            silences = list(self._shared(other, silences, shortest))
        for silence in silences:
            # One symbol alone makes no outage (docs/adr/0015).
            if silence.seen and self._is_proven(silence.span):
                yield Gap(silence.span, None, silence_reason(silence.span), self._reason(silence.seen))

    def _shared(self, other: DatasetRow, silences: Sequence[Silence], shortest: int) -> Iterator[Silence]:
        """Yield what is left of sorted silences after the trades of another symbol."""
        looked_at = self._looked_at(other)
        for group in _groups(silences):
            quiet = self._quiet(other.dataset, Span(group[0].span.start, group[-1].span.end), shortest)
            for silence in group:
                first = bisect_right(quiet, silence.span.start, key=lambda span: span.end)
                last = bisect_left(quiet, silence.span.end, lo=first, key=lambda span: span.start)
                yield from witnessed(silence, quiet[first:last], looked_at, shortest)

    def missed_events(self, missed: Sequence[Missed]) -> Iterator[Gap]:
        """Yield a gap for the *missed* events inside coverage: an outage if all symbols lack them, else lost."""
        for span in self._data:
            for part in missed_within(missed, span):
                hole = Span(max(part.span.start, span.start), part.span.end)
                yield self._missed_gap(hole, part)

    def _missed_gap(self, hole: Span, missed: Missed) -> Gap:
        witnesses = _count_without(missed, self._events_of_others)
        reason = f"one was due every {missed.interval / HOUR:g} h"
        if witnesses and hole.length <= LONGEST:
            return Gap(hole, missed.count, GapReason.OUTAGE, f"{reason}; {self._reason(witnesses)}")
        return Gap(hole, missed.count, GapReason.LOST, reason)

    def _is_proven(self, silence: Span) -> bool:
        """Whether enough symbols were silent to conclude that the exchange was out."""
        frame = self._dataset.timeframe
        # Two thin symbols are silent together every night: an outage takes more rows, or more symbols (docs/adr/0024).
        if frame and (1 + len(self._others)) * (silence.length // frame.length) < FEWEST_ROWS:
            return False
        if self._row is None:
            return False
        own = self._witness(self._row, silence)
        if own is None:
            return False
        witnesses = [own]
        for other in self._others[:_MOST_WITNESSES]:
            if are_enough(witnesses, silence.length):
                break
            if not covers(self._looked_at(other), silence):
                continue
            witness = self._witness(other, silence)
            if witness is not None:
                witnesses.append(witness)
        return are_enough(witnesses, silence.length)

    def _witness(self, row: DatasetRow, silence: Span) -> Witness | None:
        """Return how a symbol traded around a silence; ``None`` if its rows come from files, which may lack any part."""
        return self._reads.once(("witness", row.dataset, silence), lambda: self._read_witness(row, silence))

    def _read_witness(self, row: DatasetRow, silence: Span) -> Witness | None:
        frame = row.dataset.timeframe
        if frame is None:
            bar = 0
            reach = min(_AROUND * silence.length, 6 * HOUR)
        else:
            bar = frame.length
            reach = max(_AROUND * silence.length, _FEWEST_BARS * bar)
        rows = load(self._store, row.dataset, silence.widen(reach, reach), columns=["ts", PROVENANCE])
        times = rows["ts"].to_physical()
        if not times.len():
            return None
        origins = self._store.catalog.provenances()
        edge = int(times.search_sorted(silence.start))
        # The rows on both sides of the silence; exports of files are cut anywhere.
        for number in rows[PROVENANCE].slice(max(edge - 1, 0), 2):
            if origins[number].source == "file":
                return None
        symbol = row.dataset.symbol
        # The silence itself must not lower the rate by which it is judged.
        traded_time = int(times[-1]) - int(times[0]) + bar - silence.length
        rate = times.len() / max(traded_time, 1)
        return Witness(symbol.base or str(symbol), usual_pause(times, silence, bar), rate)

    @cached_property
    def _others(self) -> list[DatasetRow]:
        alike = self._reads.alike(self._dataset)
        return [row for row in alike if row.dataset.symbol != self._dataset.symbol]

    @cached_property
    def _events_of_others(self) -> list[tuple[pl.Series, Sequence[Missed]]]:
        return [self._reads.events(other.dataset) for other in self._others]

    @cached_property
    def _row(self) -> DatasetRow | None:
        for row in self._reads.alike(self._dataset):
            if row.dataset == self._dataset:
                return row
        return None

    def _reason(self, witnesses: int) -> str:
        return f"{witnesses + 1} symbols of {self._dataset.exchange} were looked at, and all were silent"

    def _share(self, row: DatasetRow) -> float:
        """Return the share of bars that a dataset lacks between its first and its last bar."""
        frame = self._dataset.timeframe
        if frame is None:
            return 1.0
        expected = frame.count_in(_stored(row), self._dataset.anchor)
        if not expected:
            return 1.0
        return max(1 - row.rows / expected, 0.0)

    def _looked_at(self, row: DatasetRow) -> list[Span]:
        """Return the covered spans of a dataset between its first and its last row."""

        def read() -> list[Span]:
            return common(list(self._reads.looked_at(row.dataset)), [_stored(row)])

        return self._reads.once(("traded", row.dataset), read, len)

    def _quiet(self, dataset: Dataset, span: Span, shortest: int) -> list[Span]:
        def attempt() -> list[Span]:
            quiet = Quiet(span, shortest)
            for frame in read_chunks(self._store, self._store.view(dataset, span), ["ts"]):
                quiet.feed(frame["ts"].to_physical())
            return quiet.finish()

        return retried(attempt)


def _stored(row: DatasetRow) -> Span:
    """Return the span from the first to the last row of a dataset."""
    return Span(row.min_ts or 0, (row.max_ts or 0) + 1)


def _rate(row: DatasetRow) -> float:
    if row.rows < 2:
        return 0.0
    return row.rows / _stored(row).length


def _blocks(spans: Sequence[Span], size: int) -> list[Span]:
    """Return the blocks, each *size* long, that overlap one of *spans*, in order."""
    numbers = set[int]()
    for span in spans:
        numbers.update(range(span.start // size, (span.end - 1) // size + 1))
    return [Span(number * size, number * size + size) for number in sorted(numbers)]


def _groups(silences: Sequence[Silence]) -> Iterator[list[Silence]]:
    """Yield sorted silences in groups that are a day or more apart."""
    # Row groups are decoded whole: reading near silences one by one would decode the rows between them each time.
    group: list[Silence] = []
    for silence in silences:
        if group and silence.span.start - group[-1].span.end >= DAY:
            yield group
            group = []
        group.append(silence)
    if group:
        yield group


def _due(missed: Missed) -> Span:
    """Return when missing events should have come, widened by their jitter."""
    last = missed.span.start + (missed.count - 1) * missed.interval
    return Span(missed.span.start - JITTER, last + JITTER + 1)


def _count_without(missed: Missed, others: Sequence[tuple[pl.Series, Sequence[Missed]]]) -> int:
    """Return how many other symbols lack events at that time, too; 0 if any of them has one."""
    due = _due(missed)
    count = 0
    for times, missed_by_other in others:
        if times.search_sorted(due.start) < times.search_sorted(due.end):
            return 0
        count += _is_any_due(missed_by_other, due)
    return count


def _is_any_due(missed: Sequence[Missed], due: Span) -> bool:
    """Whether any of sorted *missed* events was due inside *due*."""
    first = bisect_right(missed, due.start, key=lambda part: part.span.end + JITTER)
    for part in islice(missed, first, None):
        if part.span.start - JITTER >= due.end:
            return False
        if _due(part).overlaps(due):
            return True
    return False
