"""The witness: a small file beside the catalog that says which version was acknowledged last.

SQLite's log ends at the first page whose checksum differs: a flipped bit there takes back every later commit without a
word, and a catalog that was put back from yesterday is as sound as any. The witness tells both.

Rows that are no part of a version (runs, instruments, quality, notes of gaps) are changes of the catalog, too, and those have
numbers of their own; see :mod:`ticklake.catalog.file_header`.

It is written after each commit, before the commit is acknowledged, and not fsynced: it may be older than the catalog after a
loss of power, but never newer, unless commits were lost. Changes that wait for no disk may be lost then: what it says of
them counts until the machine starts anew.
"""

from __future__ import annotations

import os
import struct
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path
from weakref import finalize

from ticklake.catalog.file_header import distance, is_newer
from ticklake.errors import CatalogOutdated

__all__ = ["WITNESS_FILE", "Witness", "outdated"]

WITNESS_FILE = "catalog.db-witness"
_SLOT = struct.Struct("<8s32sQ")
_TIMED = struct.Struct("<Q")
"""When the slot was written follows its checksum; witnesses of older versions do not say it."""
_SIZE = 64
_CHECKSUM = 4
_SLOTS = 8
"""Versions take turns: a process that writes late does not put an old version in the place of the newest."""
_VERSIONS, _CHANGES, _CHANGES_OF_BOOT = (number * _SIZE * _SLOTS for number in range(3))
"""Where the slots of each kind begin."""
_MAGIC = b"tlwitns1"
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class _Slot:
    """One entry of the witness: whose number it is, and when it was written, if it says so."""

    name: bytes
    number: int
    written_at: int | None


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What was acknowledged last: a version, that of another lake if none of this was, and the number of a change."""

    version: int
    version_of_another: int
    change: int | None

    def missing_in(self, version: int, change: int) -> str | None:
        """Say what is missing in a catalog that is at a *version*, and at the *change* with that number; ``None`` if nothing."""
        if self.version_of_another:
            return f"holds another lake than that whose version {self.version_of_another} was the newest here"
        if self.version > version:
            first = version + 1
            lost = f"version {first} is" if self.version == first else f"versions {first} to {self.version} are"
            return f"is at version {version} and {lost} missing"
        if self.change is None or not is_newer(self.change, change):
            return None
        count = distance(self.change, change)
        lost = "one later change is" if count == 1 else f"{count:,} later changes are"
        return f"is at version {version} and {lost} missing (of runs, quality, instruments, jobs or notes)"


class Witness:
    """Says which version of a lake was acknowledged last, as far as its file tells.

    The file stays open once it was written: opening it costs more than all else that a commit does with it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def newest(self, lake: str) -> int:
        """Return the newest version of *lake* that was acknowledged; 0 if nobody knows."""
        return max((slot.number for slot in self._slots(_VERSIONS) if slot.name == _name(lake)), default=0)

    def acknowledged_at(self, lake: str) -> int | None:
        """Return when the newest version of *lake* was acknowledged, in nanoseconds UTC of the machine's clock, if known."""
        slots = [slot for slot in self._slots(_VERSIONS) if slot.name == _name(lake)]
        newest = max(slots, key=lambda slot: slot.number, default=None)
        return None if newest is None else newest.written_at

    def newest_of_any(self) -> int:
        """Return the newest version that was acknowledged here, of whichever lake; 0 if nobody knows."""
        return max((slot.number for slot in self._slots(_VERSIONS)), default=0)

    def newest_of_another(self, lake: str) -> int:
        """Return the newest version that was acknowledged here if none of *lake* was; 0 if there is none.

        A log that is damaged at its start leaves an empty catalog, which becomes a new lake.
        """
        is_known = any(slot.name == _name(lake) for slot in self._slots(_VERSIONS))
        if is_known:
            return 0
        return self.newest_of_any()

    def newest_change(self, lake: str) -> int | None:
        """Return the number of the newest change of *lake* that was acknowledged, if anybody knows."""
        newest: int | None = None
        for start, owner in ((_CHANGES, lake), (_CHANGES_OF_BOOT, _until_next_boot(lake))):
            if not owner:
                continue
            for slot in self._slots(start):
                if slot.name == _name(owner) and (newest is None or is_newer(slot.number, newest)):
                    newest = slot.number
        return newest

    def acknowledged(self, lake: str) -> Acknowledged:
        """Return what was acknowledged last; ask before the catalog is read: others write to both in between."""
        return Acknowledged(self.newest(lake), self.newest_of_another(lake), self.newest_change(lake))

    def _slots(self, start: int) -> list[_Slot]:
        try:
            data = self._read(start)
        except OSError:
            return []
        slots = (_unpacked(data[place : place + _SIZE]) for place in range(0, _SIZE * _SLOTS, _SIZE))
        return [slot for slot in slots if slot is not None]

    def _read(self, start: int) -> bytes:
        if self._descriptor is None:
            return self.path.read_bytes()[start : start + _SIZE * _SLOTS]
        return os.pread(self._descriptor, _SIZE * _SLOTS, start)

    def acknowledge(self, lake: str, version: int) -> None:
        """Note that a version is durable. A place that cannot be written is no reason to fail: it is durable all the same."""
        self._write(_VERSIONS, lake, version)

    def acknowledge_change(self, lake: str, number: int, *, durable: bool) -> None:
        """Note that a change was made; one that is not *durable* need not outlive a loss of power."""
        start, owner = (_CHANGES, lake) if durable else (_CHANGES_OF_BOOT, _until_next_boot(lake))
        if owner:
            self._write(start, owner, number)

    def _write(self, start: int, owner: str, number: int) -> None:
        with suppress(OSError):
            if self._descriptor is None:
                self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
                finalize(self, os.close, self._descriptor)
            place = start + number % _SLOTS * _SIZE
            found = _unpacked(os.pread(self._descriptor, _SIZE, place))
            if found is None or found.name != _name(owner) or is_newer(number, found.number):
                os.pwrite(self._descriptor, _packed(owner, number), place)

    def forget(self) -> None:
        """Forget every version, in place: other processes have the file open."""
        with suppress(FileNotFoundError):
            os.truncate(self.path, 0)


