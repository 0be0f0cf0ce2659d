"""When a lake was last backed up and verified: a small file for each beside the catalog, for those who watch over it.

They are not in the catalog: a note about a backup would make the catalog newer than the backup, and its witness would tell of a loss once
that is restored.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ticklake.storage.durable import replace_file

__all__ = ["last_done", "note_done"]

_LAST = "-last-"


def note_done(catalog: Path, what: str, at: int) -> None:
    """Note that something was done to the whole lake, like ``backup``; where that cannot be written, it is not noted."""
    with suppress(OSError):
        replace_file(catalog.with_name(f"{catalog.name}{_LAST}{what}"), str(at).encode())


def last_done(catalog: Path) -> dict[str, int]:
    """Return when each of these things was last done, in nanoseconds."""
    done: dict[str, int] = {}
    for path in catalog.parent.glob(f"{catalog.name}{_LAST}*"):
        # What is damaged, or being written, is as if it was not there.
        with suppress(OSError, ValueError):
            done[path.name.partition(_LAST)[2]] = int(path.read_text())
    return done
