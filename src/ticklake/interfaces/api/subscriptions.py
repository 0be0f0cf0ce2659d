"""Subscriptions: rows to a client over a WebSocket, each once. A slow client waits, is told, or is cut; it delays nobody."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from ticklake.collect.broadcast import LiveBatch, Subscriber
from ticklake.core.dataset import Dataset
from ticklake.core.lookup import is_pattern
from ticklake.errors import BadInput, SlowSubscriber, TicklakeError
from ticklake.interfaces.api.server import Server
from ticklake.interfaces.api.watch import Look
from ticklake.interfaces.schema import frame_text, row_to_json

__all__ = ["Connection", "Cursor"]

MOST_SUBSCRIPTIONS = 50
"""Of one client."""
MOST_WAITING = 20_000
"""Live rows that may wait for one subscription; what was committed waits in the lake."""
ROWS_AT_ONCE = 5_000
"""Rows of one message."""
LONG_POLL = 60.0
"""Seconds: all subscriptions are told of new commits, so that none has to look by itself."""
_CURSOR = re.compile(r"(\d{1,18})(?:\+(\d{1,18}))?")
Sending = Sequence[str | bytes]


class Cursor(BaseModel):
    """A place among the rows of a subscription: all up to a version, and so many rows after it. Its text is ``41`` or ``41+500``."""

    model_config = ConfigDict(frozen=True)

    version: int
    rows: int = 0

    def __str__(self) -> str:
        if not self.rows:
            return str(self.version)
        return f"{self.version}+{self.rows}"

    @classmethod
    def parse(cls, value: int | str) -> Cursor:
        """Read a version, or the cursor of a message.

        Raises
        ------
        BadInput
        """
        match = _CURSOR.fullmatch(str(value))
        if match is None or not str(value).isascii():
            raise BadInput(f"since={value!r} is no place to go on from: send the cursor of a message, or a version")
        return cls(version=int(match[1]), rows=int(match[2] or 0))


class _Message(BaseModel):
    """What a client may send."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["subscribe", "unsubscribe"]
    id: str = Field("", max_length=100)
    datasets: list[str] = Field(default_factory=list, max_length=1_000)
    since: int | str | None = None
    live: bool = False
    format: Literal["json", "arrow"] = "json"


@dataclass
class _Subscription:
    """One subscription, and how far it is."""

    name: str
    subscriber: Subscriber
    format: str
    is_live: bool
    cursor: Cursor
    skip: int
    """Rows after the version of the cursor that the client has already."""
    task: asyncio.Task[None] | None = None

    def advance(self, batch: LiveBatch, rows: int, *, is_last: bool) -> None:
        """Move the cursor behind so many more rows of a batch."""
        if self.is_live:
            # Rows that are not committed yet have no place among those of a version: they come again from there.
            self.cursor = Cursor(version=max(self.cursor.version, batch.version))
            return
        if is_last and batch.added_in == batch.version:
            self.cursor, self.skip = Cursor(version=batch.version), 0
            return
        version, before = self.cursor.version, self.cursor.rows
        # The versions in between have no rows of this subscription.
        if batch.added_in is not None and not before:
            version = max(version, batch.added_in - 1)
        self.cursor = Cursor(version=version, rows=before + rows)


