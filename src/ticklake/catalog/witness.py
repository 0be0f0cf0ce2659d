"""The witness: a small file beside the catalog that records which version was acknowledged last.

SQLite reads its log up to the first page whose checksum is wrong: a flipped bit there silently undoes every later commit. And
a catalog restored from yesterday's copy looks as sound as any. The witness shows both.

Rows that belong to no version (runs, instruments, quality, notes of gaps) are changes of the catalog, too, and have numbers
of their own; see :mod:`ticklake.catalog.file_header`.

It is written after each commit, before the commit is acknowledged, and not fsynced: after a power failure it may be older
than the catalog, but never newer, unless commits were lost. Changes that are not durable may be lost then: what the
witness says of them is valid until the machine restarts.
"""

from __future__ import annotations

import os
import struct
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from hashlib import blake2b
from pathlib import Path
from weakref import finalize

from ticklake.catalog.file_header import distance, is_newer
from ticklake.errors import CatalogOutdated

__all__ = ["WITNESS_FILE", "Witness", "outdated"]

WITNESS_FILE = "catalog.db-witness"
_SLOT = struct.Struct("<8s32sQ")
_TIMED = struct.Struct("<Q")
"""The time of writing follows the checksum of a slot; older versions did not write it."""
_SIZE = 64
_CHECKSUM = 4
_SLOTS = 8
"""Versions are written to slots in turn, so that a process that writes late does not overwrite the newest version."""
_VERSIONS, _CHANGES, _CHANGES_OF_BOOT = (number * _SIZE * _SLOTS for number in range(3))
"""Where the slots of each kind begin."""
_MAGIC = b"tlwitns1"
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class _Slot:
    """One entry of the witness: the owner of a number, the number, and when it was written, if known."""

    name: bytes
    number: int
    written_at: int | None


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What was acknowledged last: the version, that of another lake if none of this one was, and the newest change."""

    version: int
    version_of_another: int
    change: int | None

    def missing_in(self, version: int, change: int) -> str | None:
        """Return what a catalog lacks that is at *version* and at the change numbered *change*; ``None`` if nothing."""
        if self.version_of_another:
            return f"holds another lake than that whose version {self.version_of_another} was the newest here"
        if self.version > version:
            first = version + 1
            lost = f"versions {first} to {self.version} are"
            if self.version == first:
                lost = f"version {first} is"
            return f"is at version {version} and {lost} missing"
        if self.change is None or not is_newer(self.change, change):
            return None
        count = distance(self.change, change)
        lost = f"{count:,} later changes are"
        if count == 1:
            lost = "one later change is"
        return f"is at version {version} and {lost} missing (of runs, quality, instruments, jobs or notes)"


class Witness:
    """Records which version of a lake was acknowledged last.

    The file stays open once it was written: opening it costs more than everything else that a commit does with it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def newest(self, lake: str) -> int:
        """Return the newest version of *lake* that was acknowledged; 0 if none is recorded."""
        slot = self._newest_slot(lake)
        if slot is None:
            return 0
        return slot.number

    def acknowledged_at(self, lake: str) -> int | None:
        """Return when the newest version of *lake* was acknowledged, in nanoseconds UTC of the machine's clock, if known."""
        slot = self._newest_slot(lake)
        if slot is None:
            return None
        return slot.written_at

    def _newest_slot(self, lake: str) -> _Slot | None:
        slots = [slot for slot in self._slots(_VERSIONS) if slot.name == _name(lake)]
        return max(slots, key=lambda slot: slot.number, default=None)

    def newest_of_any(self) -> int:
        """Return the newest version that was acknowledged here, of any lake; 0 if none is recorded."""
        return max((slot.number for slot in self._slots(_VERSIONS)), default=0)

    def newest_of_another(self, lake: str) -> int:
        """Return the newest version that was acknowledged here if none of *lake* was; 0 if there is none.

        A log that is damaged at its start leaves an empty catalog, which becomes a new lake.
        """
        if self._newest_slot(lake) is not None:
            return 0
        return self.newest_of_any()

    def newest_change(self, lake: str) -> int | None:
        """Return the number of the newest change of *lake* that was acknowledged, if one is recorded."""
        newest: int | None = None
        # Changes that were not fsynced are compared only until the machine restarts, which may lose them.
        for start, owner in ((_CHANGES, lake), (_CHANGES_OF_BOOT, _until_next_boot(lake))):
            if not owner:
                continue
            for slot in self._slots(start):
                if slot.name == _name(owner) and (newest is None or is_newer(slot.number, newest)):
                    newest = slot.number
        return newest

    def acknowledged(self, lake: str) -> Acknowledged:
        """Return what was acknowledged last. Call it before reading the catalog: others write to both in between."""
        return Acknowledged(self.newest(lake), self.newest_of_another(lake), self.newest_change(lake))

    def _slots(self, start: int) -> list[_Slot]:
        try:
            data = self._read(start)
        except OSError:
            return []
        slots: list[_Slot] = []
        for place in range(0, _SIZE * _SLOTS, _SIZE):
            slot = _unpacked(data[place : place + _SIZE])
            if slot is not None:
                slots.append(slot)
        return slots

    def _read(self, start: int) -> bytes:
        if self._descriptor is None:
            return self.path.read_bytes()[start : start + _SIZE * _SLOTS]
        return os.pread(self._descriptor, _SIZE * _SLOTS, start)

    def acknowledge(self, lake: str, version: int) -> None:
        """Record that a version is durable. If the file cannot be written, do nothing: the version is durable all the same."""
        self._write(_VERSIONS, lake, version)

    def acknowledge_change(self, lake: str, number: int, *, durable: bool) -> None:
        """Record that a change was made; one that is not *durable* may be lost in a power failure."""
        if durable:
            self._write(_CHANGES, lake, number)
        elif owner := _until_next_boot(lake):
            self._write(_CHANGES_OF_BOOT, owner, number)

    def _write(self, start: int, owner: str, number: int) -> None:
        with suppress(OSError):
            if self._descriptor is None:
                self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
                finalize(self, os.close, self._descriptor)
            place = start + number % _SLOTS * _SIZE
            # Processes acknowledge in any order: a slot may hold a newer number by now.
            old = _unpacked(os.pread(self._descriptor, _SIZE, place))
            if old is None or old.name != _name(owner) or is_newer(number, old.number):
                os.pwrite(self._descriptor, _packed(owner, number), place)

    def forget(self) -> None:
        """Forget every version. The file is emptied and not deleted, because other processes have it open."""
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
    """Return a name that *lake* has until the machine restarts; empty where restarts cannot be detected."""
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
    """Return the data without its checksum; ``None`` if that is wrong."""
    body = data[:-_CHECKSUM]
    if len(data) <= _CHECKSUM or _with_checksum(body) != data:
        return None
    return body


@lru_cache(maxsize=256)  # a commit reads all slots and changes two of them
def _unpacked(slot: bytes) -> _Slot | None:
    """Return the entry of a slot; ``None`` if it is empty or damaged."""
    body = _without_checksum(slot[: _SLOT.size + _CHECKSUM])
    if body is None:
        return None
    magic, name, number = _SLOT.unpack(body)
    if magic != _MAGIC:
        return None
    timed = _without_checksum(slot)
    written_at: int | None = None
    if timed is not None:
        (written_at,) = _TIMED.unpack(timed[-_TIMED.size :])
    return _Slot(name.rstrip(b"\0"), int(number), written_at)
