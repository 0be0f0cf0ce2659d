"""Evidence: what the answers of a source prove about a span, and which question to ask next.

A span may be called ``data`` only if the source *showed* that it serves that time. Four things decide, and each of them
cost real data when it was taken for granted:

1. *Rows on both sides of a silence in one answer* prove it: an answer is one unbroken block, whatever was asked for.
   Rows that all lie outside the asked window prove nothing about the window.
2. *A page may be cut*, by a limit that is documented nowhere. So nothing is concluded from where a window ends: the next question
   begins at the last row that came, or asks for the narrow hole between two blocks.
3. *The horizon*: silence is true only if the same kind of call still serves a row from before it. Otherwise the source may
   simply keep no more. It is ``unavailable`` then. The oldest row served is a horizon, not a listing. A source that is
   known to keep everything may show it by a row of another market; its name alone proves nothing. A refusal is no silence.
4. *The reach*: silence at the end is true only if the feed has passed it: a later row, or trades that are older.

The walk is free of I/O: :meth:`CoverageWalk.steps` yields questions and takes answers, so that one rule serves bars,
funding and open interest, and is tested against a model of badly behaved exchanges.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ticklake.core.blocks import LATE_EVENT, Times, blocks_of
from ticklake.core.coverage import Found
from ticklake.core.findings import Findings
from ticklake.core.first_row import FirstRowSearch
from ticklake.core.questions import AskOther, AskRows, AskTrades, Grid, Question, Settled, Step
from ticklake.core.span import Span
from ticklake.core.time import MINUTE, SECOND, format_time
from ticklake.errors import SourceError

__all__ = [
    "ASKS",
    "CONFIRMS",
    "NOTHING",
    "NOTHING_OLDER",
    "SILENT",
    "CoverageWalk",
    "serves",
]

ASKS = 3
"""How many empty answers it takes to believe that an answer is empty."""
CONFIRMS = 2
"""So often a silence is asked for once more after the source has shown that it is awake."""
LOOK_BACK = (1, 10, 100)
"""So many windows before a silence a row is looked for that shows that the source serves that time."""
HONOURED = 100
"""Windows of so many rows are taken as asked; a longer one may be cut short, by ccxt too, however few rows it holds."""
REWALKS = 2
"""How often a walk is taken up again because rows turned up in its silent end."""
OTHER_TIMES = "the source answers with other times than it was asked for"
BEFORE_FIRST = "the source keeps all events, and has none that is older"
NOTHING_OLDER = "the source serves nothing older"
"""It names no time: windows that lie one after the other are one gap then."""
SILENT = "the source answers with nothing, though it served rows before"
NOTHING = "the source serves nothing of it"
_Finding = TypeVar("_Finding")


def _has_row_between(first: int, last: int, times: Times) -> bool:
    return any(first <= ts <= last for ts in times)


def serves(
    ts: int, back: Callable[[int], int], *, others: bool = False, enough: int = 1, keeps_rows: int | None = None
) -> Generator[AskRows | AskOther, Any, bool]:
    """Find out whether a source serves a row at or before *ts*: only then is a silence from *ts* on true.

    Every page loop follows this rule. A refusal shows nothing.

    Parameters
    ----------
    back
        Returns the time so many windows before *ts*; the last window ends with *ts*.
    others
        Whether a row of another market counts, as the source is known to keep everything.
    enough
        So many rows of another market count. A source that keeps the newest rows reaches further back in a thin market.
    keeps_rows
        How many of the newest rows the source is known to keep: if it has fewer, these are all there ever were.
    """
    newest = _since_epoch(back(1), back(0))
    if others and newest:
        rows = yield AskOther(newest)
        if len(rows) >= max(enough, 1) and rows[0] <= ts:
            return True
    for windows in LOOK_BACK:
        window = _since_epoch(back(windows), back(windows - 1))
        if window is None:
            return False
        rows = yield AskRows(window)
        if isinstance(rows, SourceError):
            return False
        if _has_row_between(window.start, ts, rows):
            return True
        if rows:
            # It answers with rows of other times. They tell something only if they are all that there ever were.
            return keeps_rows is not None and len(rows) < keeps_rows
    return False


def _since_epoch(start: int, end: int) -> Span | None:
    """Return a window without what lies before 1970: many pages of long bars reach back to times that nobody can ask for."""
    start = max(start, 0)
    if start >= end:
        return None
    return Span(start, end)


@dataclass(slots=True)
class CoverageWalk:
    """One walk over a span: asks until each part of it is proven, unavailable, or cannot be known yet.

    Parameters
    ----------
    want
        The span that is to be covered.
    grid
        Where rows can stand.
    page
        Rows that one call brings; only a hint, as sources cut earlier without saying so.
    now
        The source's time.
    keeps_all
        Whether the source is known to keep everything. Then a row of another market shows, too, that it serves a time.
    keeps_rows
        How many of the newest rows the source is known to keep: if it has fewer, these are all there ever were.
    hint
        A row that the source served once, not after *want*, to look for evidence there first.
    sends_end
        Whether the source is told the end of a window: if not, rows after it are no sign that windows are ignored.
    """

    want: Span
    grid: Grid
    page: int
    now: int
    keeps_all: bool = False
    keeps_rows: int | None = None
    hint: int | None = None
    sends_end: bool = True
    _findings: Findings = field(init=False)
    _search: FirstRowSearch = field(init=False)
    _cursor: int = 0
    _refusal: SourceError | None = None
    _refusals: int = 0
    _has_looked_back: bool = False
    _unanswered: int = 0

    def __post_init__(self) -> None:
        self.page = max(self.page, 2)
        self._findings = Findings(self.grid)
        self._search = FirstRowSearch(self._findings, self.page, self.now, self._honoured)

    def steps(self) -> Generator[Step, Any, None]:
        """Yield questions, take their answers, and yield what is settled, oldest first."""
        self._cursor = self.want.start
        for rewalks_left in reversed(range(1 + REWALKS)):
            while (gap := self._gap()) is not None:
                yield from self._close(gap)
                self._leave_unanswered(gap)
                yield from self._before_first()
                yield from self._emit(self._passed())
            if (yield from self._finish(last=not rewalks_left)):
                break
        yield from self._emit(self.want.end)

    def _before_first(self) -> Generator[Step, Any, None]:
        """Say once that no event was due before the first of all, if the source keeps all: silence is not a hole there."""
        edges = self._findings.edges
        if self._has_looked_back or not (edges and self.keeps_all and self.grid.scheduled):
            return
        self._has_looked_back = True
        if self.hint is not None:
            return
        start = self.want.start
        self._refusal = None
        if self._findings.row_before(start + 1) is None:
            # A hole right at the start would look the same, so the page before it is asked for.
            yield from self._ask(Span(self.grid.step(start, 1 - self.page), self.grid.step(start, 1)))
        if self._refusal is None and edges[0] > start:
            silent = Span(start, min(edges[0], self.want.end))
            for span in self._findings.proven_in(silent):
                self._findings.settle(span, Found.UNLISTED, BEFORE_FIRST)
            self._findings.forget(silent)

    def _leave_unanswered(self, gap: Span) -> None:
        """Put off the beginning of a gap of which several questions in a row brought nothing to know: a walk must end."""
        if self._gap() != gap:
            self._unanswered = 0
            return
        self._unanswered += 1
        if self._unanswered == ASKS:
            self._unanswered = 0
            self._put_off(Span(gap.start, min(self.grid.step(gap.start, self.page), gap.end)), OTHER_TIMES)

    def _gap(self) -> Span | None:
        """Return the first part of the wanted span of which nothing is known."""
        if self._cursor >= self.want.end:
            return None
        return self._findings.first_unknown(Span(self._cursor, self.want.end))

    def _give_up(self, span: Span, reason: str) -> None:
        self._findings.settle(span, Found.UNAVAILABLE, reason)

    def _put_off(self, span: Span, reason: str) -> None:
        """Leave a span to a later run: the source is out of order now."""
        self._findings.settle(span, Found.NOT_FETCHED, reason)

    # Questions

    def _ask(self, span: Span, since: int | None = None, *, asks: int = ASKS) -> Generator[Step, Any, Times]:
        """Ask for a window, again if nothing comes (from *since* on); take the blocks that come as proven.

        Nothing comes of a window that is refused, and the refusal is remembered: it is no silence.
        """
        times: Times = []
        self._refusal = None
        for _ in range(asks):
            answer = yield AskRows(span)
            if isinstance(answer, SourceError):
                self._refusal = answer
                return []
            times = answer
            for block in blocks_of(times, span, self.grid, sends_end=self.sends_end):
                self._findings.take(block)
            self._findings.learn_interval(times, span)
            if times and (since is None or times[-1] >= since):
                break
        return times

    def _honoured(self, start: int) -> int:
        """Return how many rows long a window at *start* may be so that its silence counts, as one answer was so long."""
        if self.keeps_all:
            return self.page
        # ccxt's class of MEXC cuts windows to 500 minutes without a word, and what it cut off looked like a silence.
        shown = self._findings.widest // (self.grid.step(start, 1) - self.grid.step(start, 0))
        return min(self.page, max(shown, HONOURED))

    # One gap

    def _close(self, gap: Span) -> Generator[Step, Any, None]:
        """Settle at least the beginning of a gap."""
        window = self._findings.window_for(gap, self.page)
        times = yield from self._ask_about(gap, window)
        if self._refusal is not None:
            yield from self._refused(gap, self._refusal)
        if self._findings.knows(gap.start):
            return
        shorter = self._findings.window_for(gap, self._honoured(gap.start))
        if shorter.end < window.end:
            window = shorter
            times = yield from self._ask_about(gap, window)
            if self._findings.knows(gap.start):
                return
        yield from self._judge(gap, window, times)

    def _ask_about(self, gap: Span, window: Span) -> Generator[Step, Any, Times]:
        """Ask for a window of a gap: again if no row of the gap comes, unless the schedule says that none is due."""
        since = None
        if not self._findings.expects_nothing_in(gap):
            since = gap.start
        return (yield from self._ask(window, since))

    def _refused(self, gap: Span, refusal: SourceError) -> Generator[Step, Any, None]:
        """Say that a refused time is unavailable, up to the first one that the source takes.

        Raises
        ------
        SourceError
            The refusal, if the source serves an older row or nothing at all: then its reason is not the age.
        """
        if self._findings.row_before(gap.start + 1) is not None:
            raise refusal
        if not self._refusals:
            taken = yield from self._follow(self._search.first_taken(gap))
        else:
            # The horizon moves on while it is asked for.
            taken = min(self.grid.step(gap.start, self.page << self._refusals), gap.end)
        self._refusals += 1
        if taken >= gap.end and not self._findings.edges:
            newest = yield from self._ask(self._newest_page())
            if not newest:
                raise refusal
        for span in self._findings.not_proven_in(Span(gap.start, taken)):
            self._give_up(span, f"the source refuses to serve it: {refusal}")

    def _newest_page(self) -> Span:
        return Span(self.grid.step(self.now, 1 - self.page), self.grid.step(self.now, 1))

    def _judge(self, gap: Span, window: Span, times: Times) -> Generator[Step, Any, None]:
        """Decide what a silence means: nothing happened, or the source does not serve that time, or it answers nonsense.

        A page may be cut on either side, and a source may be out of order for a while. So once it has shown a row, it is asked
        for the silence alone, and has to answer with nothing.
        """
        later = next((ts for ts in times if ts > gap.start), gap.end)
        quiet = Span(gap.start, min(later, gap.end))
        if not self._starts_after(quiet, times):
            quiet = Span(gap.start, min(quiet.end, window.end))
        silence = window
        first_answer: Times = []
        if times:
            silence = self._findings.window_inside(quiet, later)
            first_answer = yield from self._ask_silence(silence, quiet)
            if self._has_broken(quiet, first_answer):
                return
        served = yield from self._serves(gap.start, window, times)
        if self._findings.knows(gap.start):
            return
        if not served:
            yield from self._beyond_horizon(gap, window, times)
            return
        # Asked for once more after the source has shown that it is awake: an outage that ends in between looks like a silence.
        answer = yield from self._ask_silence(silence, quiet)
        if self._has_broken(quiet, answer):
            return
        is_silent = not (first_answer or answer) or self._starts_after(quiet, answer)
        if is_silent or self._findings.expects_nothing_in(quiet):
            self._findings.prove(quiet)
        elif answer and answer[0] > window.end:
            self._give_up(Span(gap.start, min(later, gap.end)), OTHER_TIMES)
        else:
            self._put_off(quiet, OTHER_TIMES)

    def _has_broken(self, quiet: Span, answer: Times) -> bool:
        """Whether a silence is none: its beginning is known now, or rows of it came."""
        return self._findings.knows(quiet.start) or bool(quiet.among(answer))

    def _ask_silence(self, silence: Span, quiet: Span) -> Generator[Step, Any, Times]:
        """Ask for a silence alone; return what comes without the rows beside it, as some sources round bounds to seconds."""
        times = yield from self._ask(silence, asks=CONFIRMS)
        start, end = quiet.start - SECOND, quiet.end + SECOND
        return [ts for ts in times if ts in quiet or not start <= ts <= end]

    def _starts_after(self, quiet: Span, answer: Times) -> bool:
        """Whether a source that shows all it keeps from a time on, and is told no end, begins with a row after a silence."""
        shows_all = self.keeps_all or self.keeps_rows is not None
        return shows_all and not self.sends_end and bool(answer) and answer[0] >= quiet.end

    def _serves(self, ts: int, window: Span, times: Times) -> Generator[Step, Any, bool]:
        """Find out whether the source serves a row at or before *ts* now.

        A row that came earlier is asked for again: horizons move forward with time. A source that is known to keep everything
        is not believed either where it leaves out a row that it served once.
        """
        known = self._findings.row_before(ts + 1)
        if known is None and times and window.start <= times[0] <= ts:
            known = times[0]
        for row in (known, self.hint):
            if row is not None and row <= ts:
                around = self._findings.window_around(row)
                times_around = yield from self._ask(around)
                if _has_row_between(around.start, ts, times_around):
                    return True
        if known is not None:
            return False
        rule = serves(
            ts,
            lambda windows: self.grid.step(ts, 1 - windows * self.page),
            others=self.keeps_all and (self.hint is None or self._findings.knows(self.hint)),
            enough=self._enough_of_another(),
            keeps_rows=self.keeps_rows,
        )
        return (yield from self._follow(rule))

    def _enough_of_another(self) -> int:
        """Return how many rows of another market show that the source serves a time: about a full page, but for events."""
        if self.grid.scheduled:
            return 1
        return min(self._findings.largest or self.page, self.page // 2)

    def _follow(self, rule: Generator[Question, Any, _Finding]) -> Generator[Step, Any, _Finding]:
        """Ask what a rule wants to know, and return what it finds."""
        reply: Any = None
        while True:
            try:
                question = rule.send(reply)
            except StopIteration as end:
                finding: _Finding = end.value
                return finding
            if isinstance(question, AskRows):
                times = yield from self._ask(question.span)
                reply = self._refusal or times
            else:
                reply = yield question

    def _beyond_horizon(self, gap: Span, window: Span, times: Times) -> Generator[Step, Any, None]:
        """Say that a silence is unavailable, up to the oldest row that is served."""
        first = self._findings.row_after(gap.start + 1)
        if not times and (first is None or first > window.end):
            yield from self._follow(self._search.rows(gap, window.end))
            if self._findings.knows(gap.start):
                return
            first = self._findings.row_after(gap.start + 1)
        if first is None and (self._findings.edges or self.hint is not None):
            self._put_off(gap, SILENT)
        elif first is None:
            self._give_up(gap, NOTHING)
        elif first - gap.start < self._findings.interval_at(first) - LATE_EVENT:
            # Less than an interval before a scheduled event no other was due.
            self._findings.prove(Span(gap.start, min(first, gap.end)))
        else:
            reason = f"the source serves nothing older than {format_time(first)}"
            if self.keeps_rows:
                reason += f", as it keeps the newest {self.keeps_rows} rows"
            self._give_up(Span(gap.start, min(first, gap.end)), reason)

    # The end

    def _passed(self) -> int:
        """Return until when what is known can be settled: the feed has shown a row after it."""
        known_until = self.want.end
        gap = self._gap()
        if gap is not None:
            known_until = gap.start
        newest = self._findings.newest
        if newest is not None and newest >= known_until:
            return known_until
        return self._silent_from(known_until)

    def _silent_from(self, known_until: int) -> int:
        """Return where the silence after the newest row begins, of what is known up to *known_until*."""
        newest = self._findings.newest
        if newest is None:
            return self._cursor
        return max(self._cursor, min(known_until, self.grid.close(newest)))

    def _finish(self, *, last: bool) -> Generator[Step, Any, bool]:
        """Judge the silence after the newest row; what cannot be known yet is forgotten. Return whether that is all."""
        tail = self._silent_tail()
        if tail is None:
            return True
        edges_before = len(self._findings.edges)
        reached = yield from self._reach(tail)
        if len(self._findings.edges) > edges_before:
            fresh = tail.among(self._findings.edges)
            if fresh:
                # The silence was none. Only what lies between its rows is proven; the rest is to be asked for again.
                self._findings.forget(tail, keep=[Span(fresh[0], self.grid.close(fresh[-1]))])
                return last
        if reached < self.want.end:
            self._findings.forget(Span(max(reached, tail.start), self.want.end))
        return True

    def _silent_tail(self) -> Span | None:
        """Return the silence after the newest row, from where it is taken for proven; ``None`` if there is none."""
        newest = self._findings.newest
        start = self._silent_from(self.want.end)
        if start >= self.want.end or (newest is not None and newest >= self.want.end):
            return None
        first_proven = next(self._findings.proven_in(Span(start, self.want.end)), None)
        if first_proven is None:
            return None
        return Span(first_proven.start, self.want.end)

    def _reach(self, tail: Span) -> Generator[Step, Any, int]:
        """Return up to where the silence of *tail* is true, as the feed has passed it."""
        due = tail.start
        if self.grid.scheduled:
            due = self._due(tail)
        if due >= tail.end:
            return tail.end
        if self.grid.step(tail.end, 1) < self.now:
            after = Span(tail.end, self.grid.step(tail.end, self.page))
            for window in (after, self._newest_page()):
                rows = yield from self._ask(window)
                if rows and rows[-1] >= tail.end:
                    return tail.end
        if self.grid.scheduled:
            return due
        trades = yield AskTrades()
        if not trades or tail.among(trades):
            return tail.start
        # Only trades that reach back before the silence show that there were none in it.
        if trades[0] >= tail.start:
            return tail.start
        return tail.end

    def _due(self, tail: Span) -> int:
        """Return the first instant at which the schedule lets a row come after the newest one that is known."""
        newest = self._findings.newest
        if newest is None:
            newest = self.hint
        if newest is None:
            return tail.start
        interval = self._findings.interval_at(newest, self.grid.step(0, 1))
        return max(newest // MINUTE * MINUTE + interval, tail.start)

    def _emit(self, until: int) -> Generator[Step, Any, None]:
        """Settle what is known up to *until*."""
        if until <= self._cursor:
            return
        pieces = self._findings.settled_in(Span(self._cursor, until))
        if pieces:
            yield Settled(pieces)
        self._cursor = until
        self._findings.drop_before(until)
