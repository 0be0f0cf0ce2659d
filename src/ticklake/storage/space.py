"""The space that is left where a lake lives."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ticklake.errors import DiskAlmostFull

__all__ = ["Space"]

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


def _mib(size: int) -> str:
    return f"{size / 1024**2:,.1f} MiB"
