"""A model of exchanges whose history is short, and whose calls are odd, in every way that was met in the field.

The truth is a list of times. What of it an answer brings depends on what the exchange keeps at that moment, on which
ends of a window it heeds, on which side it cuts, and on how late its feed is. The clock runs while it is asked.
"""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from ticklake.core.coverage import Coverage, Covered, Found
from ticklake.core.evidence import CoverageWalk
from ticklake.core.questions import AskOther, AskRows, AskTraded, AskTrades, Grid, Settled
from ticklake.core.span import Span
from ticklake.core.time import HOUR, MS, SECOND
from ticklake.errors import SourceError

Window = Literal["both", "start", "end", "none"]


@dataclass
class World:
    """One exchange with one series.

    ``keeps_rows`` and ``keeps_for`` are what it keeps (all, if neither is given); ``heeds`` which ends of a window;
    ``exclusive_start`` and ``inclusive_end`` how; ``newest_first`` whether a cut page keeps the newest rows; ``limit`` how
    many rows a page holds, ``old_limit`` of those older than ``old_after``; ``late`` by how much the feed lags;
    ``tick`` how far the clock moves at each call; ``lies`` how often a question is answered with nothing at first.
    ``longest`` is how long a window may be before it is cut without a word, at the side that ``newest_first`` tells;
    ``shown_at`` when single rows appear that are later than the others; ``fails`` the share of the calls that fail.
    ``other`` is the series of another market, of which the same is kept; ``refuses`` whether a window that begins before
    the oldest row that is kept is answered with an error.
    """

    truth: list[int]
    now: int
    keeps_rows: int | None = None
    keeps_for: int | None = None
    heeds: Window = "both"
    exclusive_start: bool = False
    inclusive_end: bool = False
    newest_first: bool = False
    limit: int = 100
    old_limit: int | None = None
    old_after: int = 0
    late: int = 0
    tick: int = 0
    lies: int = 0
    trades: bool = True
    longest: int | None = None
    shown_at: dict[int, int] = field(default_factory=dict)
    fails: float = 0.0
    other: list[int] | None = None
    refuses: bool = False
    dice: random.Random = field(default_factory=random.Random)
    calls: int = 0
    lied: dict[Span, int] = field(default_factory=dict)

    def kept(self, series: list[int] | None = None) -> list[int]:
        """Return what the exchange serves at this moment."""
        truth = self.truth if series is None else series
        oldest = 0 if self.keeps_for is None else bisect_left(truth, self.now - self.keeps_for)
        rows = truth[oldest : bisect_right(truth, self.now - self.late)]
        rows = [ts for ts in rows if self.shown_at.get(ts, ts) <= self.now] if self.shown_at else rows
        return rows if self.keeps_rows is None else rows[-self.keeps_rows :]

    def rows(self, span: Span, series: list[int] | None = None) -> list[int]:
        """Answer one question."""
        self.calls += 1
        self.now += self.tick
        if self.dice.random() < self.fails:
            raise ConnectionError
        if self.refuses and (kept := self.kept()) and span.start < kept[0]:
            raise SourceError("too long ago")
        span = self._shortened(span)
        told = self.lied.get(span, 0)
        self.lied[span] = told + 1
        if told < self.lies:
            return []
        found = self.kept(series)
        if self.heeds in ("both", "start"):
            found = [ts for ts in found if (ts > span.start if self.exclusive_start else ts >= span.start)]
        if self.heeds in ("both", "end"):
            found = [ts for ts in found if (ts <= span.end if self.inclusive_end else ts < span.end)]
        limit = self.limit
        if self.old_limit is not None and span.start < self.now - self.old_after:
            limit = self.old_limit
        return found[-limit:] if self._cuts_old_rows() else found[:limit]

    def _cuts_old_rows(self) -> bool:
        return self.newest_first or self.heeds in ("end", "none")

    def _shortened(self, span: Span) -> Span:
        if self.longest is None or span.length <= self.longest:
            return span
        if self._cuts_old_rows():
            return Span(span.end - self.longest, span.end)
        return Span(span.start, span.start + self.longest)


@dataclass
class Walked:
    """What became of a walk: its coverage, and the rows that came of the wanted span."""

    coverage: Coverage
    rows: set[int]
    calls: int


