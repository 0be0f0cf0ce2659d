"""Outages: whether a stretch where one symbol has no rows was silent for the others of its exchange, too."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice, takewhile

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
"""What is usual is seen in so many lengths of a silence on either side of it, or in so many bars."""
_MOST_WITNESSES = 32
_BLOCK = 1 << 14
"""So many bars are read together: about as many are decoded for one of them anyway."""
_NO_BARS = pl.DataFrame(schema={"ts": pl.Int64, "odds": pl.Float64, "seen": pl.Int32})


class Peers:
    """The datasets of the same exchange, kind and timeframe, for other symbols; those with most rows first."""

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
        """Yield the stretches of *silent* where all are silent, each with who says so."""
        frame = self._dataset.timeframe
        if frame is None or frame.is_month:
            return
        size = _BLOCK * frame.length
        blocks = [Span(number * size, number * size + size) for number in _blocks(silent, size)]
        lacked = pl.concat([_NO_BARS, *(self._lacked_by_all(frame, block) for block in blocks)])
        opens = lacked["ts"].filter(inside(lacked["ts"], normalise(silent)))
        looked_at: list[Span] = []
        share = 1.0
        if self._row is not None:
            looked_at, share = self._looked_at(self._row), self._share(self._row)
        bars = SilentBars.among(lacked, opens, looked_at, share, frame.count_in(want, self._dataset.anchor))
        for span, seen in bars.outages(frame.length):
            if self._is_proven(span):
                yield span, self._words(seen)

    def _lacked_by_all(self, frame: Timeframe, block: Span) -> pl.DataFrame:
        """Return the bars of a block that no symbol has, this one included: it is the same for all of them."""

        def read() -> pl.DataFrame:
            span = block.intersect(ALL_TIME)
            if span is None:
                return _NO_BARS
            bars = SilentBars(frame.opens(span, self._dataset.anchor), 1.0, 1)
            for row in self._reads.alike(self._dataset):
                if not bars.opens.len():
                    break
                present = self._reads.times(row.dataset, span)
                bars.ask(present, self._looked_at(row), self._share(row))
            return bars.bars.cast(_NO_BARS.schema)

        group = (self._dataset.exchange, self._dataset.kind, str(frame))
        return self._reads.once(("lacked", *group, block), read, lambda bars: 3 * bars.height)

    def shortest(self, want: Span) -> int:
        """Return how long trades must be silent for it to be no chance."""
        rate = sum(_rate(row) for row in self._others)
        if self._row is not None:
            rate += _rate(self._row)
        return shortest_silence(rate, want.length)

    def silent_trades(self, silent: Sequence[Span], shortest: int) -> Iterator[Gap]:
        """Yield the stretches of *silent* where nobody trades."""
        found = [Silence(span) for span in silent if span.length >= shortest]
        for other in self._others:
            found = list(self._shared(other, found, shortest))
        for silence in found:
            if silence.seen and self._is_proven(silence.span):
                yield Gap(silence.span, None, silence_reason(silence.span), self._words(silence.seen))

    def _shared(self, other: DatasetRow, found: Sequence[Silence], shortest: int) -> Iterator[Silence]:
        """Yield what is left of sorted silences once another symbol was heard; those near each other are read together."""
        looked_at = self._looked_at(other)
        for group in _near(found):
            quiet = self._quiet(other.dataset, Span(group[0].span.start, group[-1].span.end), shortest)
            for silence in group:
                first = bisect_right(quiet, silence.span.start, key=lambda span: span.end)
                last = bisect_left(quiet, silence.span.end, lo=first, key=lambda span: span.start)
                yield from witnessed(silence, quiet[first:last], looked_at, shortest)

    def missed_events(self, missed: Sequence[Missed]) -> Iterator[Gap]:
        """Yield a gap for the *missed* events inside coverage: an outage if all symbols lack them, else lost."""
        covered = [(part, span) for span in self._data for part in missed_within(missed, span)]
        if not covered:
            return
        others = [self._reads.events(other.dataset) for other in self._others]
        for part, span in covered:
            seen = _lacking(part, others)
            every = f"one was due every {part.interval / HOUR:g} h"
            hole = Span(max(part.span.start, span.start), part.span.end)
            if seen and hole.length <= LONGEST:
                yield Gap(hole, part.count, GapReason.OUTAGE, f"{every}; {self._words(seen)}")
            else:
                yield Gap(hole, part.count, GapReason.LOST, every)

    def _is_proven(self, silence: Span) -> bool:
        """Whether the symbols that were silent are enough to say that the exchange was."""
        own, frame = self._row, self._dataset.timeframe
        if frame and (1 + len(self._others)) * (silence.length // frame.length) < FEWEST_ROWS:
            return False
        first = None if own is None else self._witness(own, silence)
        if first is None:
            return False
        witnesses = [first]
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
        """Return how a symbol is around a silence; ``None`` if its rows come from files, which may lack any part."""
        return self._reads.once(("witness", row.dataset, silence), lambda: self._read_witness(row, silence))

    def _read_witness(self, row: DatasetRow, silence: Span) -> Witness | None:
        frame = row.dataset.timeframe
        if frame is None:
            bar, reach = 0, min(_AROUND * silence.length, 6 * HOUR)
        else:
            bar, reach = frame.length, max(_AROUND * silence.length, _FEWEST_BARS * frame.length)
        around = silence.widen(reach, reach)
        rows = load(self._store, row.dataset, around, columns=["ts", PROVENANCE])
        times, origins = rows["ts"].to_physical(), self._store.catalog.provenances()
        edge = int(times.search_sorted(silence.start))
        beside = rows[PROVENANCE].slice(max(edge - 1, 0), 2).to_list()
        if not times.len() or any(origins[number].source == "file" for number in beside):
            return None
        symbol = row.dataset.symbol
        rate = times.len() / max(int(times[-1]) - int(times[0]) + bar - silence.length, 1)
        return Witness(symbol.base or str(symbol), usual_pause(times, silence, bar), rate)

    @cached_property
    def _others(self) -> list[DatasetRow]:
        alike = self._reads.alike(self._dataset)
        return [row for row in alike if row.dataset.symbol != self._dataset.symbol]

    @cached_property
    def _row(self) -> DatasetRow | None:
        return next((row for row in self._reads.alike(self._dataset) if row.dataset == self._dataset), None)

    def _words(self, seen: int) -> str:
        return f"{seen + 1} symbols of {self._dataset.exchange} were looked at, and all were silent"

    def _share(self, row: DatasetRow) -> float:
        """Return which share of its bars a dataset lacks between its first and its last."""
        frame = self._dataset.timeframe
        expected = 0 if frame is None else frame.count_in(_stored(row), self._dataset.anchor)
        if not expected:
            return 1.0
        return max(1 - row.rows / expected, 0.0)

    def _looked_at(self, row: DatasetRow) -> list[Span]:
        """Return where a dataset was looked at while it traded."""

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


def _blocks(spans: Sequence[Span], size: int) -> list[int]:
    """Return the numbers of the blocks, each *size* long, that *spans* meet."""
    return sorted({number for span in spans for number in range(span.start // size, (span.end - 1) // size + 1)})


def _near(found: Sequence[Silence]) -> Iterator[list[Silence]]:
    """Yield sorted silences in groups: rows between those less than a day apart would be decoded for each anyway."""
    group: list[Silence] = []
    for silence in found:
        if group and silence.span.start - group[-1].span.end >= DAY:
            yield group
            group = []
        group.append(silence)
    if group:
        yield group


def _due(missed: Missed) -> Span:
    """Return when missing events should have come, give or take what they jitter."""
    last = missed.span.start + (missed.count - 1) * missed.interval
    return Span(missed.span.start - JITTER, last + JITTER + 1)


def _lacking(missed: Missed, others: Sequence[tuple[pl.Series, Sequence[Missed]]]) -> int:
    """Return how many others lack events at that time, too; none if any has one."""
    due = _due(missed)
    if any(times.search_sorted(due.start) < times.search_sorted(due.end) for times, _ in others):
        return 0
    return sum(_lacks(theirs, due) for _, theirs in others)


def _lacks(theirs: Sequence[Missed], due: Span) -> bool:
    """Whether events are missing of sorted *theirs* that were due at that time."""
    near = bisect_right(theirs, due.start, key=lambda missed: missed.span.end + JITTER)
    met = takewhile(lambda missed: missed.span.start - JITTER < due.end, islice(theirs, near, None))
    return any(_due(missed).overlaps(due) for missed in met)
