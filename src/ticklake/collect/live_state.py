"""The state of live streams and of their connections, as the live service keeps it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import cached_property

from ticklake.core.dataset import Dataset
from ticklake.core.live_coverage import StreamCoverage
from ticklake.core.streams import StreamCounts
from ticklake.core.time import SECOND
from ticklake.sources.live.base import Control, Feed
from ticklake.sources.live.feeds import proof_of_stream

__all__ = ["Connection", "LiveStream"]

_RATE_WINDOW = 60


@dataclass
class LiveStream:
    """The state of one stream."""

    dataset: Dataset
    is_in_lake: bool = False
    """Whether the lake has rows of it."""
    feed: Feed | None = None
    state: str = "connecting"
    text: str = ""
    counts: StreamCounts = field(default_factory=StreamCounts)
    coverage: StreamCoverage = field(default_factory=StreamCoverage)
    last_event: int | None = None
    last_received: int | None = None
    lag: float | None = None
    gaps: int = 0
    connections: int = 0
    seconds: deque[tuple[int, int]] = field(default_factory=deque)
    """Rows of each second of the last minute."""

    @cached_property
    def proof(self) -> str:
        """What proves that no message of it is missing."""
        return proof_of_stream(self.dataset.exchange, self.dataset.kind)

    def count(self, rows: int, received_at: int) -> None:
        """Count rows that were received at a time in nanoseconds."""
        second = received_at // SECOND
        if self.seconds and self.seconds[-1][0] > second:
            # The clock was set back: what came before would count again, and stay for as long.
            self.seconds.clear()
        if self.seconds and self.seconds[-1][0] == second:
            rows += self.seconds.pop()[1]
        self.seconds.append((second, rows))
        while self.seconds[0][0] <= second - _RATE_WINDOW:
            self.seconds.popleft()

    def rate(self, now: int) -> float:
        """Return the rows a second in the minute before *now*."""
        since = now // SECOND - _RATE_WINDOW
        return sum(rows for second, rows in self.seconds if second > since) / _RATE_WINDOW

    def apply(self, control: Control) -> None:
        """Change the state by what happened to it."""
        match control.name:
            case "connected":
                self.connections += 1
            case "subscribed":
                self.state, self.text = "live", ""
                self.coverage.subscribed()
            case "refused":
                self.state, self.text = "refused", control.text
                self.coverage.interrupted(control.text)
            case "disconnected":
                if self.state != "refused":
                    self.state, self.text = "reconnecting", control.text
                self.coverage.interrupted(control.text or "the connection was lost")
            case "gap" if control.span is not None:
                self.coverage.gap(control.span, control.text, control.first, control.last)
            case _:
                pass


@dataclass
class Connection:
    """The counts of one feed: ``messages`` is the sum of those with rows and of the two others."""

    messages: int = 0
    control: int = 0
    unparsed: int = 0
