"""What became of files: of those that others wrote, of other programs' lakes, and of exports. One shape for all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter
from typing import Any

from ticklake.core.display import Displayed

__all__ = ["FileReport", "FileState", "MigratedFile", "Report"]

_COUNTS = ("rows", "new", "changed", "duplicate", "quarantined")


class FileState(StrEnum):
    """What became of a file.

    ``planned``: nothing was done, it was a dry run. ``unchanged``: it already holds exactly that. ``refused``: it
    cannot be represented, or is not ours to replace. ``failed``: it could not be read.
    """

    PLANNED = "planned"
    IMPORTED = "imported"
    WRITTEN = "written"
    UNCHANGED = "unchanged"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, repr=False)
class FileReport(Displayed):
    """One file, or one dataset in it.

    ``path`` is below the root where a whole lake is read or written. ``rows`` is the sum of ``new``, ``changed``, ``duplicate``
    and ``quarantined`` of what was brought in, except in a dry run, which knows only the last of these. ``first`` and ``last``
    are times of rows. ``problems`` say what is odd about the file, or what of it could not be represented; of a refused file
    the last one says why. How a foreign file was read is said by ``format``, ``preset`` and ``mapping``. Of recorded messages
    and answers ``channels`` says what became of all in the file; see :class:`~ticklake.files.message_counts.Channel`;
    ``proofs`` say what their numbers and checksums proved, and where a message is missing.
    """

    path: str
    state: FileState
    dataset: str = ""
    rows: int = 0
    new: int = 0
    changed: int = 0
    duplicate: int = 0
    quarantined: int = 0
    first: str | None = None
    last: str | None = None
    problems: tuple[str, ...] = ()
    format: str = ""
    preset: str = ""
    mapping: Mapping[str, Any] | None = None
    channels: tuple[Mapping[str, Any], ...] = ()
    proofs: tuple[str, ...] = ()

    @property
    def refused(self) -> bool:
        """Whether nothing of it went through."""
        return self.state in (FileState.REFUSED, FileState.FAILED)

    @property
    def note(self) -> str:
        """Its problems in one line."""
        return "; ".join(self.problems)

    def _summary(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "state": self.state.value,
            "dataset": self.dataset,
            "rows": self.rows,
            "new": self.new,
            "changed": self.changed,
            "duplicate": self.duplicate,
            "quarantined": self.quarantined,
            "note": self.note,
        }


@dataclass(frozen=True, slots=True, repr=False)
class Report(Displayed):
    """What an import or an export of a whole lake did, file by file."""

    layout: str
    root: str
    files: tuple[FileReport, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether every file and every row of it went through."""
        return not any(file.refused or file.quarantined for file in self.files)

    @property
    def told(self) -> str:
        """What it did, in words."""
        counts = self.counts
        bad = counts.get(FileState.REFUSED, 0) + counts.get(FileState.FAILED, 0)
        rows = f"{counts['new']:,} new, {counts['changed']:,} changed, {counts['duplicate']:,} already there"
        refused = f"{counts['quarantined']:,} refused"
        return f"{rows}, {refused}; {bad:,} of {len(self.files):,} files were refused or could not be read"

    @property
    def counts(self) -> dict[str, int]:
        """How many files are in each state, and the sums of their rows."""
        counts: dict[str, int] = dict(Counter(str(file.state) for file in self.files))
        for name in _COUNTS:
            counts[name] = sum(map(attrgetter(name), self.files))
        return counts

    def _summary(self) -> dict[str, Any]:
        return {"layout": self.layout, "root": self.root, "files": len(self.files), **self.counts}


@dataclass(frozen=True, slots=True, repr=False)
class MigratedFile(Displayed):
    """One file: its path below the root, its columns before and after.

    ``needed`` is whether it was of version 2, ``rescaled`` whether times in seconds were among its rows, ``migrated``
    whether it was replaced; ``error`` says why a file that is none of dccd's, or cannot be read, was left as it is.
    """

    path: str
    rows: int
    from_schema: tuple[str, ...] = ()
    to_schema: tuple[str, ...] = ()
    rescaled: bool = False
    migrated: bool = False
    needed: bool = False
    error: str = ""
