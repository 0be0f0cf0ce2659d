"""The search for the first row that a source serves of a gap, and for the first window that it does not refuse."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from ticklake.core.findings import Findings
from ticklake.core.questions import AskRows, AskTraded, Question
from ticklake.core.span import Span
from ticklake.core.time import DAY
from ticklake.errors import SourceError

__all__ = ["FirstRowSearch"]

_NEWEST_PAGES = (1, 10, 100)
"""How many pages before now are looked at for any row at all, where nothing is known of a source yet."""


@dataclass(slots=True)
class FirstRowSearch:
    """The questions of one walk.

    Parameters
    ----------
    findings
        What the walk learns from the answers.
    honoured
        Returns how many rows long a window at a time may be.
    """

    findings: Findings
    page: int
    now: int
    honoured: Callable[[int], int]
    _has_doubted: bool = False

    def rows(self, gap: Span, after: int) -> Generator[Question, Any, None]:
        """Search for the oldest row served after *after*, in few questions: by bisection, then where daily bars have trades."""
        step = self.findings.grid.step
        first = self.findings.row_after(gap.start)
        for pages in _NEWEST_PAGES:
            start = max(step(self.now, -pages * self.page), gap.start)
            if first is None and start < self.now:
                yield AskRows(Span(start, step(self.now, 1)))
                first = self.findings.row_after(gap.start)
        high = gap.end
        if first is not None:
            high = yield from self._bisect(gap, after, min(first, gap.end))
        yield from self._doubt(gap, high)

    def _bisect(self, gap: Span, low: int, high: int) -> Generator[Question, Any, int]:
        """Return the first row that is served after the start of a gap, which lies between *low* and *high*, by bisection."""
        step, window_rows = self.findings.grid.step, self.honoured(gap.start)
        while step(low, 1) < high:
            middle = low
            if step(low, window_rows) < high:
                middle = step((low + high) // 2, 0)
            # A page may keep the newest rows of a window, so rows that came before must not fill it.
            probe = Span(middle, min(step(middle, window_rows), high))
            yield AskRows(probe)
            first = self.findings.row_after(gap.start)
            if first is None or first >= high:
                low = probe.end
            else:
                # Rows before it may have been cut off, so only silence moves the lower bound.
                high = first
        return high

    def _doubt(self, gap: Span, first: int) -> Generator[Question, Any, None]:
        """Look where the daily bars say that there were trades, as a market may be silent for long in between."""
        if self._has_doubted or first - gap.start < DAY:
            return
        self._has_doubted = True
        day = yield AskTraded(Span(gap.start, first))
        if day is not None:
            step = self.findings.grid.step
            yield AskRows(Span(step(day, -1), step(day, self.page - 1)))

    def first_taken(self, gap: Span) -> Generator[Question, Any, int]:
        """Find by bisection from where on windows are not refused."""
        step = self.findings.grid.step
        low, high = gap.start, gap.end
        while low < high:
            middle = max(step((low + high) // 2, 0), low)
            answer = yield AskRows(Span(step(middle, -1), step(middle, self.page)))
            if isinstance(answer, SourceError):
                low = step(middle, 1)
            else:
                high = middle
        return high
