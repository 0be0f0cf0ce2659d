"""Replay: a capture goes through the pipeline again, as if its messages came now."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ticklake.collect.capture import control_of
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import kind_of
from ticklake.core.time import SECOND
from ticklake.errors import BadInput, InvalidData, TicklakeError
from ticklake.sources.live.base import Control, Feed, LiveMessage, Sink, Subscription
from ticklake.sources.live.feeds import PROTOCOLS
from ticklake.sources.wire.channels import Channels
from ticklake.sources.wire.decode import decode, gunzipped
from ticklake.sources.wire.messages import READERS
from ticklake.sources.wire.reading import Reader, read_with
from ticklake.sources.wire.rows import Row
from ticklake.storage.captures import CapturedMessage, captured_messages, captured_streams

__all__ = ["ReplayFeed"]

_GZIP = b"\x1f\x8b"
_MISREAD = (TicklakeError, LookupError, TypeError, ValueError, AttributeError)
_SOME = 500
"""Messages between two turns of the loop: commits are made meanwhile."""


@dataclass
class ReplayFeed(Feed):
    """Delivers the messages of a capture in the order in which they were received.

    What happened to streams, like a lost connection or a gap, was captured too and happens again. The rows are those that today's
    readers find in the messages. A capture that is cut short is delivered as far as it goes; then the feed raises.

    Parameters
    ----------
    path
        The capture.
    speed
        How many times as fast as they were received; 0 is as fast as they are stored.
    """

    path: Path
    speed: float = 0.0

    def __post_init__(self) -> None:
        self.exchange, streams = captured_streams(self.path)
        self._readers = _readers_of(self.exchange)
        try:
            self.datasets = {
                (stream["kind"], stream["native"], stream["timeframe"]): Dataset.parse(stream["dataset"])
                for stream in streams
            }
        except _MISREAD as error:
            raise InvalidData(
                f"{self.path} is damaged, or of a later version: its streams cannot be read ({error})"
            ) from error
        self.subscriptions = tuple(map(Subscription, self.datasets.values()))
        self._by_connection: defaultdict[str, set[Dataset]] = defaultdict(set)
        for stream in streams:
            # Captures of before named no connection: what happened to one is told of all streams.
            self._by_connection[stream.get("conn", "")].add(Dataset.parse(stream["dataset"]))
        self._channels: defaultdict[str, Channels] = defaultdict(Channels)

    async def run(self, sink: Sink) -> None:
        """Deliver all messages.

        Raises
        ------
        InvalidData
            If the capture is cut short or damaged.
        """
        before: int | None = None
        for number, captured in enumerate(captured_messages(self.path)):
            if self.speed and before is not None:
                await asyncio.sleep(max(captured.received_at - before, 0) / SECOND / self.speed)
            elif number % _SOME == 0:
                await asyncio.sleep(0)
            before = captured.received_at
            await sink.put(self, self._message(captured))

    def _message(self, captured: CapturedMessage) -> LiveMessage:
        at = captured.received_at
        if captured.note is not None:
            return self._noted(captured.note, at, captured.connection)
        channels = self._channels[captured.connection]
        try:
            message = decode(_unpacked(captured.data))
            if channels.of(message).is_control:
                return LiveMessage(at)
            reading = read_with(self._readers, message, at, channels.subscription_of(message), channels.memory)
        except InvalidData:
            reading = None
        if reading is None:
            return LiveMessage(at, is_known=False)
        rows = reading.rows
        if captured.is_withheld:
            # The book was not whole: what was held back and joined to it later was captured as rows.
            rows = [row for row in rows if row.kind != "book"]
        return LiveMessage(at, rows)

    def _controls(self, control: Control, connection: str) -> tuple[Control, ...]:
        """Return what happened to a connection as what happened to each of its streams."""
        datasets = self._by_connection.get(connection)
        if control.dataset is not None or datasets is None:
            return (control,)
        return tuple(replace(control, dataset=dataset) for dataset in sorted(datasets, key=str))

    def _noted(self, note: Mapping[str, Any], at: int, connection: str) -> LiveMessage:
        """Return what happened besides messages. Sorts of notes that are not known are passed over: a later version may write some."""
        try:
            if "control" in note:
                return LiveMessage(at, (), self._controls(control_of(note, at), connection))
            return LiveMessage(at, list(_rows_of(note.get("rows", ()))))
        except _MISREAD as error:
            raise InvalidData(
                f"{self.path} is damaged, or of a later version: {str(note)[:80]} is no note ({error!r})"
            ) from error


def _readers_of(exchange: str) -> tuple[Reader, ...]:
    protocol = PROTOCOLS.get(exchange)
    if protocol is not None:
        return protocol.readers
    if exchange not in READERS:
        known = ", ".join(sorted(READERS))
        raise BadInput(
            f"messages of {exchange} are read by ccxt as they come, and not from a capture: it can be replayed of {known}"
        )
    return READERS[exchange]


def _rows_of(rows: Iterable[Any]) -> Iterator[Row]:
    for kind, native, values, *more in rows:
        row = Row(kind, native, tuple(values), *more)
        width = len(kind_of(kind).columns)
        if len(row.values) != width:
            raise InvalidData(f"a row of {kind} has {len(row.values)} values, not {width}")
        yield row


def _unpacked(data: bytes) -> bytes:
    if data.startswith(_GZIP):
        return gunzipped(data)
    return data
