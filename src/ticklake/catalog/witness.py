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
        try:
            data = self._read()
        except OSError:
            return 0
        slots = (_unpacked(data[start : start + _SIZE], lake) for start in range(0, _SIZE * _SLOTS, _SIZE))
        return max(slots, default=0)

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
            if _unpacked(os.pread(self._descriptor, _SIZE, place), lake) < version:
                os.pwrite(self._descriptor, _packed(lake, version), place)

    def forget(self) -> None:
        """Forget every version, in place: other processes have the file open."""
        with suppress(FileNotFoundError):
            os.truncate(self.path, 0)


def _packed(lake: str, version: int) -> bytes:
    body = _SLOT.pack(_MAGIC, lake.encode()[:32], version)
    return (body + zlib.crc32(body).to_bytes(4, "little")).ljust(_SIZE, b"\0")


def _unpacked(slot: bytes, lake: str) -> int:
    """Return the version in a slot; 0 if it is empty, damaged, or another lake's."""
    body, check = slot[: _SLOT.size], slot[_SLOT.size : _SLOT.size + 4]
    if len(check) < 4 or int.from_bytes(check, "little") != zlib.crc32(body):
        return 0
    magic, name, version = _SLOT.unpack(body)
    return int(version) if (magic, name.rstrip(b"\0")) == (_MAGIC, lake.encode()[:32]) else 0
