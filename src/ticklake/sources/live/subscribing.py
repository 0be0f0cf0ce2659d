"""The subscriptions of one connection: requests, their answers, deadlines, and what the exchange refuses."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from ticklake.errors import SourceError, SourceUnavailable
from ticklake.sources.live.base import Control
from ticklake.sources.live.protocol import Protocol, Reply, Stream

__all__ = ["Subscriptions"]

_ATTEMPTS = 3
"""So often a subscription is sent over one connection before an exchange that acknowledges others counts as refusing it."""
_PASSING = re.compile(r"\brate\b|too many|try again|maintenance|unavailable|busy|timeout", re.IGNORECASE)
"""Words of refusals that will pass."""


@dataclass
class _Request:
    """A request to subscribe that is not answered in full."""

    streams: list[Stream]
    deadline: float
    attempt: int
    answered: asyncio.Event = field(default_factory=asyncio.Event)


class Subscriptions:
    """Subscribes to channels over one connection.

    Parameters
    ----------
    refused
        The channels that were refused, with the reason. It is shared by all connections of a feed.
    send
        Sends a message, no faster than the exchange allows.
    start
        Runs work beside the reading of messages.
    on_accepted
        Is called with each stream that the exchange has acknowledged.
    timeout
        How long an answer may take, in seconds.
    monotonic
        A monotonic clock in seconds.

    Attributes
    ----------
    channels
        The streams by channel, without those that were refused.
    accepted
        Those that the exchange has acknowledged.
    """

    def __init__(
        self,
        protocol: Protocol,
        streams: Iterable[Stream],
        refused: dict[str, str],
        *,
        send: Callable[[Mapping[str, Any]], Awaitable[None]],
        start: Callable[[Coroutine[Any, Any, object]], object],
        on_accepted: Callable[[Stream], None],
        timeout: float,
        monotonic: Callable[[], float],
    ) -> None:
        self.channels: dict[str, list[Stream]] = {}
        self.accepted: dict[str, list[Stream]] = {}
        for stream in streams:
            if stream.channel not in refused:
                self.channels.setdefault(stream.channel, []).append(stream)
        self._protocol = protocol
        self._refused = refused
        self._send = send
        self._start = start
        self._on_accepted = on_accepted
        self._timeout = timeout
        self._monotonic = monotonic
        self._requests: dict[int, _Request] = {}
        self._numbers = count(1)
        self._lists = 0

    @property
    def are_settled(self) -> bool:
        """Whether every stream was acknowledged or refused."""
        return not self._requests and len(self.accepted) >= len(self.channels)

    async def subscribe_all(self) -> None:
        """Send the requests for all streams."""
        for greeting in self._protocol.greetings():
            await self._send(greeting)
        groups: dict[str, list[Stream]] = {}
        for streams in self.channels.values():
            # Streams that share a channel share its subscription.
            groups.setdefault(self._protocol.group(streams[0]), []).append(streams[0])
        for group in groups.values():
            most = self._protocol.limits(group[0].market).per_message
            for start in range(0, len(group), most):
                await self._subscribe_in_turn(group[start : start + most])

    async def renew(self, stream: Stream) -> None:
        """End a subscription and begin it anew."""
        await self._send(self._protocol.unsubscribe([stream], next(self._numbers)))
        await self._subscribe([stream])

    def answered(self, reply: Reply, received_at: int) -> list[Control]:
        """Return what an answer of the exchange means for streams.

        Raises
        ------
        SourceError
            If everything is refused.
        """
        if reply.name == "accepted":
            return self._accept(reply, received_at)
        if reply.name == "refused":
            return self._refuse(reply, received_at)
        if reply.name == "listed":
            self._compare(reply)
        return []

    async def repeat_late(self, now: float, at: int) -> list[Control]:
        """Send again what was not answered in time; return what is given up.

        Raises
        ------
        SourceUnavailable
            If nothing at all was acknowledged.
        SourceError
            If everything is refused.
        """
        controls: list[Control] = []
        for number, request in list(self._requests.items()):
            if now < request.deadline:
                continue
            if not self.accepted:
                channel = request.streams[0].channel
                raise SourceUnavailable(f"no subscription was acknowledged in {self._timeout:g} s: {channel}")
            del self._requests[number]
            request.answered.set()
            if request.attempt < _ATTEMPTS:
                await self._subscribe(request.streams, request.attempt + 1)
                continue
            for stream in request.streams:
                controls += self.drop(stream, f"not acknowledged in {_ATTEMPTS} attempts, while other streams are", at)
        return controls

    def drop(self, stream: Stream, text: str, received_at: int) -> list[Control]:
        """Give up a channel for good.

        Raises
        ------
        SourceError
            If no other is left.
        """
        self._refused[stream.channel] = text
        self.accepted.pop(stream.channel, None)
        refused = self.channels.pop(stream.channel, [])
        if not self.channels:
            raise SourceError(f"{self._protocol.exchange} refuses {stream.channel} and every other stream: {text}")
        return [Control("refused", received_at, sharing.subscription.dataset, text) for sharing in refused]

    async def _subscribe_each(self, streams: Sequence[Stream]) -> None:
        for stream in streams:
            await self._subscribe_in_turn([stream])

    async def _subscribe_in_turn(self, streams: Sequence[Stream]) -> None:
        """Send a request; wait for its answer where answers do not tell to which request they belong."""
        request = await self._subscribe(streams)
        if not self._protocol.numbers_requests:
            await request.answered.wait()

    async def _subscribe(self, streams: Sequence[Stream], attempt: int = 1) -> _Request:
        number = next(self._numbers)
        # Its time begins when it has been sent: before, it may wait for its turn.
        request = _Request(list(streams), float("inf"), attempt)
        self._requests[number] = request
        await self._send(self._protocol.subscribe(streams, number))
        request.deadline = self._monotonic() + self._timeout
        return request

    def _accept(self, reply: Reply, received_at: int) -> list[Control]:
        if reply.number is None and not reply.channels:
            return []
        controls: list[Control] = []
        meant = self._meant(reply)
        for number, stream in meant:
            self._settle(number, stream)
            sharing = self.channels.get(stream.channel, [])
            self.accepted[stream.channel] = sharing
            controls += [Control("subscribed", received_at, entry.subscription.dataset) for entry in sharing]
            self._on_accepted(stream)
        if meant and not self._requests:
            self._ask_for_list()
        return controls

    def _ask_for_list(self) -> None:
        """Ask what is subscribed, where the exchange may have accepted a request of which it carries out a part."""
        question = self._protocol.list_request(next(self._numbers))
        if question is not None and self._lists < _ATTEMPTS:
            self._lists += 1
            self._start(self._ask(question))

    async def _ask(self, question: Mapping[str, Any]) -> None:
        await self._send(question)

    def _compare(self, reply: Reply) -> None:
        """Subscribe again to what should be subscribed and is not."""
        missing = [streams[0] for channel, streams in self.accepted.items() if channel not in reply.channels]
        if missing:
            self._start(self._subscribe_each(missing))

    def _refuse(self, reply: Reply, received_at: int) -> list[Control]:
        meant = self._meant(reply)
        if _PASSING.search(reply.text):
            # It stays unanswered: after the deadline it is sent again.
            return []
        for number, stream in meant:
            self._settle(number, stream)
        if len(meant) > 1 and not reply.channels:
            # One of them is refused, and the answer does not say which: each is sent by itself.
            self._start(self._subscribe_each([stream for _, stream in meant]))
            return []
        controls: list[Control] = []
        for _, stream in meant:
            controls += self.drop(stream, reply.text, received_at)
        return controls

    def _meant(self, reply: Reply) -> list[tuple[int, Stream]]:
        """Return the streams that an answer is about, each with the number of its request; those that are not settled yet."""
        numbers: Iterable[int] = self._requests
        if reply.number is not None:
            numbers = [reply.number] if reply.number in self._requests else []
        elif not reply.channels:
            numbers = list(self._requests)[:1]
        meant: list[tuple[int, Stream]] = []
        for number in numbers:
            meant += [(number, stream) for stream in self._requests[number].streams if _is_meant(stream, reply)]
        return meant

    def _settle(self, number: int, stream: Stream) -> None:
        request = self._requests[number]
        request.streams.remove(stream)
        if not request.streams:
            del self._requests[number]
            request.answered.set()


def _is_meant(stream: Stream, reply: Reply) -> bool:
    """Whether an answer to a request is about a stream: it may name the channel, or the market alone."""
    return not reply.channels or stream.channel in reply.channels or f":{stream.native}" in reply.channels
