"""What kind of file system holds a folder, and whether it keeps what it is told to keep."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["IN_MEMORY", "NETWORK", "FileSystem", "file_system_of", "sync_seconds"]

NETWORK = frozenset(
    {
        *(
            "nfs",
            "nfs4",
            "cifs",
            "smb3",
            "smbfs",
            "afs",
            "ncpfs",
            "9p",
            "ceph",
            "glusterfs",
            "lustre",
            "gpfs",
            "vboxsf",
        ),
        *("fuse.sshfs", "fuse.s3fs", "fuse.rclone", "fuse.glusterfs", "fuse.gcsfuse", "fuse.mount-s3", "prl_fs"),
    }
)
"""File systems of other machines, on which the locks of SQLite and its shared memory do not work."""
IN_MEMORY = frozenset({"tmpfs", "ramfs"})
_MOUNTS = Path("/proc/self/mounts")
_TRIES = 5


@dataclass(frozen=True, slots=True)
class FileSystem:
    """A file system: its kind, where it is mounted, and with which options."""

    kind: str
    place: str
    options: frozenset[str] = frozenset()


def file_system_of(folder: Path, mounts: Path = _MOUNTS) -> FileSystem | None:
    """Return the file system that holds a folder; ``None`` where the system does not say."""
    with suppress(OSError):
        real = folder.resolve()
        found: FileSystem | None = None
        for line in mounts.read_text().splitlines():
            words = line.split()
            place = _unescaped(words[1])
            # The last one counts: a later mount hides the ones below it.
            if real.is_relative_to(place) and (found is None or len(place) >= len(found.place)):
                found = FileSystem(words[2], place, frozenset(words[3].split(",")))
        return found
    return None


def sync_seconds(folder: Path) -> float:
    """Return how many seconds it takes to make a few bytes durable in a folder: the least of some tries.

    Raises
    ------
    OSError
        If nothing can be written there.
    """
    path = folder / f".sync-{os.getpid()}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        taken: list[float] = []
        for _ in range(_TRIES):
            os.write(descriptor, b"ticklake" * 512)
            began = time.perf_counter()
            os.fsync(descriptor)
            taken.append(time.perf_counter() - began)
        # The least: the others may have waited for somebody else's bytes.
        return min(taken)
    finally:
        os.close(descriptor)
        path.unlink(missing_ok=True)


def _unescaped(text: str) -> str:
    """Return a path of the list of mounts, in which blanks are written as octal numbers."""
    return re.sub(r"\\(\d{3})", lambda found: chr(int(found[1], 8)), text)
