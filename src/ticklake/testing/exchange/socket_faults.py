"""Faults of WebSockets, drawn from one seed: pure, no sockets.

What happens to a message depends on the seed, its stream, its content, and how many other connections receive the stream,
not on the order or the pace in which clients come: a failing run repeats.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from ticklake.testing.exchange.faults import Faults
from ticklake.testing.exchange.streams import Message, Stream

__all__ = ["Delivery", "Fate", "SubscriptionFaults", "Wire", "draw", "has_message_faults"]

_CHECKSUM = re.compile(r'"checksum":(\d+)')


class Fate(Enum):
    """What becomes of a message."""

    SENT = "sent"
    DROP = "drop"
    SILENCE = "silence"
    GAP = "gap"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    CHECKSUM = "checksum"


def draw(seed: int, *keys: object) -> float:
    """Return a number in [0, 1) that depends on the seed and the keys alone."""
    text = "|".join(map(str, (seed, *keys)))
    value = zlib.crc32(text.encode())
    # A checksum of similar texts is similar: mix its bits.
    value = (value ^ value >> 15) * 0x2C1B3C6D & 0xFFFFFFFF
    value = (value ^ value >> 12) * 0x297A2D39 & 0xFFFFFFFF
    return (value ^ value >> 15) / 2**32


def has_message_faults(faults: Faults) -> bool:
    """Whether single messages are disturbed."""
    return any(share for _, share in _shares(faults))


def _shares(faults: Faults) -> Sequence[tuple[Fate, float]]:
    return (
        (Fate.DROP, faults.socket_drop),
        (Fate.SILENCE, faults.socket_silence),
        (Fate.GAP, faults.socket_gap),
        (Fate.DUPLICATE, faults.socket_duplicate),
        (Fate.REORDER, faults.socket_reorder),
        (Fate.CHECKSUM, faults.socket_checksum),
    )


def _fate(faults: Faults, name: str, message: Message, rank: int) -> Fate:
    key = message.ids[0] if message.ids else message.ts
    left = draw(faults.seed, name, key, rank)
    for fate, share in _shares(faults):
        if left < share:
            return fate
        left -= share
    return Fate.SENT


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that a connection is to receive: its stream, and the number of other connections before it that do."""

    stream: Stream
    message: Message
    rank: int
    is_corrupt: bool = False

    @property
    def text(self) -> str:
        """The text to send."""
        if not self.is_corrupt:
            return self.message.text
        return _CHECKSUM.sub(lambda found: f'"checksum":{int(found[1]) ^ 1}', self.message.text)


@dataclass
class Wire:
    """What the faults make of the messages of one connection; a message may wait here for the next of its stream."""

    waiting: dict[str, Delivery] = field(default_factory=dict)

    def disturbed(self, deliveries: Sequence[Delivery], faults: Faults) -> tuple[list[Delivery], list[Delivery], Fate]:
        """Return what is sent, what is left out, and whether the connection drops or falls silent after it."""
        sent: list[Delivery] = []
        left_out: list[Delivery] = []
        for delivery in deliveries:
            name = delivery.stream.name
            fate = _fate(faults, name, delivery.message, delivery.rank)
            if fate in (Fate.DROP, Fate.SILENCE):
                return sent, left_out, fate
            if fate is Fate.REORDER and name not in self.waiting:
                self.waiting[name] = delivery
                continue
            if fate is Fate.GAP:
                left_out.append(delivery)
            elif fate is Fate.CHECKSUM:
                sent.append(Delivery(delivery.stream, delivery.message, delivery.rank, is_corrupt=True))
            else:
                sent.append(delivery)
            if fate is Fate.DUPLICATE:
                sent.append(delivery)
            if fate is not Fate.GAP and name in self.waiting:
                sent.append(self.waiting.pop(name))
        return sent, left_out, Fate.SENT


class SubscriptionFaults:
    """Refuses subscriptions, or takes half of a request. Each further try of a stream is drawn anew."""

    def __init__(self) -> None:
        self.faults = Faults()
        self._tries: Counter[str] = Counter()

    def rejects(self, name: str) -> bool:
        """Whether a subscription is refused."""
        return self._happens("reject", name, self.faults.socket_reject)

    def accepted(self, names: list[str]) -> list[str]:
        """Return the names of a request that the exchange takes notice of."""
        if len(names) > 1 and self._happens("half", names[0], self.faults.socket_half):
            return names[: len(names) // 2]
        return names

    def _happens(self, what: str, name: str, share: float) -> bool:
        key = f"{what}:{name}"
        self._tries[key] += 1
        return draw(self.faults.seed, key, self._tries[key]) < share