def outdated(where: str, what: str, witness: Witness) -> CatalogOutdated:
    """Return the error that says *what* is missing in the catalog."""
    return CatalogOutdated(
        f"{where} {what}: another one was put in its place, or its log is damaged; put back the newest, or "
        f"run 'ticklake rebuild' to take in what is in files; if the one that is there is meant, delete {witness.path}"
    )


@cache
def _boot() -> str:
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""


def _until_next_boot(lake: str) -> str:
    """Return a name for *lake* that it has until the machine starts anew; none where that cannot be told."""
    if not _boot():
        return ""
    return blake2b(f"{lake}/{_boot()}".encode(), digest_size=16).hexdigest()


def _name(lake: str) -> bytes:
    return lake.encode()[:32]


def _packed(lake: str, version: int) -> bytes:
    body = _with_checksum(_SLOT.pack(_MAGIC, _name(lake), version))
    return _with_checksum(body + _TIMED.pack(time.time_ns()))


def _with_checksum(data: bytes) -> bytes:
    return data + zlib.crc32(data).to_bytes(_CHECKSUM, "little")


def _without_checksum(data: bytes) -> bytes | None:
    """Return the data before its checksum, if that fits."""
    body = data[:-_CHECKSUM]
    return body if len(data) > _CHECKSUM and _with_checksum(body) == data else None


def _unpacked(slot: bytes) -> _Slot | None:
    """Return what a slot says, if it is neither empty nor damaged."""
    body = _without_checksum(slot[: _SLOT.size + _CHECKSUM])
    if body is None:
        return None
    magic, name, number = _SLOT.unpack(body)
    if magic != _MAGIC:
        return None
    timed = _without_checksum(slot)
    written_at = None if timed is None else int.from_bytes(timed[-_TIMED.size :], "little")
    return _Slot(name.rstrip(b"\0"), int(number), written_at)
