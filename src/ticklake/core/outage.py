"""Outages: stretches where every symbol of an exchange is silent at once, more than chance would have it.

A single silent symbol proves nothing. When all that were looked at are silent, it may still be chance, as long as each
is silent often: a common silence counts as an outage if chance brings one like it less than once in a thousand asked
spans. For bars chance is the product of the shares of bars that the symbols lack anyway; for trades, whose arrivals
cluster, it is that of a Poisson process at their common rate, three times as long, and at least a minute.

That takes symbols for independent, which thin ones are not: at night nobody trades any of them. So a common silence must
be long for each :class:`Witness` by what is usual for it in the time around, and there must be enough of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from ticklake.core.span import Span, subtract
from ticklake.core.time import DAY, MINUTE

__all__ = [
    "FEWEST_ROWS",
    "LONGEST",
    "Quiet",
    "Silence",
    "SilentBars",
    "Witness",
    "are_enough",
    "covers",
    "inside",
    "shortest_silence",
    "usual_pause",
    "witnessed",
]

CHANCE = 1e-3
CLUSTERING = 3
_LEAST = 1e-9
"""The share of missing bars of a symbol that never lacked one."""
LONGEST = 7 * DAY
"""No exchange was ever out for longer: a longer silence of all is a source that does not serve that time."""
_ACTIVE, _BUSY = 3, 10
"""So many times longer than the usual pause around it a silence is, for a symbol that is active, or busy."""
# The longest pauses are left out: the market itself may have been halted once or twice.
_HALTS = 2
_ENOUGH_ACTIVE, _ENOUGH_BUSY = 5, 2
FEWEST_ROWS = 10
"""So many rows the witnesses together would have had in an outage."""


def inside(times: pl.Series, spans: Sequence[Span]) -> pl.Series:
    """Return which of the ``Int64`` *times* lie in sorted, disjoint *spans*."""
    if not spans or not times.len():
        return pl.Series([False], dtype=pl.Boolean).new_from_index(0, times.len())
    starts = pl.Series([span.start for span in spans], dtype=pl.Int64)
    ends = pl.Series([span.end for span in spans], dtype=pl.Int64)
    place = starts.search_sorted(times, side="right").cast(pl.Int64) - 1
    return (place >= 0) & (ends.gather(place.clip(0)) > times)


def covers(spans: Sequence[Span], span: Span) -> bool:
    """Whether *span* lies in sorted, disjoint *spans* wholly."""
    return not any(subtract(span, spans))


@dataclass(frozen=True, slots=True)
class Witness:
    """A symbol that was looked at during a silence: what it trades, and how it usually is in the time around.

    ``pause`` is how long it has no rows there (see :func:`usual_pause`), ``rate`` its rows a nanosecond.
    """

    base: str
    pause: int
    rate: float


def usual_pause(times: pl.Series, silence: Span, bar: int) -> int:
    """Return how long stretches without rows are around a *silence*, the silence itself left out.

    It is the third longest: a market may have been halted once or twice. *times* are sorted ``Int64``; *bar* is how long a bar lasts, 0 for what is not bars.
    """
    before, after = times.filter(times < silence.start), times.filter(times >= silence.end)
    # Each side by itself: the silence between them is what is to be judged.
    pauses = pl.concat([before.diff().drop_nulls(), after.diff().drop_nulls()]) - bar
    longest = pauses.top_k(_HALTS + 1)
    if longest.len() <= _HALTS:
        return 0
    return max(int(longest.min() or 0), 0)  # type: ignore[arg-type]


def are_enough(witnesses: Sequence[Witness], length: int) -> bool:
    """Whether symbols that were all silent for *length* nanoseconds prove that the exchange was out.

    Five active symbols do, or two busy ones; several markets of one base count once.
    """
    active: set[str] = set()
    busy: set[str] = set()
    rate = 0.0
    for witness in witnesses:
        if length < _ACTIVE * witness.pause:
            continue
        active.add(witness.base)
        rate += witness.rate
        if length >= _BUSY * witness.pause:
            busy.add(witness.base)
    if len(active) < _ENOUGH_ACTIVE and len(busy) < _ENOUGH_BUSY:
        return False
    return rate * length >= FEWEST_ROWS


class SilentBars:
    """Bars that one symbol lacks, narrowed down to those that all lack.

    Parameters
    ----------
    opens
        Open times of the absent bars, sorted ``Int64``.
    share
        Which share of its bars the symbol lacks anyway, 0 to 1.
    expected
        Among how many bars they were looked for.
    """

    def __init__(self, opens: pl.Series, share: float, expected: int) -> None:
        # Logarithms: the product of many small shares is less than a float can hold.
        odds = pl.lit(_log_share(share))
        self._bars = opens.alias("ts").to_frame().with_columns(odds=odds, seen=pl.lit(0))
        self._budget = math.log(CHANCE) - math.log(max(expected, 1))

    @classmethod
    def among(
        cls, common: pl.DataFrame, opens: pl.Series, looked_at: Sequence[Span], share: float, expected: int
    ) -> SilentBars:
        """Return the absent bars *opens* of a symbol that is among those of which all lack the *common* bars.

        What the symbol itself adds to *common*, where it was *looked_at*, is taken off again: it is no witness of its own.
        """
        own = cls(opens, share, expected)
        bars = common.filter(pl.col("ts").is_in(opens.implode()))
        was_counted = inside(bars["ts"], looked_at)
        own._bars = bars.with_columns(
            odds=pl.col("odds") + pl.when(was_counted).then(0.0).otherwise(_log_share(share)),
            seen=pl.col("seen") - was_counted.cast(pl.Int32),
        )
        return own

    @property
    def bars(self) -> pl.DataFrame:
        """The bars that nobody had so far (``ts``), how many were looked at there (``seen``), and the ``odds`` of it."""
        return self._bars

    @property
    def opens(self) -> pl.Series:
        """The open times of the bars that nobody had so far."""
        return self._bars["ts"]

    def ask(self, present: pl.Series, looked_at: Sequence[Span], share: float) -> None:
        """Hear another symbol: which bars it has, where it was looked at while it traded, and what it lacks anyway."""
        heard = inside(self.opens, looked_at)
        bars = self._bars.with_columns(
            odds=pl.col("odds") + pl.when(heard).then(_log_share(share)).otherwise(0.0),
            seen=pl.col("seen") + heard.cast(pl.Int32),
        )
        self._bars = bars.join(present.alias("ts").to_frame(), on="ts", how="anti", maintain_order="left")

    def outages(self, length: int) -> Iterator[tuple[Span, int]]:
        """Yield the stretches of bars, each *length* long, that are no chance, and how many other symbols say so."""
        heard = self._bars.filter(pl.col("seen") > 0)
        run = (pl.col("ts").diff().fill_null(0) > length).cum_sum()
        runs = heard.group_by(run.alias("run"), maintain_order=True).agg(
            pl.col("ts").first().alias("start"),
            pl.col("ts").last().alias("last"),
            pl.col("odds").sum(),
            pl.col("seen").min(),
        )
        for row in runs.filter(pl.col("odds") < self._budget).iter_rows(named=True):
            yield Span(row["start"], row["last"] + length), row["seen"]


def _log_share(share: float) -> float:
    return math.log(max(share, _LEAST))


@dataclass(frozen=True, slots=True)
class Silence:
    """A stretch without rows, and how many other symbols were looked at there and were silent, too."""

    span: Span
    seen: int = 0


def shortest_silence(rate: float, length: int) -> int:
    """Return how long a common silence must be to be no chance, at *rate* rows a nanosecond over *length*."""
    if rate <= 0:
        return length
    return max(MINUTE, int(CLUSTERING * math.log(max(rate * length, 1.0) / CHANCE) / rate))


@dataclass
class Quiet:
    """Finds the stretches of *span* without rows, at least *shortest* long, while rows come by in time order."""

    span: Span
    shortest: int
    found: list[Span] = field(default_factory=list)
    _start: int = field(init=False)

    def __post_init__(self) -> None:
        self._start = self.span.start

    def feed(self, times: pl.Series) -> None:
        """Take the ``Int64`` times of the next rows, in order."""
        if not times.len():
            return
        starts = pl.concat([pl.Series([self._start], dtype=pl.Int64), times[:-1].rename("") + 1])
        long = (times - starts >= self.shortest).arg_true()
        self.found += [Span(starts[place], times[place]) for place in long.to_list()]
        self._start = int(times[-1]) + 1

    def finish(self) -> list[Span]:
        """Return what was found, what comes after the last row included."""
        if self.span.end - self._start >= self.shortest:
            self.found.append(Span(self._start, self.span.end))
        return self.found


def witnessed(silence: Silence, quiet: Sequence[Span], looked_at: Sequence[Span], shortest: int) -> Iterator[Silence]:
    """Yield what is left of a silence once another symbol, *quiet* in those spans, was heard.

    Only pieces of at least *shortest* count. Where the other symbol was not looked at, it says nothing.
    """
    for span in quiet:
        part = silence.span.intersect(span)
        if part is not None and part.length >= shortest:
            yield replace(silence, span=part, seen=silence.seen + covers(looked_at, part))
