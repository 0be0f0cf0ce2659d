"""Which process holds the write lock of a SQLite catalog, if the system shows it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

__all__ = ["write_lock_holder"]

_WRITE_LOCK = "120"
"""SQLite's write lock in WAL mode is this byte of the ``-shm`` file."""
_LOCKS = Path("/proc/locks")


def write_lock_holder(catalog: Path) -> str:
    """Return the process that holds the write lock, and whether it is stopped; empty if that is not known."""
    # The file itself is not opened: closing it would release all locks that this process has on it.
    with suppress(OSError, ValueError, IndexError):
        inode = str(catalog.with_name(f"{catalog.name}-shm").stat().st_ino)
        for line in _LOCKS.read_text().splitlines():
            words = line.split()
            _number, _kind, _mode, access, pid, file, first, last = words[:8]
            if access == "WRITE" and file.rpartition(":")[2] == inode and int(first) <= int(_WRITE_LOCK) <= int(last):
                return f"process {pid}{_state(pid)}"
    return ""


def _state(pid: str) -> str:
    with suppress(OSError, IndexError):
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
            return f", which is stopped ('kill -CONT {pid}' lets it go on)"
    return ""
