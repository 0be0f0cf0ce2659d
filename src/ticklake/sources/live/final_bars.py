"""Bars that are over by the exchange's own time, where nothing in them says so and no later bar has come yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ticklake.core.dataset import Dataset
from ticklake.core.span import ALL_TIME
from ticklake.core.time import MINUTE, SECOND
from ticklake.sources.live.base import LiveMessage, RowKey
from ticklake.sources.live.continuity import complete_bars
from ticklake.sources.wire.reading import Memory
from ticklake.sources.wire.rows import Row, row_key
from ticklake.sources.wire.states import open_bars, overdue

__all__ = ["FinalBars"]


class FinalBars:
    """Finds them, connection by connection.

    A later bar shows that the one before it is over; in a quiet market it may not come for hours. The exchange's clock was at least
    where the times of its rows show it, and has gone on since as the monotonic clock of this machine has. The wall clock decides
    nothing: were it ahead, bars would be final that still grow.
    """

    def __init__(self, datasets: Mapping[RowKey, Dataset]) -> None:
        self._datasets = datasets
        self._newest: object = None
        """The time of the row that came last."""
        self._offset = -ALL_TIME.end
        """What the exchange's clock is at least ahead of the monotonic one, in nanoseconds."""

    def note(self, rows: Sequence[Row]) -> None:
        """Take note of rows that came."""
        if rows:
            self._newest = rows[-1].values[0]

    def messages(self, memory: Memory, received_at: int, monotonic: float) -> list[LiveMessage]:
        """Return the bars that are over, as :meth:`find` does, and the events that say so, as messages of the feed."""
        bars = self.find(memory, self._newest, received_at, monotonic)
        if not bars:
            return []
        complete = complete_bars(bars, self._datasets, received_at)
        return [LiveMessage(received_at, bars), LiveMessage(received_at, controls=complete)]

    def find(self, memory: Memory, newest: object, received_at: int, monotonic: float) -> list[Row]:
        """Return the wanted bars of *memory* that are over, each once.

        Parameters
        ----------
        newest
            The time of the row that came last, if it has one.
        received_at, monotonic
            Now, by the clock that rows are stamped with and by the monotonic one, in seconds.
        """
        now = int(monotonic * SECOND)
        bars = [bar for bar in open_bars(memory) if row_key(bar) in self._datasets]
        for ts in (newest, *(bar.values[0] for bar in bars)):
            # A time ahead of ours may be an error of one row, and would end all bars.
            if isinstance(ts, int) and ts <= received_at + MINUTE:
                self._offset = max(self._offset, ts - now)
        return list(overdue(memory, bars, self._offset + now))
