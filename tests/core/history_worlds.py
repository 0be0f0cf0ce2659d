"""A model of exchanges whose history is short, and whose calls are odd, in every way that was met in the field.

The truth is a list of times. What of it an answer brings depends on what the exchange keeps at that moment, on which
ends of a window it heeds, on which side it cuts, and on how late its feed is. The clock runs while it is asked.
"""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ticklake.core.coverage import Coverage, Covered, Found
from ticklake.core.evidence import CoverageWalk
from ticklake.core.questions import AskOther, AskRows, AskTraded, AskTrades, BarGrid, EventGrid, Grid, Settled
from ticklake.core.span import Span
from ticklake.core.time import DAY, HOUR, MS, SECOND, parse_time
from ticklake.core.timeframe import Timeframe
from ticklake.errors import SourceError

Window = Literal["both", "start", "end", "none"]
Order = Literal["up", "down", "shuffled"]
Stray = Literal["before", "after", "first", "newest"]


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
    the oldest row that is kept is answered with an error; ``daily`` whether it has daily bars of all that happened.

    ``outages`` are the numbers of the calls that are answered with an error, or with nothing if ``outages_are_silent``;
    ``stuck`` those that are answered with the page before them, whatever is asked. ``short_pages`` is the share of the pages
    that bring less than there is and less than fits. ``strays`` says which rows outside the asked window come along: those
    beside it, or the first or the newest of all. ``order`` is that of a page, and with ``repeats`` some of its rows come twice.
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
    daily: bool = False
    outages: Sequence[range] = ()
    outages_are_silent: bool = False
    stuck: Sequence[range] = ()
    short_pages: float = 0.0
    strays: frozenset[Stray] = frozenset()
    order: Order = "up"
    repeats: bool = False
    page_before: list[int] = field(default_factory=list)
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

    def calm_down(self) -> None:
        """End all that is wrong with it for a while; what it keeps and how many rows a page holds stay."""
        self.outages, self.stuck, self.short_pages, self.strays = (), (), 0.0, frozenset()
        self.heeds, self.longest, self.late, self.tick, self.fails = "both", None, 0, 0, 0.0
        self.lies, self.shown_at, self.refuses = 0, {}, False

    def is_out(self) -> bool:
        """Count one more call, and return whether it is answered with nothing; fails if it is answered with an error."""
        self.calls += 1
        self.now += self.tick
        is_out = any(self.calls in outage for outage in self.outages)
        if self.dice.random() < self.fails or (is_out and not self.outages_are_silent):
            raise ConnectionError
        return is_out

    def rows(self, span: Span, series: list[int] | None = None) -> list[int]:
        """Answer one question, in the order in which the exchange sends its rows."""
        if self.is_out():
            return []
        if any(self.calls in stuck for stuck in self.stuck):
            return self.page_before
        if self.refuses and (kept := self.kept()) and span.start < kept[0]:
            raise SourceError("too long ago")
        self.page_before = self._sent(self._page(self._shortened(span), series))
        return self.page_before

    def _page(self, span: Span, series: list[int] | None) -> list[int]:
        told = self.lied.get(span, 0)
        self.lied[span] = told + 1
        if told < self.lies:
            return []
        kept = self.kept(series)
        first, last = 0, len(kept)
        if self.heeds in ("both", "start"):
            first = bisect_right(kept, span.start) if self.exclusive_start else bisect_left(kept, span.start)
        if self.heeds in ("both", "end"):
            last = bisect_right(kept, span.end) if self.inclusive_end else bisect_left(kept, span.end)
        limit = self.limit
        if self.old_limit is not None and span.start < self.now - self.old_after:
            limit = self.old_limit
        if self.short_pages and self.dice.random() < self.short_pages:
            limit = self.dice.randint(1, min(limit, max(last - first, 1)))
        if self._cuts_old_rows():
            first = max(first, last - limit)
        else:
            last = min(last, first + limit)
        strays = [kept[:1] if "first" in self.strays else [], kept[-1:] if "newest" in self.strays else []]
        if "before" in self.strays:
            first = max(first - 2, 0)
        if "after" in self.strays:
            last = max(last, first) + 2
        return sorted({*kept[first:last], *strays[0], *strays[1]})

    def _sent(self, page: list[int]) -> list[int]:
        if self.repeats:
            page = sorted([*page, *page[::3]])
        if self.order == "down":
            return page[::-1]
        return self.dice.sample(page, len(page)) if self.order == "shuffled" else page

    def first_day(self, span: Span) -> int | None:
        """Return the first day that lies in *span* and in which anything happened."""
        if not self.daily or self.is_out():
            return None
        days = (ts // DAY * DAY for ts in self.truth[bisect_left(self.truth, span.start) :])
        day = next((day for day in days if day >= span.start), None)
        return None if day is None or day + DAY > span.end else day

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
                reply = sorted(set(world.rows(step.span)))
                rows |= {ts for ts in reply if ts in want}
            except SourceError as error:
                reply = error
        elif isinstance(step, AskOther):
            reply = [] if world.other is None or world.refuses else world.rows(step.span, world.other)
            reply = sorted({ts for ts in reply if ts in step.span})
        elif isinstance(step, AskTrades):
            is_served = not world.is_out() and world.trades
            reply = world.truth[: bisect_right(world.truth, world.now)][-500:] if is_served else None
        elif isinstance(step, AskTraded):
            reply = world.first_day(step.span)
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


def fill(
    world: World,
    want: Span,
    grid: Grid,
    page: int,
    lake: Walked,
    again: int = 0,
    *,
    retry: bool = False,
    keeps_all: bool = False,
) -> None:
    """Fill a lake as a backfill does: only what is missing and *again* so much before it, going on after failures.

    Rows are kept with the coverage that is settled with them, as they are committed page by page.
    """
    missing = list(lake.coverage.missing(want, retry=retry))
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
                for step, came in settle(world, Span(cursor, span.end), grid, page, hint=hint, keeps_all=keeps_all):
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


@dataclass
class Collection:
    """What is collected from a world: rows of a grid in a span, by pages of so many rows, as the source is set up."""

    world: World
    grid: Grid
    want: Span
    page: int
    keeps_all: bool = False
    lake: Walked = field(default_factory=lambda: Walked(Coverage(), set(), 0))

    def run(self, *, retry: bool = False) -> int:
        """Fill the lake, and return how many calls it took."""
        calls = self.world.calls
        fill(self.world, self.want, self.grid, self.page, self.lake, retry=retry, keeps_all=self.keeps_all)
        return self.world.calls - calls

    def keep_all(self) -> None:
        """Let the exchange keep everything from now on, as it is known to, with a busy market beside this one."""
        first, last = min(self.world.truth[0], self.want.start), self.world.now
        places = range(-1100, (last - first) // self.spacing + 1)
        self.world.other = [ts for place in places if (ts := self.grid.step(first, place)) < last]
        self.world.keeps_rows = self.world.keeps_for = None
        self.keeps_all = True

    @property
    def spacing(self) -> int:
        """How long it is from one place where a row can stand to the next, at least."""
        return self.grid.step(self.want.start, 1) - self.grid.step(self.want.start, 0)

    def grid_steps(self) -> int:
        """Return how many places for rows the wanted span has."""
        return self.want.length // self.spacing

    def false_claims(self) -> list[int]:
        """Return the rows that the lake lacks although it says of their time that it looked."""
        return false_claims(self.world, self.lake, self.want)

    def lacking(self) -> list[int]:
        """Return the rows that the world serves now, and the lake lacks."""
        return [ts for ts in self.world.kept() if ts in self.want and ts not in self.lake.rows]


def random_collection(seed: int) -> Collection:
    """Return bars or events of an exchange that is in one or several ways wrong, for a while or at all times."""
    rng = random.Random(seed)
    grid, truth, unit = rng.choice([_random_bars, _random_bars, _random_funding])(rng)
    shown = rng.choice([len(truth), len(truth), rng.randint(len(truth) // 2, len(truth))])
    now = grid.close(truth[shown - 1]) + unit + rng.randrange(unit)
    limit = rng.choice([20, 100, 200, 500, 1000, 10**6])
    world = World(
        truth,
        now,
        keeps_rows=rng.choice([None, None, None, 200]),
        keeps_for=rng.choice([None, None, None, 300 * unit]),
        heeds=rng.choice(["both", "both", "both", "start", "end", "none"]),
        exclusive_start=rng.random() < 0.3,
        inclusive_end=rng.random() < 0.3,
        newest_first=rng.random() < 0.5,
        limit=limit,
        tick=rng.choice([0, 0, unit // 100]),
        lies=rng.choice([0, 0, 0, 1]),
        trades=rng.random() < 0.7,
        fails=rng.choice([0.0, 0.0, 0.05]),
        daily=rng.random() < 0.5,
        outages=_random_calls(rng),
        outages_are_silent=rng.random() < 0.7,
        stuck=rng.choice([(), (), _random_calls(rng)]),
        short_pages=rng.choice([0.0, 0.0, 0.3, 1.0]),
        strays=frozenset(rng.sample(["before", "after", "first", "newest"], k=rng.choice([0, 0, 0, 1, 1, 2]))),
        order=rng.choice(["up", "down", "shuffled"]),
        repeats=rng.random() < 0.3,
        dice=random.Random(seed),
    )
    world.other = rng.choice([None, truth])
    final = now - 15 * SECOND if grid.scheduled else grid.step(now - 15 * SECOND, 0)
    length = final - truth[0]
    start, end = rng.choice([(-0.1, 1.0), (0.0, 1.0), (0.5, 1.0), (0.3, 0.5), (0.99, 1.0)])
    want = Span(grid.step(truth[0] + int(start * length), 0), final)
    if end < 1.0:
        want = Span(want.start, grid.step(truth[0] + int(end * length), 1))
    page = rng.choice([limit, limit, 2 * limit, limit // 5, 1000, 200])
    return Collection(world, grid, want, min(page, 1000), keeps_all=rng.random() < 0.3)


def _random_bars(rng: random.Random) -> tuple[Grid, list[int], int]:
    """Return bars of any timeframe: where they can stand, where they do, and how long the shortest is."""
    frame = Timeframe.parse(rng.choice(["1m", "1m", "5m", "15m", "1h", "4h", "1d", "1M"]))
    first = frame.floor(parse_time("2004-03-01"))
    places = range(rng.choice([30, 150, 250] if frame.unit == "M" else [30, 300, 1500, 4000]))
    truth = [frame.advance(first, place) for place in random_series(rng, 0, 1, len(places))]
    return BarGrid(frame), truth or [first], frame.length


def _random_funding(rng: random.Random) -> tuple[Grid, list[int], int]:
    return EventGrid(HOUR), random_events(rng, parse_time("2024-03-01"), rng.choice([300, 3000])), HOUR


def _random_calls(rng: random.Random) -> tuple[range, ...]:
    """Return which calls go wrong: some in a row, once or several times, or from some call on."""
    starts = [rng.choice([rng.randrange(1, 6), rng.randrange(1, 60)]) for _ in range(rng.choice([0, 0, 1, 2]))]
    return tuple(range(start, start + rng.choice([1, 3, 4, 9, 30, 10**6])) for start in starts)


__all__ = [
    "Collection",
    "Covered",
    "Walked",
    "World",
    "false_claims",
    "fill",
    "random_collection",
    "random_events",
    "random_series",
    "walk",
]
