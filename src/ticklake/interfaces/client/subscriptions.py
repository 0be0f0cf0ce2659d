"""Subscriptions: new rows of a remote lake as they come, each once, over a WebSocket that is opened again when it breaks."""

from __future__ import annotations

import asyncio
import io
import json
import random
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import TracebackType
from typing import Any

import polars as pl
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import connect as connect_here

from ticklake.core.dataset import Dataset
from ticklake.core.retry import RetryPolicy
from ticklake.core.time import SECOND, parse_time
from ticklake.errors import BadResponse, NotSignedIn, ServerUnavailable
from ticklake.interfaces.client.address import PREFIX, is_loopback
from ticklake.interfaces.client.connection import Connection
from ticklake.interfaces.client.problems import error_of

__all__ = ["RemoteBatch", "RemoteSubscriber"]

AGAIN = RetryPolicy(attempts=12, first_wait=0.2, longest_wait=10.0)
"""How often in a row a connection that broke is opened again: for about a minute and a half."""
_LARGEST = 64 * 1024**2
"""Bytes of one message."""
_LOOK = 0.2
"""Seconds after which a waiting reader looks whether it was closed; a wait without an end cannot be interrupted by Ctrl-C."""
_BROKEN = (OSError, EOFError, TimeoutError, ConnectionClosed)
"""What is raised when a connection cannot be opened, or breaks."""


@dataclass(frozen=True, slots=True)
class RemoteBatch:
    """Rows of one dataset that have come since the last batch, or what happened to its stream and no rows.

    ``received_at`` is when the last of them was received, or committed, in nanoseconds UTC. A subscription that begins ``since`` its
    ``cursor`` goes on after it; ``version`` is the version of the lake of which everything has come with it.
    """

    dataset: Dataset
    received_at: int
    cursor: str
    table: pl.DataFrame | None = None
    control: Mapping[str, Any] | None = None

    @property
    def version(self) -> int:
        """The newest version of which everything has come."""
        return int(self.cursor.partition("+")[0])

    @property
    def rows(self) -> Sequence[Sequence[Any]]:
        """The rows as tuples; times are nanoseconds."""
        return self.frame().select(pl.all().to_physical()).rows()

    def frame(self) -> pl.DataFrame:
        """Return the rows as a frame."""
        if self.table is None:
            return self.dataset.spec.empty().select(self.dataset.spec.names)
        return self.table


@dataclass
class _Place:
    """How far a subscription is: what is said to the server, and what its messages mean."""

    patterns: Sequence[str]
    cursor: str
    is_live: bool
    is_ended: bool = False
    _announced: dict[str, Any] | None = field(default=None, repr=False)
    """The facts about rows that come with the next message."""

    def hello(self) -> str:
        """Return the message that begins, or goes on after all that came."""
        self._announced, self.is_ended = None, False
        wanted = {"action": "subscribe", "datasets": list(self.patterns), "since": self.cursor}
        return json.dumps({**wanted, "live": self.is_live, "format": "arrow"})

    def take(self, message: str | bytes) -> RemoteBatch | None:
        """Return the batch that a message completes, if it does.

        Raises
        ------
        TicklakeError
            If the server says so.
        """
        if isinstance(message, bytes):
            return self._batch(message)
        told = json.loads(message)
        match told["type"]:
            case "error":
                raise error_of(0, message.encode(), {}, "the server")
            case "subscribed":
                self.cursor = told["cursor"]
            case "rows":
                self._announced = told
            case "control":
                return self._control(told)
            case "ended":
                self.is_ended = True
        return None

    def _batch(self, data: bytes) -> RemoteBatch:
        told, self._announced = self._announced, None
        if told is None:
            raise BadResponse("the server sent rows and did not say of what: its version may be another one")
        self.cursor = told["cursor"]
        dataset = Dataset.parse(told["dataset"])
        table = pl.read_ipc_stream(io.BytesIO(data))
        return RemoteBatch(dataset, parse_time(told["received_at"]), self.cursor, table)

    def _control(self, told: dict[str, Any]) -> RemoteBatch:
        happened = {name: value for name, value in told.items() if name not in ("type", "id", "dataset")}
        at = 0
        if "at" in happened:
            at = parse_time(happened["at"])
        return RemoteBatch(Dataset.parse(told["dataset"]), at, self.cursor, control=happened)


