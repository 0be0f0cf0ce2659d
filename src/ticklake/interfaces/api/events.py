"""Events: what changes in the lake as Server-Sent Events, one stream a client. A slow client is told and cut; it delays nobody."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ticklake.core.results import DatasetChange
from ticklake.errors import BadInput, CatalogError, TicklakeError
from ticklake.interfaces.api.server import Server
from ticklake.interfaces.api.watch import Look, ended_since
from ticklake.interfaces.schema import job_to_json, to_json
from ticklake.lake import Lake

__all__ = ["TOPICS", "EventClient", "EventStream", "Position", "message", "messages_of"]

TOPICS = ("commits", "jobs", "runs", "streams")
HEARTBEAT = 15.0
"""Seconds after which a comment is sent if there is nothing else: proxies close silent connections."""
MOST_WAITING = 1_000
"""Messages that may wait for a client."""
MOST_REPLAYED = 500
"""Commits that a client that was away is told of; after more it is told that it has missed some."""


@dataclass(frozen=True, slots=True)
class Position:
    """Up to where a client has received everything: a version, and a time in nanoseconds. Its text is the id of an event."""

    version: int
    at: int

    def __str__(self) -> str:
        return f"{self.version}.{self.at}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Read the id of an event.

        Raises
        ------
        BadInput
        """
        version, _, at = text.partition(".")
        if not (version.isascii() and version.isdecimal() and at.isascii() and at.isdecimal() and len(text) < 60):
            raise BadInput(f"Last-Event-ID={text[:60]!r} is no id of an event: send the last one that came, or none")
        return cls(int(version), int(at))


def messages_of(look: Look, topics: Sequence[str], at: int) -> list[str]:
    """Return a look as messages of these topics; the last one carries the id, so that whoever has it has all of them.

    The last commit of each version has one, too: who is cut there goes on from there. *at* is the time up to which the client has
    all else until it has the whole look.
    """
    events = list(_events_of(look, topics, at))
    if not events:
        return []
    name, data, _ = events[-1]
    return [message(*event) for event in events[:-1]] + [message(name, data, Position(look.version, look.at))]


def _events_of(look: Look, topics: Sequence[str], at: int) -> Iterator[tuple[str, Any, Position | None]]:
    if look.missed:
        detail = "older commits were vacuumed: read what you need anew"
        yield "missed", {"version": look.version, "detail": detail}, None
    if "commits" in topics:
        yield from _commits_of(look.commits, at)
    for name, data in _others_of(look, topics):
        yield name, data, None


def _commits_of(commits: Sequence[DatasetChange], at: int) -> Iterator[tuple[str, Any, Position | None]]:
    later = [change.version for change in commits[1:]]
    for change, following in zip_longest(commits, later):
        position = None
        if change.version != following:
            position = Position(change.version, at)
        yield "commits", _commit_to_json(change), position


def _others_of(look: Look, topics: Sequence[str]) -> Iterator[tuple[str, Any]]:
    if "jobs" in topics:
        for job in look.jobs:
            yield "jobs", job_to_json(job, look.at)
    if "runs" in topics:
        for run in look.runs:
            yield "runs", to_json(run)
    if "streams" in topics and look.streams:
        yield "streams", to_json(look.streams)


def _commit_to_json(change: DatasetChange) -> dict[str, Any]:
    """Return a commit without its segments, which are the lake's own business."""
    return {
        "version": change.version,
        "committed_at": to_json({"at": change.committed_at})["at"],
        "operation": change.operation,
        "dataset": str(change.dataset),
        "rows": sum(segment.rows for segment in change.added),
        "spans": to_json(change.spans),
    }


def message(name: str, data: Any, position: Position | None = None) -> str:
    """Return one event as text; with a *position*, it has an id."""
    line = ""
    if position is not None:
        line = f"id: {position}\n"
    return f"{line}event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


