"""What a live stream has covered: from its control events and the times of its rows to spans and holes.

A stream covers the time between two of its rows if nothing broke in between: the connection stayed, the exchange had acknowledged the
subscription before the first of them, and no message is known to be missing. Rows are what proves that the stream was alive, so the
time before the first row and after the newest one is not covered yet. After an interruption the instant of the newest row is asked for again: others may
share it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ticklake.core.span import Span
from ticklake.core.time import MINUTE

__all__ = ["Advance", "Hole", "StreamCoverage"]


@dataclass(frozen=True, slots=True)
class Hole:
    """A span in which rows of a stream are missing, or may be: between the row before it and the one after.

    ``first`` and ``last`` are the numbers of the missing rows, if they are known.
    """

    span: Span
    reason: str
    first: int | None = None
    last: int | None = None


@dataclass(slots=True)
class Advance:
    """Tells a stream whose time goes on from a single time that is far ahead: a mistake of the exchange.

    A time is doubted if it is ahead of this machine's clock, and further from the newest one than time has passed since, by more than a minute.
    The next time decides: if it is as far ahead, the stream did go on there. So a stream may be hours ahead of a wrong clock, and no clock has to be right.

    Examples
    --------
    >>> stream = Advance()
    >>> [stream.follows(ts, now) for ts, now in [(9 * MINUTE, 9 * MINUTE), (99 * MINUTE, 9 * MINUTE), (10 * MINUTE, 10 * MINUTE)]]
    [True, False, True]
    """

    newest: int | None = None
    received_at: int = 0
    doubted: int | None = None

    def follows(self, ts: int, received_at: int | None, length: int = 0) -> bool:
        """Take the next time, of something that lasts so long; return whether it is to be believed."""
        slack = MINUTE + length
        if received_at is not None and ts > received_at + slack:
            newest, since = received_at, received_at
            if self.newest is not None:
                newest, since = self.newest, self.received_at
            is_as_far = self.doubted is not None and ts > self.doubted - slack
            if ts - newest > max(received_at - since, 0) + slack and not is_as_far:
                self.doubted = ts
                return False
        self.doubted = None
        if self.newest is None or ts > self.newest:
            self.newest, self.received_at = ts, received_at or 0
        return True


@dataclass
class StreamCoverage:
    """Follows one stream. Times are those of its rows, in nanoseconds.

    Examples
    --------
    >>> stream = StreamCoverage()
    >>> stream.subscribed()
    >>> stream.row(10, 10, 10)
    >>> stream.row(20, 20, 20)
    >>> stream.interrupted("the connection was lost")
    >>> stream.subscribed()
    >>> stream.row(50, 50, 50)
    >>> stream.row(60, 60, 60)
    >>> [tuple(span) for span in stream.take_covered()], [tuple(hole.span) for hole in stream.take_holes()]
    ([(10, 20), (50, 60)], [(20, 50)])
    """

    is_subscribed: bool = False
    newest: int | None = None
    """How far rows have come: the end of what the newest one covers."""
    edge: int | None = None
    """Where a hole after the newest row begins: with its instant, unless no other row can share it."""
    _advance: Advance = field(default_factory=Advance)
    _start: int | None = None
    _reason: str = ""
    _covered: list[Span] = field(default_factory=list)
    _holes: list[Hole] = field(default_factory=list)

    def resume(self, newest: int, reason: str) -> None:
        """Go on after what the lake has of the stream, up to *newest*: the time from there to the first row is a hole."""
        self.newest = self.edge = newest
        self._reason = reason

    def subscribed(self) -> None:
        """Take note that the exchange has acknowledged the subscription."""
        self.is_subscribed = True

    def row(self, ts: int, end: int, edge: int, start: int | None = None, received_at: int | None = None) -> bool:
        """Take note of a row that came; return whether the stream has come so far, as :class:`Advance` has it.

        Parameters
        ----------
        ts, end
            Its time, and the end of what it covers: of a bar when it closes; *ts* if rows that share its time may follow.
        edge
            Where a hole after it would begin.
        start
            Where a hole before it would end: after its instant if rows that were missed may share it; *ts* by default.
        received_at
            When it was received, by this machine's clock.
        """
        doubted = self._advance.doubted
        if not self._advance.follows(ts, received_at, end - ts):
            return False
        if not self.is_subscribed:
            return True
        if self._start is None:
            first = ts
            if doubted is not None and ts < doubted <= ts + MINUTE:
                # Its neighbour shows that its time was right: the stream begins with it, and this row was overtaken.
                first = doubted
            self._begin(first, first if start is None else first + start - ts)
        if self.newest is None or end > self.newest:
            self.newest = end
        if self.edge is None or edge > self.edge:
            self.edge = edge
        return True

    def gap(self, span: Span, reason: str, first: int | None = None, last: int | None = None) -> None:
        """Take note that rows are missing inside *span*, after the rows so far."""
        start = self._start
        if start is None:
            start = self.newest
        self._close(span.start)
        self._holes.append(Hole(span, reason, first, last))
        # Another collector may have stored newer rows than have come here: what lies between is not covered by this stream.
        self._start = span.end if start is None else max(start, span.end)
        self.newest = max(self.newest or span.end, span.end)
        self.edge = max(self.edge or span.end, span.end)

    def interrupted(self, reason: str) -> None:
        """Take note that rows may be missing from the newest one on, until the first after the next subscription."""
        # Others may share the instant of the newest row: it belongs to the hole.
        self._close(self.edge)
        self.is_subscribed = False
        self._reason = reason

    def stopped(self) -> None:
        """Take note that nobody collects any more; a hole begins only if somebody does again."""
        self._close(self.newest)
        self.is_subscribed = False

    def take_covered(self) -> list[Span]:
        """Return what was covered since the last call. What follows the newest row is left for later."""
        if self._start is not None and self.newest is not None and self.newest > self._start:
            self._covered.append(Span(self._start, self.newest))
            self._start = self.newest
        covered, self._covered = self._covered, []
        return covered

    def take_holes(self) -> list[Hole]:
        """Return the holes that were found since the last call."""
        holes, self._holes = self._holes, []
        return holes

    def _begin(self, ts: int, start: int) -> None:
        self._start = start
        if self.newest is None or self.edge is None:
            return
        if ts >= self.edge and start > self.edge:
            self._holes.append(Hole(Span(self.edge, start), self._reason))
        else:
            # The exchange sent again what came before the interruption: nothing is missing.
            self._start = self.newest

    def _close(self, end: int | None) -> None:
        if self._start is not None and end is not None and end > self._start:
            self._covered.append(Span(self._start, end))
        self._start = None
