"""Whether messages follow each other: the numbers of trades and of books, as the exchange counts them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from ticklake.core.sequence import Jump
from ticklake.sources.live.base import RowKey
from ticklake.sources.wire.reading import Mark

__all__ = ["Chain", "TradeIds"]


@dataclass(slots=True)
class _Seen:
    """The first and the last trade of a stream, by number, with their times."""

    first: int
    first_ts: int
    last: int
    last_ts: int


@dataclass
class TradeIds:
    """Follows the ids of trades that are numbered without holes, for each stream of one connection."""

    _seen: dict[RowKey, _Seen] = field(default_factory=dict)

    def follow(self, key: RowKey, trades: list[tuple[int, int]]) -> list[Jump]:
        """Take the trades of a message, each its id and time; return what is missing before or between them.

        Trades that came before are passed over: exchanges repeat some after a reconnect.
        """
        jumps = []
        for number, ts in sorted(trades):
            seen = self._seen.get(key)
            if seen is None:
                self._seen[key] = _Seen(number, ts, number, ts)
                continue
            if number > seen.last + 1:
                jumps.append(Jump(seen.last_ts, ts, seen.last + 1, number - 1))
            if number > seen.last:
                seen.last, seen.last_ts = number, ts
        return jumps

    def continue_from(self, before: TradeIds) -> Iterator[tuple[RowKey, Jump]]:
        """Take over from a connection that has ended; yield what neither it nor this one brought, by stream."""
        for key, old in before._seen.items():
            new = self._seen.get(key)
            if new is None:
                self._seen[key] = old
                continue
            if new.first > old.last + 1:
                yield key, Jump(old.last_ts, new.first_ts, old.last + 1, new.first - 1)
            if old.last > new.last:
                new.last, new.last_ts = old.last, old.last_ts


class Chain:
    """Follows the numbers of one book, or of one connection: each message must lead on from the one before."""

    def __init__(self) -> None:
        self.last: int | None = None

    def follow(self, mark: Mark) -> Literal["follows", "repeated", "broken"]:
        """Take the next mark.

        A broken chain stays at the last number that was right, so that the missing ones can be named.
        """
        if mark.last is None:
            return "follows"
        last = self.last
        if last is None or mark.starts:
            self.last = mark.last
            return "follows"
        if mark.previous is not None and mark.previous == last:
            self.last = mark.last
            return "follows"
        if mark.last <= last:
            return "repeated"
        if mark.previous is None and mark.first is not None and mark.first <= last + 1:
            self.last = mark.last
            return "follows"
        return "broken"
