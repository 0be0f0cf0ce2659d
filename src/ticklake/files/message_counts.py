"""Counts of what became of the messages and answers in a recording, by channel: nothing is passed over without being counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from operator import attrgetter
from typing import Any

from ticklake.core.span import Span
from ticklake.sources.wire.proof import Finding, Prover
from ticklake.sources.wire.reading import Mark, Reading
from ticklake.sources.wire.rows import Row

__all__ = ["Channel", "Tally"]

_PROVING = frozenset({"chain followed", "chain broken", "checksum passed", "checksum failed"})
_BAD = frozenset({"chain broken", "checksum failed", "crossed book"})
_NAMED = 10
"""At most so many places where something is missing are named."""
_MOST_REASONS = 20


@dataclass
class Channel:
    """The messages of one channel, or the answers to one call.

    ``received`` is the sum of the five after it: messages that were ``read``, those understood ``without_rows`` to keep (bars that
    are not over, changes of no level), those ``refused``, those of ``control`` (no market data: heartbeats, subscriptions, lists of
    instruments), and those ``not_known``. ``rows`` counts the rows of messages that were read.
    """

    channel: str
    received: int = 0
    read: int = 0
    without_rows: int = 0
    refused: int = 0
    control: int = 0
    not_known: int = 0
    rows: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a plain mapping."""
        return asdict(self)


@dataclass
class BookProofs:
    """When the books of a market lacked a change: from the last message that was right until the next whole book."""

    stretches: list[Span] = field(default_factory=list)
    _right: int | None = None
    _last: int | None = None
    _is_whole: bool = False

    def note(self, ts: int, *, is_whole: bool) -> None:
        """Take the time of the next message, and whether the book is whole after it."""
        if is_whole and not self._is_whole and self._right is not None and ts > self._right:
            self.stretches.append(Span(self._right, ts))
        if is_whole:
            self._right = ts
        self._is_whole = is_whole
        self._last = ts

    def finish(self) -> list[Span]:
        """Return the stretches, also one that lasts until the end."""
        if self._is_whole or self._right is None or self._last is None:
            return self.stretches
        return [*self.stretches, Span(self._right, max(self._last, self._right) + 1)]


