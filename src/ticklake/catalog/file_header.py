"""What the header of a catalog's file says of it: which copy it is, and the number of its last change.

SQLite keeps two numbers for its users in the first page of a file. The *user version* counts changes: every transaction that
changes something adds one, so the first page is part of every transaction in the log. The *application id* names a copy:
a backup gets another one. Together they tell whether a log belongs to the file beside it.
"""

from __future__ import annotations

import secrets
import sqlite3
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ticklake.errors import CatalogDamaged

__all__ = [
    "change_number",
    "continue_header",
    "count_change",
    "distance",
    "is_newer",
    "name_copy",
    "number_of",
    "refuse_foreign_log",
]

_NUMBERS = 2**32
_MAGIC = b"SQLite format 3\0"
_HEADER = 100
"""Bytes of the header of a database, at the begin of its first page."""
_LOG_MAGICS = (0x377F0682, 0x377F0683)
_LOG_HEADER = struct.Struct(">8I")
_FRAME_HEADER = struct.Struct(">6I")
_LOOKS, _PAUSE = 4, 0.05
"""How often, and after how many seconds, a log is looked at again: others may empty it in between."""


def change_number(connection: sqlite3.Connection) -> int:
    """Return the number of the newest change that a connection sees."""
    return number_of(connection.execute("PRAGMA user_version").fetchone()[0])


def number_of(user_version: int) -> int:
    """Return the number of a change, which SQLite keeps with a sign."""
    return user_version % _NUMBERS


def count_change(connection: sqlite3.Connection, newest: int) -> int:
    """Give the transaction of a connection the number after that of the *newest* change, and return it."""
    number = (newest + 1) % _NUMBERS
    connection.execute(f"PRAGMA user_version = {_signed(number)}")
    return number


def is_newer(number: int, other: int) -> bool:
    """Whether a change came after another one; numbers begin anew after 2**32."""
    return 0 < distance(number, other) < _NUMBERS // 2


def distance(number: int, other: int) -> int:
    """Return how many changes came after *other* up to *number*."""
    return (number - other) % _NUMBERS


def name_copy(connection: sqlite3.Connection, *, anew: bool = True) -> None:
    """Give a file the name of a copy of its own, *anew* also if it has one: that of the file that it was copied from."""
    (copy,) = connection.execute("PRAGMA application_id").fetchone()
    if copy and not anew:
        return
    connection.execute(f"PRAGMA application_id = {secrets.randbelow(2**31 - 1) + 1}")


def continue_header(old: sqlite3.Connection, new: sqlite3.Connection) -> None:
    """Let *new* be the same copy as *old*, one change later: it takes the place of its content."""
    (copy,) = old.execute("PRAGMA application_id").fetchone()
    new.execute(f"PRAGMA application_id = {copy}")
    new.execute(f"PRAGMA user_version = {_signed((change_number(old) + 1) % _NUMBERS)}")


def refuse_foreign_log(path: Path) -> None:
    """Refuse a catalog beside which lies the log of another one: SQLite would write that into it, and mix the two.

    Raises
    ------
    CatalogDamaged
        Nothing is changed then.
    """
    for look in range(_LOOKS):
        if look:
            time.sleep(_PAUSE)
        if not _has_foreign_log(path):
            return
    raise CatalogDamaged(
        f"{path} is not the catalog whose log {path.name}-wal is: a copy was put in its place. Nothing was changed: to take "
        f"the copy, remove {path.name}-wal, {path.name}-shm and {path.name}-witness, "
        "or restore the backup into an empty folder; to keep the log, put the old catalog back"
    )


def _has_foreign_log(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER)
        with path.with_name(f"{path.name}-wal").open("rb") as log:
            return header.startswith(_MAGIC) and _is_foreign(log, _Numbers.of(header))
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class _Numbers:
    """What the header of a file, or of its first page in a log, says."""

    change: int
    copy: int

    @classmethod
    def of(cls, header: bytes) -> _Numbers:
        return cls(int.from_bytes(header[60:64], "big"), int.from_bytes(header[68:72], "big"))


def _is_foreign(log: BinaryIO, file: _Numbers) -> bool:
    """Whether the changes in a log do not follow those in the file, without a gap, and are not among them."""
    frames = _first_pages(log)
    place, first = next(frames, (0, file))
    is_other_copy = file.copy not in (0, first.copy)  # 0: the copy got its name in the log
    lacks_changes = is_newer(first.change, (file.change + 1) % _NUMBERS)
    if is_other_copy or lacks_changes:
        # SQLite stops at the first damaged frame: what comes after it is never written into the file.
        return _is_sound(log, place)
    if not is_newer(file.change, first.change):
        return False
    # A file that is newer than the whole log is a later copy: the log would take it back in time.
    return all(is_newer(file.change, found.change) for _, found in frames)


def _first_pages(log: BinaryIO) -> Iterator[tuple[int, _Numbers]]:
    """Yield where the frames of the first page end in a log, and what these say."""
    log.seek(0)
    header = log.read(_LOG_HEADER.size)
    if len(header) < _LOG_HEADER.size:
        return
    magic, _, size, _, *salts, _, _ = _LOG_HEADER.unpack(header)
    if magic not in _LOG_MAGICS:
        return
    place = _LOG_HEADER.size
    while True:
        log.seek(place)
        frame = log.read(_FRAME_HEADER.size + _HEADER)
        if len(frame) < _FRAME_HEADER.size + _HEADER:
            return
        number, _, *found = _FRAME_HEADER.unpack_from(frame)
        if found[:2] != salts:
            return  # what follows is left of the time before the log was begun anew
        place += _FRAME_HEADER.size + size
        if number == 1:
            yield place, _Numbers.of(frame[_FRAME_HEADER.size :])


def _is_sound(log: BinaryIO, end: int) -> bool:
    """Whether SQLite would read a log up to a place: the checksums of all frames before are right."""
    log.seek(0)
    header = log.read(_LOG_HEADER.size)
    magic, _, size, *_ = _LOG_HEADER.unpack(header)
    # The last bit of the magic number says in which byte order the checksums were computed.
    order = ">" if magic & 1 else "<"
    sums = _checksum(order, header[:24], (0, 0))
    if sums != _LOG_HEADER.unpack(header)[6:]:
        return False
    while log.tell() < end:
        frame = log.read(_FRAME_HEADER.size)
        page = log.read(size)
        if len(page) < size:
            return False
        sums = _checksum(order, frame[:8] + page, sums)
        if sums != _FRAME_HEADER.unpack(frame)[4:]:
            return False
    return True


def _checksum(order: str, data: bytes, sums: tuple[int, int]) -> tuple[int, int]:
    """Go on with the checksum that SQLite documents for its log."""
    first, second = sums
    for low, high in struct.iter_unpack(f"{order}2I", data):
        first = (first + low + second) % _NUMBERS
        second = (second + high + first) % _NUMBERS
    return first, second


def _signed(number: int) -> int:
    """Return a number as SQLite keeps it."""
    return number - _NUMBERS if number >= _NUMBERS // 2 else number
