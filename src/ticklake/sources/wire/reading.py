"""What a message of an exchange says: its rows, and the marks by which the exchange lets us check that none is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from ticklake.errors import InvalidData, TicklakeError
from ticklake.sources.wire.rows import Row

__all__ = ["Item", "Mark", "Memory", "Reader", "Reading", "check_rows", "read_with"]

Memory = dict[Any, Any]
"""What a connection has said so far and later messages rely on: the prices of BitMEX's level ids, bars that are not over. Keys are
tuples that begin with the name of what is kept."""

_MISREAD = (TicklakeError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What a reader raises on a message that has not the form which it expects."""
_PLAIN = frozenset({str, int, float, bool, Decimal, type(None)})
_SIDES = frozenset({"bid", "ask"})
_LARGEST = 2**63 - 1
"""Times and numbers of books are stored in 64 bits."""


class Mark(NamedTuple):
    """Where a message stands in the numbering of its stream, and the checksum of the book after it.

    A reader yields a mark after the rows of its message. What is not known is ``None``.

    Parameters
    ----------
    kind, native
        What is numbered: the books (or trades) of one market; both are empty if an exchange numbers all messages of a connection.
    first, last
        The first and the last number in the message.
    previous
        The number of the message before, where the exchange sends it.
    starts
        Whether the numbering begins with this message: it has a whole book.
    checksum
        The exchange's checksum of the book after this message; ``None`` where it offers none (OKX sends 0 for that).
    channel
        The exchange's name of this book among several books of the market, like ``orderbook.50`` beside ``orderbook.200``.
    depth
        How many levels a side the book keeps, if levels that fall out of it must be dropped (Kraken).
    fetched
        Whether the whole book was fetched beside the stream (Binance): changes in it may come before the book and after it.
    overtakes
        Whether a message may overtake others on its connection (dYdX' answers to subscriptions): a number is missing only if it does not
        come soon after.
    """

    kind: str
    native: str
    first: int | None = None
    last: int | None = None
    previous: int | None = None
    starts: bool = False
    checksum: int | None = None
    channel: str = ""
    depth: int | None = None
    fetched: bool = False
    overtakes: bool = False


Item = Row | Mark | list[Row]
"""What a reader yields. Many rows at once, as a list, are faster than one by one."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads one sort of messages.

    Parameters
    ----------
    fits
        Whether it reads a message. Where it raises because a message has another form, the message does not fit.
    read
        Yields the rows of a message, then its marks. The second argument is the time of receipt in nanoseconds, if that is known.
    form
        The type of the messages, ``dict`` or ``list``: *fits* is asked about no others.
    numbered
        Whether the message names its channel by a number that an earlier message gave it: then *read* gets that earlier message as
        its next argument.
    remembers
        Whether it needs what the same connection said before: then *read* gets the connection's memory as its last argument.
    accepts
        Whether it reads the channel that an earlier message numbered.
    unread
        Whether it yields the number of messages that nothing reads: then these are not known, or have no data, all the same.
    """

    fits: Callable[[Any], bool]
    read: Callable[..., Iterable[Item]]
    form: type = dict
    numbered: bool = False
    remembers: bool = False
    accepts: Callable[[Mapping[str, Any]], bool] = lambda _subscription: True
    unread: bool = False

    def takes(self, message: Any, subscription: Mapping[str, Any] | None) -> bool:
        """Whether it reads a message. It never raises, whatever is in the message."""
        if not isinstance(message, self.form):
            return False
        try:
            if not self.fits(message):
                return False
            return not self.numbered or (subscription is not None and self.accepts(subscription))
        except _MISREAD:
            return False


@dataclass(slots=True)
class Reading:
    """The rows and the marks of one message; of an ``unread`` one only the marks are known."""

    rows: list[Row] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    unread: bool = False


def read_with(
    readers: tuple[Reader, ...],
    message: Any,
    received_at: int | None,
    subscription: Mapping[str, Any] | None = None,
    memory: Memory | None = None,
) -> Reading | None:
    """Return what a message says by the first reader that fits; ``None`` if none does, or if the message has another form after all.

    Parameters
    ----------
    subscription
        The message that gave this one's channel its number, for exchanges that number their channels (Bitfinex).
    memory
        What the connection has said so far; the caller keeps one for each connection.

    Raises
    ------
    InvalidData
        If the message is of a known sort, and not of the form of it: nothing of it is read.
    """
    for reader in readers:
        if reader.takes(message, subscription):
            break
    else:
        return None
    arguments: tuple[Any, ...] = (message, received_at)
    if reader.numbered:
        arguments = (message, received_at, subscription)
    if reader.remembers:
        arguments = (*arguments, {} if memory is None else memory)
    rows: list[Row] = []
    marks: list[Mark] = []
    try:
        for item in reader.read(*arguments):
            if isinstance(item, Row):
                rows.append(item)
            elif isinstance(item, Mark):
                marks.append(item)
            else:
                rows += item
        check_rows(rows)
    # Readers take fields without asking whether they are there: any of these is a message of another form.
    except _MISREAD as error:
        raise InvalidData(_reason(error)) from error
    return Reading(rows, marks, reader.unread)


def check_rows(rows: Iterable[Row]) -> None:
    """Refuse rows with a list or an object where a table has a value, or with a number that no column holds.

    The levels of a message share everything but price and amount, and are very many: of them no more is checked than these.
    """
    first: Row | None = None
    for row in rows:
        if row.kind != "book":
            _check_row(row)
        elif first is not None and row.native is first.native and row.values[0] is first.values[0]:
            _check_level(row.values)
        else:
            _check_row(row)
            _check_level(row.values)
            first = row


def _check_row(row: Row) -> None:
    for value in row.values:
        sort = type(value)
        # Most values are texts: they need no second look.
        if sort is str:
            continue
        if sort not in _PLAIN:
            raise InvalidData(f"it has {sort.__name__} where the {row.kind} have one value")
        if sort is int and not -_LARGEST <= value <= _LARGEST:
            raise InvalidData(f"{value} is too large")
    if type(row.native) is not str:
        raise InvalidData(f"{row.native!r} is no name of a market")


def _check_level(values: tuple[Any, ...]) -> None:
    """Refuse a level that no book can be made of: who checks books does so before rows are in a table."""
    if values[3] not in _SIDES:
        raise InvalidData(f"{values[3]!r} is no side of a book")
    if not (-_LARGEST < float(values[4]) < _LARGEST and -_LARGEST < float(values[5]) < _LARGEST):
        raise InvalidData(f"{values[4]!r} and {values[5]!r} are no price and amount")
    if values[6] is not None and type(values[6]) not in _PLAIN:
        raise InvalidData(f"{values[6]!r} is no number of orders")


def _reason(error: Exception) -> str:
    """Say why a message cannot be read."""
    if isinstance(error, TicklakeError):
        return str(error)
    if isinstance(error, KeyError):
        return f"it has no {error.args[0]!r}"
    return f"it is not of the documented form ({error})"
