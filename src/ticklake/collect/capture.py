"""Capture: every message of live feeds as it was received, in a file for each exchange."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ticklake.core.dataset import Dataset
from ticklake.core.span import Span
from ticklake.core.time import SECOND
from ticklake.sources.live.base import Control, Feed, LiveMessage
from ticklake.storage.captures import CaptureFile

__all__ = ["Capture", "control_of", "note_of"]

MOST_BYTES = 64 * 1024**2
"""Messages wait in memory while a file cannot be written; more than so many bytes are dropped, and counted."""


@dataclass
class Capture:
    """Writes the messages of feeds below *folder*. Nothing that goes wrong with it keeps rows from being collected.

    Attributes
    ----------
    problem
        Why messages are not captured; empty if all were.
    dropped
        Messages of each exchange that were dropped while files could not be written.
    """

    folder: Path
    problem: str = ""
    dropped: Counter[str] = field(default_factory=Counter)
    _files: dict[str, CaptureFile] = field(default_factory=dict)
    _connections: dict[int, str] = field(default_factory=dict)
    _waiting: int = 0

    def add(self, feed: Feed, message: LiveMessage) -> None:
        """Add a message as it was received, and what its feed noticed or fetched besides."""
        if self._waiting > MOST_BYTES:
            self.dropped[feed.exchange] += 1
            return
        connection = self._connections.get(id(feed))
        if connection is None:
            connection = self._connections[id(feed)] = str(len(self._connections))
            self._begin(feed, message.received_at)
        file = self._files[feed.exchange]
        for control in message.controls:
            file.note(connection, control.at, note_of(control))
        if message.raw:
            self._waiting += len(message.raw)
            file.add(connection, message.received_at, message.raw, is_withheld=message.is_withheld)
        elif message.rows:
            # Fetched by a call, like the book that changes of a socket begin with.
            file.note(connection, message.received_at, {"rows": list(map(tuple, message.rows))})

    def flush(self) -> None:
        """Write what waits: one frame for each exchange."""
        try:
            for file in list(self._files.values()):
                file.flush()
        except OSError as error:
            self.problem = f"messages cannot be captured: {error}"
        else:
            self.problem, self._waiting = "", 0
        if self.dropped:
            self.problem = f"{self.dropped.total():,} messages were not captured{self.problem and ': '}{self.problem}"

    def _begin(self, feed: Feed, received_at: int) -> None:
        """Open the file of an exchange with its first feed, and name the streams of the feed in it."""
        file = self._files.get(feed.exchange)
        if file is None:
            began = dt.datetime.fromtimestamp(received_at // SECOND, dt.UTC)
            path = self.folder / f"{feed.exchange}-{began:%Y%m%dT%H%M%S}.jsonl.zst"
            file = self._files[feed.exchange] = CaptureFile(path, feed.exchange)
        file.name(_streams_of(feed, self._connections[id(feed)]))


def _streams_of(feed: Feed, connection: str) -> list[dict[str, str]]:
    """Return what tells the dataset of each row, and the streams of a connection, when a capture is replayed."""
    streams: list[dict[str, str]] = []
    for (kind, native, timeframe), dataset in feed.datasets.items():
        names = {"dataset": str(dataset), "kind": kind, "native": native, "timeframe": timeframe}
        streams.append({**names, "conn": connection})
    return streams


def note_of(control: Control) -> dict[str, Any]:
    """Return a control event as values that JSON has."""
    dataset = span = None
    if control.dataset is not None:
        dataset = str(control.dataset)
    if control.span is not None:
        span = [control.span.start, control.span.end]
    return {
        "control": control.name,
        "dataset": dataset,
        "text": control.text,
        "span": span,
        "first": control.first,
        "last": control.last,
    }


def control_of(note: Mapping[str, Any], at: int) -> Control:
    """Return the control event of a note."""
    dataset = span = None
    if note["dataset"] is not None:
        dataset = Dataset.parse(note["dataset"])
    if note["span"] is not None:
        span = Span(*note["span"])
    return Control(note["control"], at, dataset, note["text"], span, note["first"], note["last"])