def settle(world: World, want: Span, grid: Grid, page: int, **known: object) -> Iterator[tuple[Settled, set[int]]]:
    """Let a walk ask a world; yield what is settled, each with all the rows of the wanted span that came until then."""
    machine = CoverageWalk(want, grid, page, world.now, **{"sends_end": True, **known})  # type: ignore[arg-type]
    rows: set[int] = set()
    steps = machine.steps()
    step = next(steps, None)
    while step is not None:
        reply: list[int] | int | SourceError | None = None
        if isinstance(step, AskRows):
            try:
                reply = world.rows(step.span)
                rows |= {ts for ts in reply if ts in want}
            except SourceError as error:
                reply = error
        elif isinstance(step, AskOther):
            reply = [] if world.other is None or world.refuses else world.rows(step.span, world.other)
            reply = [ts for ts in reply if ts in step.span]
        elif isinstance(step, AskTrades):
            world.calls += 1
            reply = world.truth[: bisect_right(world.truth, world.now)][-500:] if world.trades else None
        elif isinstance(step, AskTraded):
            reply = None
        elif isinstance(step, Settled):
            yield step, rows
        try:
            step = steps.send(reply)
        except StopIteration:
            step = None


def walk(world: World, want: Span, grid: Grid, page: int, **known: object) -> Walked:
    """Let a walk ask a world, and keep what it settles."""
    rows: set[int] = set()
    coverage, start, last_end = Coverage(), world.calls, want.start
    for step, came in settle(world, want, grid, page, **known):
        rows = came
        for piece in step.pieces:
            assert piece.span.start >= last_end, "what is settled comes in order, each instant once"
            last_end = piece.span.end
            coverage = coverage.add(piece)
    return Walked(coverage, rows, world.calls - start)


def fill(world: World, want: Span, grid: Grid, page: int, lake: Walked, again: int = 0) -> None:
    """Fill a lake as a backfill does: only what is missing and *again* so much before it, going on after failures.

    Rows are kept with the coverage that is settled with them, as they are committed page by page.
    """
    missing = list(lake.coverage.missing(want))
    if again and missing and lake.coverage.pieces:
        data = [span for span in lake.coverage.spans(Found.DATA) if span.end == missing[-1].start]
        missing[-1] = Span(
            max([missing[-1].start - again, *(s.start for s in data)]) if data else missing[-1].start, missing[-1].end
        )
    for span in missing:
        cursor, failures = span.start, 0
        while cursor < span.end and failures < 20:
            hint = max((ts for ts in lake.rows if ts < cursor), default=None)
            try:
                for step, came in settle(world, Span(cursor, span.end), grid, page, hint=hint):
                    for piece in step.pieces:
                        lake.coverage, cursor = lake.coverage.add(piece), piece.span.end
                    lake.rows |= {ts for ts in came if ts < cursor}
                break
            except ConnectionError:
                failures += 1
    lake.calls = world.calls


def false_claims(world: World, walked: Walked, want: Span) -> list[int]:
    """Return the rows of the truth that did not come although their time is called looked-at."""
    claimed = walked.coverage.spans(Found.DATA, Found.UNLISTED)
    return [ts for ts in world.truth if ts in want and ts not in walked.rows and any(ts in span for span in claimed)]


def random_series(rng: random.Random, first: int, step: int, count: int) -> list[int]:
    """Return times on a grid with quiet places, halts of many pages, and now and then hardly any row."""
    share = rng.choice([1.0, 1.0, 0.95, 0.6, 0.1, 0.02])
    halts = [(at, at + rng.choice([5, 50, 400])) for at in rng.sample(range(count), k=rng.choice([0, 1, 3]))]
    silent = {place for start, end in halts for place in range(start, min(end, count))}
    return [first + place * step for place in range(count) if place not in silent and rng.random() < share]


def random_events(rng: random.Random, first: int, hours: int) -> list[int]:
    """Return times of funding: every 8, 4, 2 or 1 hours, a little late, with changes of the interval and with halts."""
    times: list[int] = []
    hour, every, late = 0, rng.choice([8, 4, 1]), rng.choice([0, 0, 20 * MS, 3 * SECOND])
    while hour < hours:
        times.append(first + hour * HOUR + rng.randrange(late + 1))
        if rng.random() < 0.03:
            every = rng.choice([8, 4, 2, 1])
        halted = rng.choice([2, 10, 40]) if rng.random() < 0.005 else 1
        hour = (hour + every * halted) // every * every
    return times


__all__ = ["Covered", "Walked", "World", "false_claims", "fill", "random_events", "random_series", "walk"]
