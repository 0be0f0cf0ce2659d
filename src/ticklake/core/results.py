"""Results: what work on a lake brought, as values that Python, the shell and HTTP share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ticklake.core.dataset import Dataset
from ticklake.core.display import Displayed, counts_text, moment
from ticklake.core.segment import Segment
from ticklake.core.span import Span, normalise

__all__ = [
    "Backup",
    "Cleaned",
    "Cleanup",
    "Compaction",
    "DatasetChange",
    "Deleted",
    "History",
    "Mended",
    "Problem",
    "Rebuilt",
    "Receipt",
    "Vacuumed",
]

_SAME_ROWS = frozenset({"compact"})
"""Operations after which a dataset has the rows that it had before, in other segments."""


@dataclass(frozen=True, slots=True, repr=False)
class Receipt(Displayed):
    """What became of the rows of an append: ``received`` is the sum of the other four.

    ``changed`` rows replaced others (see the revision log); ``version`` is the commit's number; ``reasons`` says why rows
    were quarantined, and how many for each reason.
    """

    received: int = 0
    new: int = 0
    changed: int = 0
    duplicate: int = 0
    quarantined: int = 0
    version: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict, compare=False)

    def _summary(self) -> dict[str, Any]:
        return {
            "received": self.received,
            "new": self.new,
            "changed": self.changed,
            "duplicate": self.duplicate,
            "quarantined": self.quarantined,
            "reasons": counts_text(self.reasons),
            # As text: a number of a commit is not written with commas.
            "version": str(self.version),
        }

    def refusal(self, dataset: Dataset) -> str:
        """Say how many rows of a dataset were refused, why, and where they are."""
        return (
            f"{dataset}: {self.quarantined:,} of {self.received:,} rows were refused ({counts_text(self.reasons)}): "
            f"lake.quarantine('{dataset}') has them"
        )

    def __add__(self, other: Receipt) -> Receipt:
        # The version is that of the later commit; the rest adds up.
        return Receipt(
            self.received + other.received,
            self.new + other.new,
            self.changed + other.changed,
            self.duplicate + other.duplicate,
            self.quarantined + other.quarantined,
            max(self.version, other.version),
            dict(Counter(self.reasons) + Counter(other.reasons)),
        )


@dataclass(frozen=True, slots=True, repr=False)
class DatasetChange(Displayed):
    """What one version did to the segments of one dataset.

    ``committed_at`` is nanoseconds UTC by the clock of the writer. Segments come without the bytes of inline ones. A dataset that
    was dropped or renamed has the name it had before.
    """

    version: int
    committed_at: int
    operation: str
    dataset: Dataset
    added: tuple[Segment, ...] = ()
    removed: tuple[Segment, ...] = ()

    @property
    def spans(self) -> list[Span]:
        """The spans in which rows may have changed: sorted, disjoint, half-open; none if only the files are others."""
        if self.operation in _SAME_ROWS:
            return []
        return normalise(segment.span for segment in (*self.added, *self.removed))


@dataclass(frozen=True, slots=True, repr=False)
class Problem(Displayed):
    """Something that is not as it should be: in which dataset and segment, and what."""

    dataset: str
    segment: str
    problem: str


@dataclass(frozen=True, slots=True, repr=False)
class Compaction(Displayed):
    """What a compaction did to one dataset."""

    dataset: str
    segments_before: int
    segments_after: int
    rows: int
    bytes_before: int
    bytes_after: int


@dataclass(frozen=True, slots=True, repr=False)
class Vacuumed(Displayed):
    """What vacuum removed: replaced segments, files nobody names, and their bytes."""

    segments: int
    garbage: int
    bytes: int


@dataclass(frozen=True, slots=True, repr=False)
class Deleted(Displayed):
    """What a deletion took: rows, the bytes of their segments, segments removed whole, and segments cut in two."""

    rows: int = 0
    bytes: int = 0
    whole: int = 0
    cut: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class History(Displayed):
    """How many refused rows and how many revisions of a dataset."""

    quarantined: int = 0
    revisions: int = 0

    @property
    def rows(self) -> int:
        """Both together."""
        return self.quarantined + self.revisions


@dataclass(frozen=True, slots=True, repr=False)
class Cleaned(Displayed):
    """What a cleanup took from one dataset: what is older than ``before`` (nanoseconds UTC).

    ``history`` are refused and changed rows of that time, if they were to go too.
    """

    dataset: Dataset
    before: int
    deleted: Deleted
    history: History

    def _summary(self) -> dict[str, Any]:
        return {
            "dataset": str(self.dataset),
            "before": moment(self.before),
            "rows": self.deleted.rows,
            "bytes": self.deleted.bytes,
            "quarantined": self.history.quarantined,
            "revisions": self.history.revisions,
        }


@dataclass(frozen=True, slots=True, repr=False)
class Cleanup(Displayed):
    """What a cleanup took, dataset by dataset, and how many lines of the logs of runs.

    ``bytes`` are those of segments that are no longer live: older versions hold them until vacuum removes them.
    """

    datasets: tuple[Cleaned, ...] = ()
    log_lines: int = 0
    dry_run: bool = False

    def _summary(self) -> dict[str, Any]:
        return {
            "datasets": len(self.datasets),
            "rows": self.rows,
            "bytes": self.bytes,
            "log_lines": self.log_lines,
            "dry_run": self.dry_run,
        }

    @property
    def rows(self) -> int:
        """How many rows went."""
        return sum(cleaned.deleted.rows for cleaned in self.datasets)

    @property
    def bytes(self) -> int:
        """How many bytes of segments went; in a dry run, an estimate where a segment would be cut."""
        return sum(cleaned.deleted.bytes for cleaned in self.datasets)


@dataclass(frozen=True, slots=True, repr=False)
class Backup(Displayed):
    """What a backup did: files copied, files that were there already, and bytes copied."""

    folder: str
    copied: int
    kept: int
    bytes: int


@dataclass(frozen=True, slots=True, repr=False)
class Rebuilt(Displayed):
    """What a rebuilt catalog holds: datasets with rows, their files and rows, and inline segments.

    ``unreadable`` are files that are damaged or missing, ``lost`` says what the old catalog held that could not be
    carried over, ``kept`` is where the old catalog is, if there was one and there was space for it, and ``uncommitted``
    are files that killed writers left: vacuum removes them.
    """

    datasets: int
    files: int
    rows: int
    unreadable: tuple[str, ...] = ()
    inline: int = 0
    lost: tuple[str, ...] = ()
    kept: str | None = None
    uncommitted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Mended(Displayed):
    """What became of the damaged segments of a dataset.

    ``restored`` were taken from a backup; of ``replaced`` ones, ``salvaged`` rows could still be read. ``lost`` are
    the spans whose rows are gone: their coverage says so, and a backfill with ``retry`` asks for them again.
    """

    dataset: Dataset
    restored: int = 0
    replaced: int = 0
    salvaged: int = 0
    lost: tuple[Span, ...] = ()