class Connection:
    """One client, its subscriptions, and what it is sent."""

    def __init__(self, server: Server, socket: WebSocket) -> None:
        self._server = server
        self._socket = socket
        self._subscriptions: dict[str, _Subscription] = {}
        self._sending = asyncio.Lock()
        self._count = 0
        self._is_lost = asyncio.Event()
        """Set once the client is to be cut: it takes nothing, or was told that it is too slow."""

    async def run(self) -> None:
        """Serve the client until it goes away, is cut, or the server ends."""
        with self._server.clients.joined(self._is_lost.set):
            await self._socket.accept()
            receiving = asyncio.create_task(self._receive_all())
            losing = asyncio.create_task(self._is_lost.wait())
            try:
                await asyncio.wait([receiving, losing], return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._server.watch.remove(self._look)
                await self._end([receiving, losing])

    async def _end(self, tasks: Sequence[asyncio.Task[Any]]) -> None:
        """Free everything, and say goodbye to who is still there."""
        for subscription in list(self._subscriptions.values()):
            tasks = [*tasks, *self._drop(subscription)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        is_open = self._socket.application_state is WebSocketState.CONNECTED
        if is_open and self._socket.client_state is WebSocketState.CONNECTED:
            # The client is to come back: it was cut, or the server starts again.
            await self._within(self._socket.close(1012, "come back"), 1.0)

    async def _receive_all(self) -> None:
        """Do what the client says, one message after the other."""
        await self._server.watch.add(self._look)
        try:
            while True:
                message = await self._socket.receive()
                if message["type"] != "websocket.receive":
                    return
                try:
                    await self._obey(_parsed(message.get("text") or ""))
                except TicklakeError as error:
                    await self._send([self._error(error)])
        except WebSocketDisconnect:
            return

    async def _obey(self, message: _Message) -> None:
        if message.action == "unsubscribe":
            return await self._unsubscribe(message.id)
        return await self._subscribe(message)

    async def _subscribe(self, message: _Message) -> None:
        if len(self._subscriptions) >= MOST_SUBSCRIPTIONS:
            raise BadInput(f"this connection has {MOST_SUBSCRIPTIONS} subscriptions: name more datasets in one of them")
        self._count += 1
        name = message.id or str(self._count)
        if name in self._subscriptions:
            raise BadInput(f"id={name!r} is a subscription already: unsubscribe it first, or choose another id")
        # It reads the catalog: not on the event loop.
        subscription = await self._server.read(self._made, name, message)
        # Kept before the client is told: it may leave while it is.
        self._subscriptions[name] = subscription
        told = {"type": "subscribed", "id": name, "cursor": str(subscription.cursor), "datasets": message.datasets}
        await self._send([json.dumps(told)])
        subscription.task = asyncio.create_task(self._follow(subscription))

    def _made(self, name: str, message: _Message) -> _Subscription:
        """Return a subscription; it reads the catalog."""
        for pattern in message.datasets:
            if not is_pattern(pattern):
                Dataset.parse(pattern)
        if not message.datasets:
            raise BadInput("datasets is empty: name some, or patterns like 'binance:trades:*'")
        cursor = Cursor(version=self._server.lake.engine.catalog.version())
        if message.since is not None:
            cursor = Cursor.parse(message.since)
        subscriber = self._server.lake.streams.subscribe(
            *message.datasets,
            since=cursor.version,
            most_rows=MOST_WAITING,
            committed=not message.live,
            poll_seconds=LONG_POLL,
        )
        return _Subscription(name, subscriber, message.format, message.live, cursor, cursor.rows)

    async def _unsubscribe(self, name: str) -> None:
        subscription = self._subscriptions.get(name)
        if subscription is None:
            raise BadInput(f"id={name!r} is no subscription of this connection")
        tasks = self._drop(subscription)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._send([json.dumps({"type": "unsubscribed", "id": name})])

    def _drop(self, subscription: _Subscription) -> list[asyncio.Task[None]]:
        self._subscriptions.pop(subscription.name, None)
        subscription.subscriber.close()
        if subscription.task is None:
            return []
        return [subscription.task]

    def _look(self, look: Look) -> None:
        """Let the subscriptions read what others have committed."""
        if look.commits or look.missed:
            for subscription in self._subscriptions.values():
                subscription.subscriber.look()

    async def _follow(self, subscription: _Subscription) -> None:
        """Send the rows of a subscription as they come."""
        try:
            async for batch in subscription.subscriber:
                if batch.control is not None:
                    await self._send([_control(subscription, batch)])
                    continue
                for part in _parts(subscription, batch):
                    await self._send(await self._server.read(part))
            await self._send([json.dumps({"type": "ended", "id": subscription.name})])
        except TicklakeError as error:
            await self._send([self._error(error, subscription.name)])
            if isinstance(error, SlowSubscriber):
                await self._within(self._socket.close(1008, "SlowSubscriber"), 1.0)
                self._is_lost.set()
        finally:
            self._subscriptions.pop(subscription.name, None)
            subscription.subscriber.close()

    async def _send(self, messages: Sending) -> None:
        """Send messages that belong together; a client that takes nothing for long is cut."""
        async with self._sending:
            for message in messages:
                await self._within(self._send_one(message), self._server.options.send_timeout)

    async def _send_one(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            await self._socket.send_bytes(message)
        else:
            await self._socket.send_text(message)

    def _error(self, error: TicklakeError, name: str | None = None) -> str:
        detail = self._server.hidden.text(str(error))
        facts: dict[str, Any] = {"type": "error", "title": type(error).__name__, "detail": detail}
        if name is not None:
            facts["id"] = name
        return json.dumps({**facts, "retriable": error.retriable})

    async def _within(self, sending: Any, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await sending
        except (TimeoutError, RuntimeError, WebSocketDisconnect):
            # Starlette has a RuntimeError for what is sent after the end.
            self._is_lost.set()


def _parsed(text: str) -> _Message:
    try:
        return _Message.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the message"
        raise BadInput(
            f'{where}: {first["msg"]}; write it like {{"action": "subscribe", "datasets": ["binance:trades:*"]}}'
        ) from None


def _parts(subscription: _Subscription, batch: LiveBatch) -> Iterator[Callable[[], Sending]]:
    """Yield what makes each message of a batch; the cursor of the last one is behind the batch, if that ends a version."""
    frame = batch.frame()
    # Rows that the client had before the connection broke.
    skipped = min(subscription.skip, frame.height)
    subscription.skip -= skipped
    for start in range(skipped, frame.height, ROWS_AT_ONCE):
        piece = frame.slice(start, ROWS_AT_ONCE)
        is_last = start + piece.height == frame.height
        subscription.advance(batch, piece.height, is_last=is_last)
        yield partial(_rows_message, subscription.name, subscription.format, batch, piece, str(subscription.cursor))
    if skipped == frame.height:
        subscription.advance(batch, 0, is_last=True)


def _rows_message(name: str, form: str, batch: LiveBatch, rows: pl.DataFrame, cursor: str) -> Sending:
    facts = {
        "type": "rows",
        "id": name,
        "dataset": str(batch.dataset),
        "cursor": cursor,
        "received_at": row_to_json({"at": batch.received_at})["at"],
        "rows": rows.height,
    }
    if form == "arrow":
        buffer = io.BytesIO()
        # Views of texts are newer than many readers of Arrow.
        rows.write_ipc_stream(buffer, compat_level=pl.CompatLevel.oldest())
        return [json.dumps({**facts, "format": "arrow"}), buffer.getvalue()]
    return [f'{json.dumps(facts)[:-1]}, "data": {frame_text(rows).write_json()}}}']


def _control(subscription: _Subscription, batch: LiveBatch) -> str:
    assert batch.control is not None  # noqa: S101 - the caller has looked
    known = {name: value for name, value in asdict(batch.control).items() if value is not None}
    facts = {**row_to_json(known), "dataset": str(batch.dataset)}
    return json.dumps({"type": "control", "id": subscription.name, **facts})
