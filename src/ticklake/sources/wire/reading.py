"""What a message of an exchange says: its rows, and the marks by which the exchange lets us check that none is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ticklake.errors import InvalidData, TicklakeError
from ticklake.sources.wire.rows import Row

__all__ = ["Mark", "Reader", "Reading", "read_with"]

_MISREAD = (TicklakeError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What a reader raises on a message that has not the form which it expects."""
_PLAIN = frozenset({str, int, float, bool, Decimal, type(None)})
_SIDES = frozenset({"bid", "ask"})
_LARGEST = 2**63 - 1
"""Times and numbers of books are stored in 64 bits."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a message stands in the numbering of its stream, and the checksum of the book after it.

    A reader yields a mark after the rows of its message. Unknown is ``None``.

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
    """

    kind: str
    native: str
    first: int | None = None
    last: int | None = None
    previous: int | None = None
    starts: bool = False
    checksum: int | None = None


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
        its third argument.
    """

    fits: Callable[[Any], bool]
    read: Callable[..., Iterator[Row] | Iterator[Row | Mark]]
    form: type = dict
    numbered: bool = False

    def takes(self, message: Any) -> bool:
        """Whether it reads a message. It never raises, whatever is in the message."""
        if not isinstance(message, self.form):
            return False
        try:
            return bool(self.fits(message))
        except _MISREAD:
            return False


@dataclass(slots=True)
class Reading:
    """The rows and the marks of one message."""

    rows: list[Row] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)


def read_with(
    readers: tuple[Reader, ...], message: Any, received_at: int | None, subscription: Mapping[str, Any] | None = None
) -> Reading | None:
    """Return what a message says by the first reader that fits, or ``None`` if none does.

    Parameters
    ----------
    subscription
        The message that gave this one's channel its number, for exchanges that number their channels (Bitfinex).

    Raises
    ------
    InvalidData
        If the message is of a known sort, and not of the form of it: nothing of it is read.
    """
    for reader in readers:
        if reader.takes(message):
            break
    else:
        return None
    arguments: tuple[Any, ...] = (message, received_at)
    if reader.numbered:
        if subscription is None:
            return None
        arguments = (message, received_at, subscription)
    reading = Reading()
    try:
        for item in reader.read(*arguments):
            if isinstance(item, Mark):
                reading.marks.append(item)
            else:
                reading.rows.append(item)
        _check(reading.rows)
    except _MISREAD as error:
        raise InvalidData(_reason(error)) from error
    return reading


def _check(rows: list[Row]) -> None:
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
        if type(value) not in _PLAIN:
            raise InvalidData(f"it has {type(value).__name__} where the {row.kind} have one value")
        if type(value) is int and abs(value) > _LARGEST:
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