class EventClient:
    """The messages that wait for one client."""

    def __init__(self, topics: Sequence[str]) -> None:
        self.topics = topics
        self._since: Position | None = None
        self._held: list[Look] = []
        self._waiting: deque[str] = deque()
        self._changed = asyncio.Event()
        self._is_ended = False

    def begin(self, messages: Sequence[str], since: Position) -> None:
        """Send these first, and then all that comes after *since*."""
        self._put_all(messages)
        self._since = since
        for look in self._held:
            self.put(look)
        self._held.clear()

    def put(self, look: Look) -> None:
        """Take what a look has of its topics."""
        if self._since is None:
            self._held.append(look)
            return
        since = self._since
        self._since = Position(max(since.version, look.version), max(since.at, look.at))
        # The first messages had those up to there.
        new = [change for change in look.commits if change.version > since.version]
        self._put_all(messages_of(replace(look, commits=new), self.topics, since.at))

    def _put_all(self, messages: Sequence[str]) -> None:
        if self._is_ended or not messages:
            return
        self._waiting.extend(messages)
        if len(self._waiting) > MOST_WAITING:
            # What waits is worth nothing with a hole in it.
            self._waiting.clear()
            detail = f"more than {MOST_WAITING:,} events waited: read faster, or ask for fewer topics"
            self._waiting.append(message("slow", {"title": "SlowSubscriber", "detail": detail}))
            self.end()
        self._changed.set()

    def end(self) -> None:
        """Send what waits, and no more."""
        self._is_ended = True
        self._changed.set()

    async def next(self) -> str | None:
        """Return what waits, or a comment if nothing comes for long; ``None`` at the end."""
        if not self._waiting and not self._is_ended:
            self._changed.clear()
            try:
                async with asyncio.timeout(HEARTBEAT):
                    await self._changed.wait()
            except TimeoutError:
                return ": heartbeat\n\n"
        if not self._waiting:
            return None
        text = "".join(self._waiting)
        self._waiting.clear()
        return text


class EventStream(Response):
    """The answer that sends a client its events until it goes away, is too slow, or the server ends."""

    def __init__(self, server: Server, topics: Sequence[str], since: Position | None) -> None:
        super().__init__()
        self._server = server
        self._since = since
        self._client = EventClient(topics)
        # Proxies must neither keep nor collect them.
        self.raw_headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ]

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        with self._server.clients.joined(self._client.end):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            sending = asyncio.create_task(self._send_all(send))
            beginning = asyncio.create_task(self._begin())
            leaving = asyncio.create_task(_until_gone(receive))
            try:
                await asyncio.wait([sending, leaving], return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._server.watch.remove(self._client.put)
                for task in (sending, beginning, leaving):
                    task.cancel()
                await asyncio.gather(sending, beginning, leaving, return_exceptions=True)

    async def _begin(self) -> None:
        """Send how things are now, and what was missed, before all that comes."""
        await self._server.watch.add(self._client.put)
        try:
            messages, since = await self._server.read(
                _first_messages, self._server.lake, self._client.topics, self._since
            )
        except TicklakeError as error:
            messages = [message("error", {"title": type(error).__name__, "detail": str(error)})]
            self._client.begin(messages, Position(0, 0))
            self._client.end()
        else:
            self._client.begin(messages, since)

    async def _send_all(self, send: Send) -> None:
        while (text := await self._client.next()) is not None:
            # A connection whose client reads nothing is given up by its protocol.
            shown = self._server.hidden.text(text)
            await send({"type": "http.response.body", "body": shown.encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _first_messages(lake: Lake, topics: Sequence[str], since: Position | None) -> tuple[Sequence[str], Position]:
    """Return what a client gets first: that it is connected, and what is active or was missed; and up to where that is."""
    now = Position(lake.engine.catalog.version(), lake.engine.now())
    ready = message("ready", {"version": now.version}, since)
    missed: Sequence[DatasetChange] | None = ()
    at = now.at
    if since is not None:
        at = since.at
        missed = _commits_since(lake, since.version)
    jobs, runs = ended_since(lake, at)
    look = Look(now.version, now.at, missed or (), jobs, runs, lake.streams.status(), missed is None)
    return [ready, *messages_of(look, topics, at), message("current", {"version": now.version}, now)], now


def _commits_since(lake: Lake, version: int) -> Sequence[DatasetChange] | None:
    """Return the commits after a version; ``None`` if they are too many, or not known any more."""
    try:
        changes = lake.changes_since(version, limit=MOST_REPLAYED)
    except CatalogError:
        return None
    if len(changes) >= MOST_REPLAYED:
        return None
    return changes


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