@dataclass
class Tally:
    """Counts messages by channel.

    ``exchange`` sent them, if that is known; ``unit`` is what is counted, ``message`` or ``answer``; ``reasons`` counts refusals;
    ``prover`` follows the numbers and checksums of messages, if there is one; ``books`` says of each market when its books lacked a change.
    """

    exchange: str = ""
    unit: str = "message"
    channels: dict[str, Channel] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    prover: Prover | None = field(default_factory=Prover)
    broken: list[Finding] = field(default_factory=list)
    books: dict[str, BookProofs] = field(default_factory=dict)
    depths: dict[str, int] = field(default_factory=dict)
    """How many levels a side the books of a market keep, if the exchange does not say which fall out."""

    def prove(self, reading: Reading, connection: str = "") -> None:
        """Check a message by the numbers and the checksum in it."""
        if self.prover is None:
            return
        self.prover.exchange = self.exchange
        self._note(self.prover.check(reading, connection))
        for mark in reading.marks:
            if mark.kind == "book":
                self._follow_book(mark, reading, connection)
            if mark.depth is not None:
                self.depths[mark.native] = mark.depth

    def _follow_book(self, mark: Mark, reading: Reading, connection: str) -> None:
        """Note whether the book of a market is whole after a message."""
        times = [row.values[0] for row in reading.rows if row.kind == "book" and row.native == mark.native]
        if self.prover is None or not times or times[0] is None:
            return
        is_whole = self.prover.ladder(mark.native, mark.channel, connection) is not None
        self.books.setdefault(mark.native, BookProofs()).note(times[0], is_whole=is_whole)

    def proofs_of_book(self, native: str) -> BookProofs | None:
        """Return when the books of a market lacked a change; ``None`` if nothing in their messages would show it."""
        if self.prover is None or native not in self.books:
            return None
        numbered = (*self.prover.counts[native], *self.prover.counts[""])
        if not _PROVING.intersection(numbered):
            return None
        return self.books[native]

    def reconnect(self, connection: str = "") -> None:
        """Note that a connection was opened again: what it counts begins anew."""
        if self.prover is not None:
            self.prover.reconnect(connection)

    def _note(self, findings: list[Finding]) -> None:
        for finding in findings:
            if finding.found in _BAD and len(self.broken) < _NAMED:
                self.broken.append(finding)

    def prove_answer(self, rows: Sequence[Row]) -> None:
        """Take the whole book in an answer, if it is numbered as its changes are."""
        if rows and rows[0].kind == "book" and not rows[0].space:
            number = rows[0].values[2]
            mark = Mark("book", rows[0].native, number, number, starts=True, fetched=True)
            self.prove(Reading(list(rows), [mark]))

    def read(self, channel: str, rows: Sequence[Row] | None) -> Sequence[Row]:
        """Count a message and return its rows; *rows* is ``None`` for a message that is not known."""
        entry = self._received(channel)
        if rows is None:
            entry.not_known += 1
            return ()
        entry.read += bool(rows)
        entry.without_rows += not rows
        entry.rows += len(rows)
        return rows

    def control(self, channel: str) -> None:
        """Count a message without any market data."""
        self._received(channel).control += 1

    def refuse(self, channel: str, reason: str) -> None:
        """Count a message that is understood and not accepted."""
        self._received(channel).refused += 1
        # Reasons name what was wrong, so that a damaged file has as many as messages.
        if reason not in self.reasons and len(self.reasons) >= _MOST_REASONS:
            reason = "other reasons"
        self.reasons[reason] += 1

    def notes(self) -> Iterator[str]:
        """Say in words what was refused and what is not known."""
        for reason, count in self.reasons.items():
            yield f"{count:,} {self._units(count)} refused: {reason}"
        total, listed = 0, []
        for entry in sorted(self.channels.values(), key=attrgetter("not_known"), reverse=True):
            if entry.not_known:
                total += entry.not_known
                listed.append(f"{entry.not_known:,} {entry.channel}")
        if not listed:
            return
        last = listed.pop()
        if listed:
            last = f"{', '.join(listed)} and {last}"
        owner, verb = "", "are"
        if self.exchange:
            owner = f" of {self.exchange}"
        if total == 1:
            verb = "is"
        yield f"{last} {self._units(total)}{owner} {verb} not known"

    def proofs(self) -> Iterator[str]:
        """Say in words what the messages proved, and where something is missing."""
        if self.prover is None:
            return
        self._note(self.prover.finish())
        total = self.prover.total
        passed, failed = total("checksum passed"), total("checksum failed")
        if passed or failed:
            yield f"{_count(passed, 'checksum')} of books passed, {failed:,} failed"
        followed, broken = total("chain followed"), total("chain broken")
        if followed or broken:
            yield f"{_count(followed, 'message')} followed on the one before by number, {_count(broken, 'chain break')}"
        crossed, unproven = total("crossed book"), total("not proven")
        if self.prover.books:
            yield f"{_count(self.prover.books, 'book')} followed change by change, crossed after {_count(crossed, 'message')}"
        if unproven:
            yield f"{_count(unproven, 'change')} of books not proven: a change before them is missing"
        for finding in self.broken:
            yield _place(finding)

    def to_dicts(self) -> tuple[dict[str, Any], ...]:
        """Return the channels as plain mappings, the one with most messages first."""
        entries = sorted(self.channels.values(), key=attrgetter("received"), reverse=True)
        return tuple(entry.to_dict() for entry in entries)

    def _received(self, channel: str) -> Channel:
        entry = self.channels.setdefault(channel, Channel(channel))
        entry.received += 1
        return entry

    def _units(self, count: int) -> str:
        if count == 1:
            return self.unit
        return f"{self.unit}s"


def _count(count: int, noun: str) -> str:
    """Return a number of things in words."""
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun}s"


def _place(finding: Finding) -> str:
    """Say where something is missing."""
    market = finding.native or "the connection"
    if finding.found == "chain broken":
        return f"{market}: the message after number {finding.expected} is missing, the next one has {finding.got}"
    if finding.found == "checksum failed":
        return f"{market}: the checksum of the book is {finding.expected}, and the exchange sent {finding.got}"
    return f"{market}: the best bid is not below the best ask"
