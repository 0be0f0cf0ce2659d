"""The books that one connection follows: proven by numbers and checksums, begun anew after a break, handed over to another connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ticklake.core.dataset import Dataset
from ticklake.core.span import Span
from ticklake.sources.live.base import Control, LiveMessage, RowKey
from ticklake.sources.live.bridge import Bridge, Change
from ticklake.sources.live.continuity import Chain
from ticklake.sources.live.protocol import Stream
from ticklake.sources.live.socket import Backoff
from ticklake.sources.wire.proof import Prover
from ticklake.sources.wire.reading import Mark, Reading
from ticklake.sources.wire.rows import Row

__all__ = ["Book", "Books"]

_BREAKS = {
    "chain broken": "the book's numbers jump",
    "checksum failed": "the book's checksum is not that of the exchange",
    "crossed book": "the book is crossed",
}


@dataclass
class Book:
    """A book that a connection follows.

    Attributes
    ----------
    bridge
        Holds changes back until the whole book has been fetched, where the exchange does not send it.
    is_whole
        Whether a whole book came, and everything after it. No row is delivered before.
    missing
        Since the book broke: what showed it, and the numbers that were missing. It is told when the book is whole again: only then is it
        known until when it was not.
    """

    stream: Stream
    exchange: str
    backoff: Backoff
    bridge: Bridge | None = None
    is_whole: bool = False
    last_ts: int | None = None
    missing: tuple[str, int | None, int | None] | None = None
    chain: Chain = field(default_factory=Chain)
    prover: Prover = field(default_factory=Prover)

    def begin_anew(self) -> None:
        """Forget what came: the next whole book is the first."""
        self.is_whole = False
        self.chain = Chain()
        self.prover = Prover(self.exchange)
        if self.bridge is not None:
            self.bridge = Bridge()

    def check(self, mark: Mark, rows: Sequence[Row]) -> Literal["follows", "broken"]:
        """Take the next change, or a whole book; note what is missing if it does not lead on from what came before."""
        before = self.chain.last
        verdict = self.chain.follow(mark)
        if verdict == "repeated":
            # The same change twice: nothing is missing, and the lake knows its rows.
            return "follows"
        if verdict == "broken" and before is not None:
            self.missing = (_BREAKS["chain broken"], before + 1, _last_missing(mark))
            return "broken"
        for finding in self.prover.check(Reading(list(rows), [mark])):
            if finding.found in _BREAKS:
                self.missing = (_BREAKS[finding.found], None, None)
                return "broken"
        if rows:
            self.last_ts = rows[0].values[0]
        return "follows"


class Books:
    """All books of one connection.

    Parameters
    ----------
    number
        The number of the connection.
    owners
        The number of the connection that delivers a book. While two connections overlap, the newer one takes a book over with its first
        whole book; from then on the older one delivers no rows of it.
    broken
        Is called with a book that needs a whole one: fetched, or by a new subscription.
    """

    def __init__(
        self,
        number: int,
        datasets: Mapping[RowKey, Dataset],
        owners: dict[RowKey, int],
        broken: Callable[[Book], None],
    ) -> None:
        self.by_native: dict[str, Book] = {}
        self._number = number
        self._datasets = datasets
        self._owners = owners
        self._broken = broken

    def take_back(self, number: int) -> None:
        """Deliver the books again that the connection *number* had taken over: it ended early."""
        for book in self.by_native.values():
            if self._owners.get(book.stream.key) == number:
                del self._owners[book.stream.key]
                book.missing = ("another connection took the book over, and ended", None, None)
                book.begin_anew()
                self._broken(book)

    def take(
        self, rows: Sequence[Row], marks: Sequence[Mark], received_at: int
    ) -> tuple[list[Row], list[Control], list[LiveMessage]]:
        """Return the rows of a message that may be stored, what happened before them, and messages that were held back."""
        by_native: dict[str, list[Row]] = {}
        for row in rows:
            by_native.setdefault(row.native, []).append(row)
        if not marks:
            marks = [Mark("book", native, starts=bool(part[0].values[7])) for native, part in by_native.items()]
        kept: list[Row] = []
        controls: list[Control] = []
        held: list[LiveMessage] = []
        for mark in marks:
            book = self.by_native.get(mark.native)
            if book is None:
                continue
            part = by_native.get(mark.native, [])
            if book.bridge is not None and not book.is_whole:
                held += self._held_back(book, Change(received_at, part, mark))
            elif self._follows(book, mark, part, controls, received_at) and self._owns(book):
                kept += part
        return kept, controls, held

    def _follows(self, book: Book, mark: Mark, rows: Sequence[Row], controls: list[Control], received_at: int) -> bool:
        """Whether the rows of a message lead on from those before. If not, the book begins anew."""
        if mark.starts:
            controls += self._whole_again(book, rows, received_at)
        if not book.is_whole:
            return False
        if book.check(mark, rows) == "broken":
            book.begin_anew()
            self._broken(book)
            return False
        return True

    def _whole_again(self, book: Book, rows: Sequence[Row], received_at: int) -> list[Control]:
        """Return what a whole book means: where one was broken, nothing was right until now.

        Streams of whole books alone say it only once: each message is one.
        """
        dataset = self._datasets[book.stream.key]
        controls = []
        if book.missing is not None and book.last_ts is not None and rows:
            text, first, last = book.missing
            span = Span(book.last_ts, max(rows[0].values[0], book.last_ts + 1))
            controls.append(Control("gap", received_at, dataset, text, span, first, last))
        if not book.is_whole:
            controls.append(Control("resynchronised", received_at, dataset))
        book.missing = None
        book.is_whole = True
        self._owners[book.stream.key] = max(self._number, self._owners.get(book.stream.key, 0))
        return controls

    def _owns(self, book: Book) -> bool:
        """Whether no newer connection has taken the book over."""
        return self._owners.get(book.stream.key, self._number) <= self._number

    def _held_back(self, book: Book, change: Change) -> list[LiveMessage]:
        """Keep a change; return the whole book and all changes since, if they join."""
        if book.bridge is None:
            return []
        book.bridge.hold(change)
        return self.join(book, change.received_at)

    def join(self, book: Book, received_at: int) -> list[LiveMessage]:
        """Return the fetched book and the changes since, if they join; a book that is too old is fetched again."""
        bridge = book.bridge
        if bridge is None or bridge.book is None:
            return []
        joined = bridge.join()
        if joined is None:
            if bridge.book is None:
                self._broken(book)
            return []
        whole, changes = joined
        book.begin_anew()
        rows = whole.at(min(map(_ts_of, changes)))
        controls = self._whole_again(book, rows, received_at)
        messages = [LiveMessage(whole.received_at, rows, controls)]
        native = book.stream.native
        book.check(Mark("book", native, whole.number, whole.number, starts=True, fetched=True), rows)
        # The changes go on from a number inside the first of them: the bridge has shown that they do.
        book.chain = Chain()
        messages += [
            LiveMessage(held.received_at, held.rows)
            for held in changes
            if self._follows(book, held.mark, held.rows, [], held.received_at)
        ]
        return messages


def _last_missing(mark: Mark) -> int | None:
    """Return the last number before a mark, if it tells."""
    if mark.previous is not None:
        return mark.previous
    if mark.first is not None:
        return mark.first - 1
    return None


def _ts_of(change: Change) -> int:
    if change.rows:
        ts: int = change.rows[0].values[0]
        return ts
    return change.received_at
