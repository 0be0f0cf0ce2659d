"""A model of exchanges whose history is short, and whose calls are odd, in every way that was met in the field.

The truth is a list of times. What of it an answer brings depends on what the exchange keeps at that moment, on which
ends of a window it heeds, on which side it cuts, and on how late its feed is. The clock runs while it is asked.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Literal

from ticklake.core.coverage import Coverage, Covered, Found
from ticklake.core.evidence import AskRows, AskTraded, AskTrades, CoverageWalk, Grid, Settled
from ticklake.core.span import Span

Window = Literal["both", "start", "end", "none"]


@dataclass
class World:
    """One exchange with one series.

    ``keeps_rows`` and ``keeps_for`` are what it keeps (all, if neither is given); ``heeds`` which ends of a window;
    ``exclusive_start`` and ``inclusive_end`` how; ``newest_first`` whether a cut page keeps the newest rows; ``limit`` how
    many rows a page holds, ``old_limit`` of those older than ``old_after``; ``late`` by how much the feed lags;
    ``tick`` how far the clock moves at each call; ``lies`` how often a question is answered with nothing at first.
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
    calls: int = 0
    lied: dict[Span, int] = field(default_factory=dict)

    def kept(self) -> list[int]:
        """Return what the exchange serves at this moment."""
        rows = [ts for ts in self.truth if ts <= self.now - self.late]
        if self.keeps_for is not None:
            rows = [ts for ts in rows if ts >= self.now - self.keeps_for]
        return rows if self.keeps_rows is None else rows[-self.keeps_rows :]

    def rows(self, span: Span) -> list[int]:
        """Answer one question."""
        self.calls += 1
        self.now += self.tick
        told = self.lied.get(span, 0)
        self.lied[span] = told + 1
        if told < self.lies:
            return []
        found = self.kept()
        if self.heeds in ("both", "start"):
            found = [ts for ts in found if (ts > span.start if self.exclusive_start else ts >= span.start)]
        if self.heeds in ("both", "end"):
            found = [ts for ts in found if (ts <= span.end if self.inclusive_end else ts < span.end)]
        limit = self.limit
        if self.old_limit is not None and span.start < self.now - self.old_after:
            limit = self.old_limit
        newest = self.newest_first or self.heeds in ("end", "none")
        return found[-limit:] if newest else found[:limit]


@dataclass
class Walked:
    """What became of a walk: its coverage, and the rows that came of the wanted span."""

    coverage: Coverage
    rows: set[int]
    calls: int


def walk(world: World, want: Span, grid: Grid, page: int, **known: object) -> Walked:
    """Let a walk ask a world, and keep what it settles."""
    machine = CoverageWalk(want, grid, page, world.now, **{"sends_end": True, **known})  # type: ignore[arg-type]
    rows: set[int] = set()
    coverage, steps, start = Coverage(), machine.steps(), world.calls
    last_end = want.start
    step = next(steps, None)
    while step is not None:
        reply: list[int] | int | None = None
        if isinstance(step, AskRows):
            reply = world.rows(step.span)
            rows |= {ts for ts in reply if ts in want}
        elif isinstance(step, AskTrades):
            world.calls += 1
            reply = [ts for ts in world.truth if ts <= world.now][-500:] if world.trades else None
        elif isinstance(step, AskTraded):
            reply = None
        elif isinstance(step, Settled):
            for piece in step.pieces:
                assert piece.span.start >= last_end, "what is settled comes in order, each instant once"
                last_end = piece.span.end
                coverage = coverage.add(piece)
        try:
            step = steps.send(reply)
        except StopIteration:
            step = None
    return Walked(coverage, rows, world.calls - start)


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


__all__ = ["Covered", "Walked", "World", "false_claims", "random_series", "walk"]
