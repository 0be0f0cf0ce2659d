"""What became of every file, and how far the work is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from ticklake.core.dataset import Dataset

__all__ = ["FileReport", "FileState", "Progress", "Report", "Watch", "Written"]


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


@dataclass(frozen=True, slots=True)
class FileReport:
    """One file: its path below the root, the dataset, and how many of its rows were new, changed, already there, refused.

    ``note`` says why it was refused or failed, or what of it could not be represented.
    """

    path: str
    state: FileState
    dataset: str = ""
    rows: int = 0
    new: int = 0
    changed: int = 0
    duplicate: int = 0
    quarantined: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What an import or an export did, file by file."""

    layout: str
    root: str
    files: tuple[FileReport, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether every file and every row of it went through."""
        return not any(file.state in {FileState.REFUSED, FileState.FAILED} or file.quarantined for file in self.files)

    @property
    def told(self) -> str:
        """What it did, in words."""
        counts, files = self.counts, len(self.files)
        bad = counts.get(FileState.REFUSED, 0) + counts.get(FileState.FAILED, 0)
        told = f"{counts['new']:,} new, {counts['changed']:,} changed, {counts['duplicate']:,} already there"
        return (
            f"{told}, {counts['quarantined']:,} refused; {bad:,} of {files:,} files were refused or could not be read"
        )

    @property
    def counts(self) -> dict[str, int]:
        """How many files are in each state, and the sums of their rows."""
        states = Counter(str(file.state) for file in self.files)
        names = ("rows", "new", "changed", "duplicate", "quarantined")
        return {**states, **{name: sum(getattr(file, name) for file in self.files) for name in names}}


@dataclass(frozen=True, slots=True)
class Written:
    """A file that an export wrote: where, of what, its first and last time (inclusive)."""

    path: str
    dataset: Dataset
    first: int
    last: int


@dataclass
class Progress:
    """How far an import or export is: ``counts["received"]`` rows so far, ``reached`` in time for each dataset."""

    steps: int = 1
    finished: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    reached: dict[str, int] = field(default_factory=dict)

    @property
    def done(self) -> float:
        """The share of the steps that is done, 0 to 1."""
        return self.finished / max(self.steps, 1)


Watch = Callable[[Progress], None]
"""Called after every piece of work; what it raises ends the work."""