class RemoteSubscriber:
    """Reads batches: ``for batch in subscriber`` waits in this thread, ``async for`` in an event loop.

    A connection that breaks is opened again, and goes on after the last batch that was read: each row comes once.

    Raises
    ------
    ServerUnavailable
        On the next read, if the server cannot be reached for long.
    CatalogError
        On the next read, if vacuum has removed what was to come.
    """

    def __init__(
        self,
        connection: Connection,
        patterns: Sequence[str],
        cursor: str,
        *,
        live: bool = False,
        retry: RetryPolicy = AGAIN,
    ) -> None:
        self._connection = connection
        self._place = _Place(patterns or ["*"], cursor, live)
        self._retry = retry
        self._failures = 0
        self._closed = threading.Event()

    def __enter__(self) -> RemoteSubscriber:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def cursor(self) -> str:
        """Where to go on: the ``since`` of a subscription that begins after what was read."""
        return self._place.cursor

    def close(self) -> None:
        """End the iteration; it may be called from any thread."""
        self._closed.set()

    def __iter__(self) -> Iterator[RemoteBatch]:
        while not self._closed.is_set():
            try:
                with connect_here(self._address, **self._options) as socket:
                    socket.send(self._place.hello())
                    while not self._closed.is_set() and not self._place.is_ended:
                        try:
                            message = socket.recv(timeout=_LOOK)
                        except TimeoutError:
                            continue
                        yield from self._taken(message)
            except (*_BROKEN, WebSocketException) as error:
                self._closed.wait(self._pause(error))

    async def __aiter__(self) -> AsyncIterator[RemoteBatch]:
        while not self._closed.is_set():
            try:
                async with connect_async(self._address, **self._options) as socket:
                    await socket.send(self._place.hello())
                    while not self._closed.is_set() and not self._place.is_ended:
                        try:
                            message = await asyncio.wait_for(socket.recv(), _LOOK)
                        except TimeoutError:
                            continue
                        for batch in self._taken(message):
                            yield batch
            except (*_BROKEN, WebSocketException) as error:
                await asyncio.sleep(self._pause(error))

    def _taken(self, message: str | bytes) -> Iterator[RemoteBatch]:
        batch = self._place.take(message)
        # It works: whatever breaks from now on is a new failure.
        self._failures = 0
        if batch is not None:
            yield batch

    def _pause(self, error: Exception) -> float:
        """Return the seconds until the connection is opened again.

        Raises
        ------
        TicklakeError
            If the server refuses it, or cannot be reached for long.
        """
        if isinstance(error, InvalidStatus):
            answer = error.response
            if answer.status_code in (401, 403):
                # Servers say no more of a connection that they refuse.
                raise NotSignedIn(
                    f"{self._connection.url} refuses the subscription: connect with a token that it knows"
                ) from error
            refused = error_of(
                answer.status_code, bytes(answer.body or b""), dict(answer.headers), self._connection.url
            )
            if not refused.retriable:
                raise refused from error
        self._failures += 1
        if self._failures >= self._retry.attempts:
            raise ServerUnavailable(
                f"no server answers at {self._connection.url} ({_reason(error)}): is 'ticklake serve' running there?"
            ) from error
        # Not for secrets: so that many clients do not return together.
        return self._retry.wait(self._failures, random.random()) / SECOND  # noqa: S311

    @cached_property
    def _address(self) -> str:
        # http becomes ws, and https wss.
        return f"ws{self._connection.url.removeprefix('http')}{PREFIX}/subscribe"

    @cached_property
    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"additional_headers": self._connection.headers(), "max_size": _LARGEST}
        if is_loopback(self._connection.url):
            options["proxy"] = None
        return options


def _reason(error: Exception) -> str:
    text = str(error).rpartition("] ")[2]
    return text or type(error).__name__
