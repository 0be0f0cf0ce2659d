"""The space that is left where a lake lives."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ticklake.errors import DiskAlmostFull

__all__ = ["RESERVE", "Reserve", "Space", "is_full"]

RESERVE = 512 * 1024
"""Bytes that a lake keeps for what frees space: SQLite cannot even delete without some for its log and its index."""
_SCRAPS = 64 * 1024
"""Bytes with which a disk counts as full."""

Usage = Callable[[Path], tuple[int, int, int]]
"""Tells the total, used and free bytes of the disk that holds a folder."""


@dataclass(frozen=True, slots=True)
class Space:
    """Keeps some of a disk free: ``min_free`` bytes, or that share of the whole (``2 %``).

    Asking costs microseconds, so every commit asks anew. *times* makes it refuse earlier: those who only warn do.
    """

    folder: Path
    min_free: int | str
    usage: Usage = shutil.disk_usage
    times: float = 1.0

    def check(self, more: int = 0) -> None:
        """Refuse to go on if less would be free after *more* bytes are written.

        A folder that is gone is told of by those who write to it.

        Raises
        ------
        DiskAlmostFull
        """
        try:
            total, _, free = self.usage(self.folder)
        except FileNotFoundError:
            return
        if free - more < self.needed(total) * self.times:
            raise DiskAlmostFull(
                f"{_mib(free)} are free for {self.folder}, {_mib(self.needed(total))} are to stay free (min_free): "
                "free some; what was committed is kept, and the same command goes on from there"
            )

    def needed(self, total: int) -> int:
        """Return how many bytes are to stay free on a disk of *total* bytes."""
        if isinstance(self.min_free, int):
            return self.min_free
        return int(total * float(self.min_free.strip().removesuffix("%")) / 100)


@dataclass(frozen=True, slots=True)
class Reserve:
    """A file that only takes space, given up when there is none: what frees space needs a little itself."""

    path: Path
    size: int = RESERVE

    def fill(self) -> None:
        """Take the space, as far as there is some besides; a lake without a reserve works all the same."""
        with suppress(OSError, AttributeError):
            held = self._held()
            size = min(self.size, held + shutil.disk_usage(self.path.parent).free - 2 * _SCRAPS)
            if size <= held:
                return
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                os.posix_fallocate(descriptor, 0, size)
            finally:
                os.close(descriptor)

    def give(self, size: int | None = None) -> bool:
        """Give up so many bytes, or all of them; return whether there were any."""
        held = self._held()
        with suppress(OSError):
            os.truncate(self.path, 0 if size is None else max(held - size, 0))
        return held > 0

    def _held(self) -> int:
        try:
            return self.path.stat().st_size
        except OSError:
            return 0


def is_full(folder: Path) -> bool:
    """Whether the disk that holds a folder has next to nothing left."""
    try:
        return shutil.disk_usage(folder).free < _SCRAPS
    except OSError:
        return False


def _mib(size: int) -> str:
    return f"{size / 1024**2:,.1f} MiB"
