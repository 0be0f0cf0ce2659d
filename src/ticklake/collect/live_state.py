"""The state of live streams and of their connections, as the live service keeps it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter
from typing import Any

from ticklake.collect.live_buffer import DatasetRows
from ticklake.core.checks import plausible_times
from ticklake.core.dataset import Dataset
from ticklake.core.live_coverage import StreamCoverage
from ticklake.core.streams import StreamCounts
from ticklake.core.time import SECOND
from ticklake.sources.live.base import Control, Feed, RowKey
from ticklake.sources.live.feeds import proof_of_stream

__all__ = ["Connection", "LiveStream"]

SHARED_TIMES = frozenset({"trades", "liquidations"})
"""Kinds of which rows of several messages have one time."""
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
    seconds: deque[list[int]] = field(default_factory=deque)
    """Rows of each second of the last minute, each as the second and a number."""
    batches: dict[str, DatasetRows] = field(default_factory=dict)
    """Rows that wait for their commit, by the numbering of their ids."""
    _batch: DatasetRows | None = None
    """That of the last row: nearly all rows of a stream have one numbering."""

    @cached_property
    def has_shared_times(self) -> bool:
        """Whether rows of several messages have one time."""
        return self.dataset.kind in SHARED_TIMES

    @cached_property
    def proof(self) -> str:
        """What proves that no message of it is missing."""
        return proof_of_stream(self.dataset.exchange, self.dataset.kind)

    def take(self, rows: Sequence[Sequence[Any]], space: str, received_at: int) -> None:
        """Take rows that were received at a time in nanoseconds; what they mean is noted later, for many at once."""
        batch = self._batch
        if batch is None or batch.space != space:
            batch = self._batch = self.batches.setdefault(space, DatasetRows(self.dataset, space))
        if self.last_received is not None and received_at < self.last_received:
            # The clock was set back.
            self.note_rows(self.last_received)
        batch.rows += rows
        self.last_received = received_at

    def take_batches(self) -> Iterable[DatasetRows]:
        """Return all rows that wait, and keep none."""
        batches, self.batches, self._batch = self.batches, {}, None
        return batches.values()

    def note_rows(self, now: int) -> None:
        """Note the rows that were taken: before anything else happens to the stream, a commit, and a look at its state."""
        for batch in self.batches.values():
            if batch.noted < len(batch.rows):
                self._note_rows(batch.rows[batch.noted :], now)
                batch.noted = len(batch.rows)

    def _note_rows(self, rows: Sequence[Sequence[Any]], now: int) -> None:
        received_at = self.last_received or now
        self.counts.received += len(rows)
        self.count(len(rows), received_at)
        # A row without a time, or with one that cannot be true, is refused at the commit; it proves nothing.
        times = plausible_times(map(itemgetter(0), rows), now)
        if not times:
            return
        # A replay receives messages of the past: what is not later than now was never in the future.
        at, newest = max(received_at, now), max(times)
        if newest <= at:
            # None is ahead of the clock, so none is doubted; and of those between none moves a bound.
            times = [times[0], newest]
        for ts in times:
            if self._cover(ts, at) and (self.last_event is None or ts > self.last_event):
                self.last_event = ts

    def _cover(self, ts: int, at: int) -> bool:
        if self.dataset.timeframe is not None:
            end = self.dataset.row_end(ts)
            return self.coverage.row(ts, end, end, None, at)
        # Others at this instant may follow the newest row, and may have come before the first of a connection.
        return self.coverage.row(ts, ts, ts, ts + self.has_shared_times, at)

    def count(self, rows: int, received_at: int) -> None:
        """Count rows that were received at a time in nanoseconds."""
        second = received_at // SECOND
        if self.seconds and self.seconds[-1][0] > second:
            # The clock was set back: what came before would count again, and stay for as long.
            self.seconds.clear()
        if self.seconds and self.seconds[-1][0] == second:
            self.seconds[-1][1] += rows
            return
        self.seconds.append([second, rows])
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
    """The streams of one feed by the key of their rows, and its counts: ``messages`` is the sum of those with rows and of the two others."""

    streams: Mapping[RowKey, LiveStream]
    messages: int = 0
    control: int = 0
    unparsed: int = 0
