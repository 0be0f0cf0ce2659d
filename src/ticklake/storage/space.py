"""The free space of the disk that holds a lake."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ticklake.errors import DiskAlmostFull, DiskTooSmall

__all__ = ["RESERVE", "Reserve", "Space", "is_full"]

RESERVE = 512 * 1024
"""Bytes that a lake reserves for operations that free space: even a deletion needs some for SQLite's log and index."""
_SCRAPS = 64 * 1024
"""A disk with fewer free bytes counts as full."""

Usage = Callable[[Path], tuple[int, int, int]]
"""Returns the total, used and free bytes of the disk that holds a folder."""


@dataclass(frozen=True, slots=True)
class Space:
    """Keeps a part of a disk free: ``min_free`` bytes, or that share of the disk (``2 %``).

    The check takes microseconds, so every commit makes it. *times* multiplies the limit: warnings come before refusals.
    """

    folder: Path
    min_free: int | str
    usage: Usage = shutil.disk_usage
    times: float = 1.0

    def check(self, more: int = 0) -> None:
        """Raise if less than the limit would be free after *more* bytes are written.

        Raises
        ------
        DiskAlmostFull, DiskTooSmall
        """
        try:
            total, _, free = self.usage(self.folder)
        except FileNotFoundError:
            # Whoever writes to a folder that is gone gets a clearer error.
            return
        least = self.needed(total)
        if total < least:
            raise DiskTooSmall(
                f"the disk of {self.folder} has {_mib(total)} in all, and {_mib(least)} are to stay free: "
                "to free some does not help, set min_free lower, like min_free = '5 %'"
            )
        if free - more < least * self.times:
            raise DiskAlmostFull(
                f"{_mib(free)} are free for {self.folder}, {_mib(least)} are to stay free (min_free): "
                "free some; what was committed is kept, and the same command goes on from there"
            )

    def needed(self, total: int) -> int:
        """Return how many bytes must stay free on a disk of *total* bytes."""
        if isinstance(self.min_free, int):
            return self.min_free
        return int(total * float(self.min_free.strip().removesuffix("%")) / 100)


@dataclass(frozen=True, slots=True)
class Reserve:
    """A file that only takes space. It is given up when the disk is full, so that space can be freed at all."""

    path: Path
    size: int = RESERVE

    def fill(self) -> None:
        """Take the space as far as enough is free. A lake without a reserve works all the same."""
        # macOS has no posix_fallocate.
        with suppress(OSError, AttributeError):
            current = self._current_size()
            size = min(self.size, current + shutil.disk_usage(self.path.parent).free - 2 * _SCRAPS)
            if size <= current:
                return
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                os.posix_fallocate(descriptor, 0, size)
            finally:
                os.close(descriptor)

    def give(self, size: int | None = None) -> bool:
        """Give up *size* bytes, or all of them. Return whether there were any."""
        current = self._current_size()
        left = 0
        if size is not None:
            left = max(current - size, 0)
        with suppress(OSError):
            os.truncate(self.path, left)
        return current > 0

    def _current_size(self) -> int:
        try:
            return self.path.stat().st_size
        except OSError:
            return 0


def is_full(folder: Path) -> bool:
    """Whether the disk that holds a folder has almost no free bytes."""
    try:
        return shutil.disk_usage(folder).free < _SCRAPS
    except OSError:
        return False


def _mib(size: int) -> str:
    return f"{size / 1024**2:,.1f} MiB"
