"""What the simulated WebSocket protocols share: streams of messages, and the session of one connection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ticklake.core.dataset import Dataset

if TYPE_CHECKING:
    from ticklake.testing.exchange.socket_faults import SubscriptionFaults

__all__ = ["Message", "Produce", "Session", "Stream", "grid"]


class Message(NamedTuple):
    """One message of a stream: its time, its JSON text, and the ids of the trades in it."""

    ts: int
    text: str
    ids: tuple[int, ...] = ()


Produce = Callable[[int, int], list[Message]]
"""Returns the messages after an instant and up to another, in time order."""


@dataclass(frozen=True)
class Stream:
    """A series of messages that connections subscribe to. *dataset* says whose trades it carries, if it carries trades."""

    name: str
    produce: Produce
    dataset: Dataset | None = None


class Session(Protocol):
    """The protocol's side of one connection; it knows no socket.

    ``subscriptions`` are the names of the streams that the client receives, by the key of the subscription.
    ``names_streams`` says that messages bear the names of their streams.
    ``ping_every`` and ``lifetime`` are nanoseconds of the exchange's time; 0 is never.
    """

    subscriptions: dict[str, str]
    names_streams: bool
    ping_every: int
    lifetime: int

    def greet(self, now: int) -> list[str]:
        """Return what the exchange says first."""

    def receive(self, text: str, now: int, faults: SubscriptionFaults) -> list[str]:
        """Return the answers to a message of the client at *now*, which may change the subscriptions."""

    def stream(self, name: str) -> Stream | None:
        """Return the stream of a subscription; ``None`` if it will never send anything."""

    def wrap(self, name: str, text: str) -> str:
        """Return a message of a stream as this connection receives it."""

    def heartbeat(self) -> str | None:
        """Return what is sent after a second in which nothing else was sent."""


def grid(start: int, end: int, step: int) -> range:
    """Return the multiples of *step* after *start*, up to *end*."""
    return range((start // step + 1) * step, end + 1, step)
