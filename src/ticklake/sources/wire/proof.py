"""Prove that no message is missing, by what exchanges send for that: numbers that follow one another, and checksums of books."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from ticklake.sources.wire.ladder import CHECKSUMS, Ladder
from ticklake.sources.wire.reading import Mark, Reading
from ticklake.sources.wire.rows import Row

__all__ = ["Finding", "Found", "Prover"]

Found = Literal["chain followed", "chain broken", "checksum passed", "checksum failed", "crossed book", "not proven"]

_MOST_WAITING = 2_000
"""At most so many changes of a book are kept until the whole book comes."""
_LATEST = 200
"""A message that others overtook comes at most so many numbers later, or is missing."""


_Key = tuple[str, str, str, str]
"""The kind, the market, the channel and the connection of a stream."""
_NAMELESS: _Key = ("book", "", "", "")
"""A book that was fetched before the first change; it is that of the market that comes next."""


class Finding(NamedTuple):
    """What a message proved.

    Parameters
    ----------
    found
        What it is. ``not proven`` is a change of a book of which an earlier change is missing, until the whole book comes again.
    kind, native
        The kind and the market, as in :class:`~ticklake.sources.wire.reading.Mark`; both are empty for all messages of a connection.
    expected, got
        Of a broken chain the last number before the break and the first one after it; of a checksum ours and that of the exchange.
    """

    found: Found
    kind: str
    native: str
    expected: int | None = None
    got: int | None = None


@dataclass(slots=True)
class _Stream:
    """One numbering: the last number, and the book if the exchange sent a whole one."""

    position: int | None = None
    ladder: Ladder | None = None
    is_broken: bool = False
    is_fresh: bool = False
    newest: Mark | None = None
    waiting: deque[tuple[Mark, list[Row]]] = field(default_factory=lambda: deque(maxlen=_MOST_WAITING))
    overtaken: deque[int] = field(default_factory=deque)


@dataclass
class Prover:
    """Follows the numbers and the books of the messages of one exchange. It keeps every book whole, in memory.

    ``counts`` says how often each thing was found, by market.

    Examples
    --------
    >>> prover = Prover("bybit")
    >>> [finding.found for finding in prover.check(Reading(marks=[Mark("book", "BTCUSDT", 7, 7, starts=True)]))]
    []
    >>> [finding[:5] for finding in prover.check(Reading(marks=[Mark("book", "BTCUSDT", 9, 9)]))]
    [('chain broken', 'book', 'BTCUSDT', 7, 9)]
    """

    exchange: str = ""
    counts: defaultdict[str, Counter[Found]] = field(default_factory=lambda: defaultdict(Counter))
    _streams: dict[_Key, _Stream] = field(default_factory=dict)

    def check(self, reading: Reading, connection: str = "") -> list[Finding]:
        """Return what a message proves.

        Parameters
        ----------
        reading
            What the message says. Messages must come in the order in which they were received.
        connection
            The name of the connection that brought it, if there are several: each has numbers of its own.
        """
        findings: list[Finding] = []
        for mark in reading.marks:
            if mark.kind:
                findings += self._check_stream(mark, self._rows_of(mark, reading), connection)
            elif mark.overtakes:
                findings += self._check_overtaking(mark, connection)
            else:
                findings += self._check_connection(mark, connection)
        return self._counted(findings)

    def finish(self) -> list[Finding]:
        """Return what is missing now that no message comes any more: what others overtook, and did not come."""
        findings: list[Finding] = []
        for (_, _, _, connection), stream in list(self._streams.items()):
            findings += self._give_up(stream, (stream.position or 0) + 1, connection)
        return self._counted(findings)

    def reconnect(self, connection: str = "") -> None:
        """Begin a connection anew, under its old name: its messages are counted from the start, and its books must come whole again."""
        self._streams.pop(("", "", "", connection), None)
        for key, stream in self._streams.items():
            if key[0] == "book" and key[3] == connection and stream.ladder is not None:
                stream.is_broken = True

    def _counted(self, findings: list[Finding]) -> list[Finding]:
        for finding in findings:
            self.counts[finding.native][finding.found] += 1
        return findings

    def total(self, found: Found) -> int:
        """Return how often something was found, in all markets."""
        return sum(counts[found] for counts in self.counts.values())

    @property
    def books(self) -> int:
        """How many books were followed from a whole one."""
        return sum(stream.ladder is not None for key, stream in self._streams.items() if key[0] == "book")

    def ladder(self, native: str, channel: str = "", connection: str = "") -> Ladder | None:
        """Return the book of a market as it is after the last message; ``None`` if it is not known, or a change is missing."""
        stream = self._streams.get(self._key("book", native, channel, connection))
        if stream is None or stream.is_broken:
            return None
        return stream.ladder

    def _rows_of(self, mark: Mark, reading: Reading) -> list[Row]:
        # A message with one mark may have trades beside its book (Gemini), but is of one market.
        if len(reading.marks) == 1:
            return [row for row in reading.rows if row.kind == mark.kind]
        return [row for row in reading.rows if row.native == mark.native and row.kind == mark.kind]

    def _key(self, kind: str, native: str, channel: str, connection: str) -> _Key:
        """Return the key of a stream. A book that was fetched is that of all connections."""
        fetched = (kind, native, channel, "")
        if _NAMELESS in self._streams and kind == "book" and native:
            self._streams.setdefault(fetched, self._streams.pop(_NAMELESS))
        if fetched in self._streams:
            return fetched
        return kind, native, channel, connection

    def _fetched_key(self, mark: Mark) -> _Key:
        """Return the key of the stream to which a fetched book belongs, and make the stream that of all connections."""
        streams = [key for key in self._streams if key[0] == "book" and not key[2]]
        # Binance answers with books that do not name their markets: the only one is meant.
        if mark.native:
            streams = [key for key in streams if key[1] == mark.native]
        if len(streams) != 1:
            return "book", mark.native, "", ""
        (key,) = streams
        shared = ("book", key[1], "", "")
        self._streams[shared] = self._streams.pop(key)
        return shared

    def _check_connection(self, mark: Mark, connection: str) -> Iterator[Finding]:
        """Check the number of a connection. Every book of it may lack a change after a break."""
        stream = self._streams.setdefault(("", "", "", connection), _Stream())
        position, stream.position = stream.position, mark.last
        if position is None or mark.starts or mark.last == position:
            return  # the first message, or the same one twice
        if mark.first == position + 1:
            yield Finding("chain followed", "", "")
            return
        yield Finding("chain broken", "", "", position, mark.first)
        self._break_books(connection)

    def _break_books(self, connection: str) -> None:
        for key, other in self._streams.items():
            if key[0] and key[3] == connection:
                other.is_broken = True

    def _check_overtaking(self, mark: Mark, connection: str) -> Iterator[Finding]:
        """Check the number of a connection whose messages may overtake one another."""
        stream, number = self._streams.setdefault(("", "", "", connection), _Stream()), mark.last or 0
        if stream.position is None or mark.starts:
            stream.position = number
            stream.overtaken.clear()
            return
        if number in stream.overtaken:
            stream.overtaken.remove(number)
            yield Finding("chain followed", "", "")
        elif number > stream.position:
            if number - stream.position > _LATEST:
                yield Finding("chain broken", "", "", stream.position, number)
                self._break_books(connection)
            else:
                stream.overtaken.extend(range(stream.position + 1, number))
                yield Finding("chain followed", "", "")
            stream.position = number
        yield from self._give_up(stream, stream.position - _LATEST, connection)

    def _give_up(self, stream: _Stream, until: int, connection: str) -> Iterator[Finding]:
        """Give up the messages with numbers below *until* that others overtook, and those that are missing beside them."""
        overtaken = stream.overtaken
        while overtaken and overtaken[0] < until:
            first = last = overtaken.popleft()
            while overtaken and overtaken[0] == last + 1:
                last = overtaken.popleft()
            yield Finding("chain broken", "", "", first - 1, last + 1)
            self._break_books(connection)

    def _check_stream(self, mark: Mark, rows: list[Row], connection: str) -> Iterator[Finding]:
        key = self._key(mark.kind, mark.native, mark.channel, connection)
        if mark.fetched:
            key = self._fetched_key(mark)
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = _Stream()
        if mark.starts:
            yield from self._start(stream, mark, rows)
        else:
            yield from self._change(stream, mark, rows)

    def _start(self, stream: _Stream, mark: Mark, rows: list[Row]) -> Iterator[Finding]:
        """Begin with a whole book, and apply the changes that came before a fetched one and are newer."""
        if mark.kind != "book":
            stream.position = mark.last
            return
        is_older = mark.last is not None and stream.position is not None and mark.last < stream.position
        if mark.fetched and is_older and stream.ladder is not None and not stream.is_broken:
            return
        stream.ladder, stream.is_broken = Ladder(), False
        stream.ladder.apply(rows)
        stream.position, stream.is_fresh = mark.last, mark.fetched
        waiting, stream.waiting = stream.waiting, deque(maxlen=_MOST_WAITING)
        yield from self._check_book(stream, mark)
        if mark.fetched:
            for change, change_rows in waiting:
                yield from self._change(stream, change, change_rows)

    def _change(self, stream: _Stream, mark: Mark, rows: list[Row]) -> Iterator[Finding]:
        if stream.ladder is None or stream.is_broken:
            yield from self._wait(stream, mark, rows)
            return
        if mark.last is not None and stream.position is not None:
            if stream.is_fresh and mark.last <= stream.position:
                return  # the whole book has it
            if not self._follows(stream, mark):
                if mark == stream.newest:
                    return  # the same message twice: nothing is missing
                yield Finding("chain broken", mark.kind, mark.native, stream.position, mark.first)
                stream.is_broken, stream.position = True, mark.last
                stream.waiting.append((mark, rows))
                return
            yield Finding("chain followed", mark.kind, mark.native)
            stream.position, stream.is_fresh, stream.newest = mark.last, False, mark
        stream.ladder.apply(rows)
        yield from self._check_book(stream, mark)

    def _wait(self, stream: _Stream, mark: Mark, rows: list[Row]) -> Iterator[Finding]:
        """Keep a change for the whole book that is to come; its number is compared with that of the change before."""
        if stream.is_broken:
            yield Finding("not proven", mark.kind, mark.native)
        elif mark.last is not None and stream.position is not None:
            if self._follows(stream, mark):
                yield Finding("chain followed", mark.kind, mark.native)
            elif mark == stream.newest:
                return
            else:
                yield Finding("chain broken", mark.kind, mark.native, stream.position, mark.first)
                stream.waiting.clear()
        if mark.last is not None:
            stream.position, stream.newest = mark.last, mark
        if mark.kind == "book":
            stream.waiting.append((mark, rows))

    def _follows(self, stream: _Stream, mark: Mark) -> bool:
        position = stream.position or 0
        if mark.previous is not None and mark.previous == position:
            return True
        if mark.previous is not None and not stream.is_fresh:
            return False
        # The first change after a fetched book may begin before it.
        first = mark.first
        if first is None:
            first = mark.last
        if first is None or mark.last is None:
            return True
        if stream.is_fresh:
            return first <= position + 1 <= mark.last + 1
        return first == position + 1

    def _check_book(self, stream: _Stream, mark: Mark) -> Iterator[Finding]:
        ladder = stream.ladder
        if mark.kind != "book" or ladder is None:
            return
        if mark.depth is not None:
            ladder.keep(mark.depth)
        if mark.checksum is not None and self.exchange in CHECKSUMS:
            ours, theirs = CHECKSUMS[self.exchange](ladder), mark.checksum & 0xFFFFFFFF
            if ours == theirs:
                yield Finding("checksum passed", mark.kind, mark.native)
            else:
                yield Finding("checksum failed", mark.kind, mark.native, ours, theirs)
                stream.is_broken = True
        if ladder.is_crossed:
            yield Finding("crossed book", mark.kind, mark.native)
