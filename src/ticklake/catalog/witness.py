"""The witness: a small file beside the catalog that says which version was acknowledged last.

SQLite's log ends at the first page whose checksum differs: a flipped bit there takes back every later commit without a
word, and a catalog that was put back from yesterday is as sound as any. The witness tells both.

It is written after each commit, before the commit is acknowledged, and not fsynced: it may be older than the catalog after a
loss of power, but never newer, unless commits were lost.
"""

from __future__ import annotations

import os
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from weakref import finalize

__all__ = ["WITNESS_FILE", "Witness"]

WITNESS_FILE = "catalog.db-witness"
_SLOT = struct.Struct("<8s32sQ")
_SIZE = 64
_SLOTS = 8
"""Versions take turns: a process that writes late does not put an old version in the place of the newest."""
_MAGIC = b"tlwitns1"


class Witness:
    """Says which version of a lake was acknowledged last, as far as its file tells.

    The file stays open once it was written: opening it costs more than all else that a commit does with it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def newest(self, lake: str) -> int:
        """Return the newest version of *lake* that was acknowledged; 0 if nobody knows."""
        return max((version for name, version in self._slots() if name == _name(lake)), default=0)

    def newest_of_another(self, lake: str) -> int:
        """Return the newest version that was acknowledged here if none of *lake* was; 0 if there is none.

        A log that is damaged at its start leaves an empty catalog, which becomes a new lake.
        """
        slots = self._slots()
        return 0 if any(name == _name(lake) for name, _ in slots) else max((version for _, version in slots), default=0)

    def _slots(self) -> list[tuple[bytes, int]]:
        try:
            data = self._read()
        except OSError:
            return []
        slots = (_unpacked(data[start : start + _SIZE]) for start in range(0, _SIZE * _SLOTS, _SIZE))
        return [slot for slot in slots if slot is not None]

    def _read(self) -> bytes:
        if self._descriptor is None:
            return self.path.read_bytes()
        return os.pread(self._descriptor, _SIZE * _SLOTS, 0)

    def acknowledge(self, lake: str, version: int) -> None:
        """Note that a version is durable. A place that cannot be written is no reason to fail: it is durable all the same."""
        with suppress(OSError):
            if self._descriptor is None:
                self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
                finalize(self, os.close, self._descriptor)
            place = version % _SLOTS * _SIZE
            found = _unpacked(os.pread(self._descriptor, _SIZE, place))
            if found is None or found[0] != _name(lake) or found[1] < version:
                os.pwrite(self._descriptor, _packed(lake, version), place)

    def forget(self) -> None:
        """Forget every version, in place: other processes have the file open."""
        with suppress(FileNotFoundError):
            os.truncate(self.path, 0)


def _name(lake: str) -> bytes:
    return lake.encode()[:32]


def _packed(lake: str, version: int) -> bytes:
    body = _SLOT.pack(_MAGIC, _name(lake), version)
    return (body + zlib.crc32(body).to_bytes(4, "little")).ljust(_SIZE, b"\0")


def _unpacked(slot: bytes) -> tuple[bytes, int] | None:
    """Return the name of the lake and the version in a slot, if it is neither empty nor damaged."""
    body, check = slot[: _SLOT.size], slot[_SLOT.size : _SLOT.size + 4]
    if len(check) < 4 or int.from_bytes(check, "little") != zlib.crc32(body):
        return None
    magic, name, version = _SLOT.unpack(body)
    return (name.rstrip(b"\0"), int(version)) if magic == _MAGIC else None
