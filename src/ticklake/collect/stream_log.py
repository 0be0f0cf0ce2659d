"""What happens to live streams, as events of the log: a listener beside all others."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ticklake.core.dataset import Dataset
from ticklake.log import Log
from ticklake.sources.live.base import Control

__all__ = ["StreamLog"]

_LOG = Log("streams")
_EVENTS = {
    "connected": (logging.INFO, "stream connected"),
    "subscribed": (logging.INFO, "stream subscribed"),
    "refused": (logging.ERROR, "stream refused"),
    "disconnected": (logging.WARNING, "stream lost"),
    "slow": (logging.WARNING, "stream slow"),
    "gap": (logging.WARNING, "stream gap"),
    "resynchronised": (logging.INFO, "stream resynchronised"),
}
"""What is logged; heartbeats and complete intervals are as many as messages, and how a run ends is logged with the run."""


class StreamLog:
    """Logs what happens to streams; what happens to a whole connection is one event, however many streams it has."""

    def __init__(self) -> None:
        self._last: Control | None = None
        self._lost: set[Dataset] = set()

    def rows(self, dataset: Dataset, rows: Sequence[Sequence[Any]], received_at: int) -> None:
        """Log nothing: rows are counted, not logged."""

    def control(self, dataset: Dataset, control: Control) -> None:
        """Log what happened to a stream."""
        # First of all: nearly all controls are heartbeats.
        if control.name not in _EVENTS:
            return
        level, event = _EVENTS[control.name]
        if control.name == "disconnected":
            self._lost.add(dataset)
        elif control.name == "connected" and dataset in self._lost:
            self._lost.discard(dataset)
            event = "stream reconnected"
        # One that names no stream comes once for each of its connection.
        if control is self._last:
            return
        self._last = control
        said: dict[str, Any] = {"exchange": dataset.exchange, "dataset": control.dataset, "span": control.span}
        _LOG.at(level, event, **said, first=control.first, last=control.last, reason=control.text or None)

    def flushing(self, datasets: Iterable[Dataset]) -> None:
        """Log nothing: the commit is logged."""

    def committed(self, versions: Mapping[Dataset, int]) -> None:
        """Log nothing: the commit is logged."""
