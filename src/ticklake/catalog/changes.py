"""What one commit does to one dataset, as a value."""

from __future__ import annotations

from dataclasses import dataclass

from ticklake.core.append_log import Arrival
from ticklake.core.coverage import Covered
from ticklake.core.dataset import Dataset
from ticklake.core.merge import Keying
from ticklake.core.segment import Segment
from ticklake.core.span import Span

__all__ = ["Change", "DatasetRow", "Quarantined", "Revision", "keying_of"]


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A refused row: its time if it has one, why it was refused, and the row as JSON text."""

    ts: int | None
    reason: str
    row: str


@dataclass(frozen=True, slots=True)
class Revision:
    """A changed row: its time, and the old and new row as JSON text."""

    ts: int
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Change:
    """One dataset's part of a commit.

    ``read_version`` and ``read_span`` say what the change was computed from: if segments of that span changed since, the
    commit is refused with :class:`~ticklake.errors.Conflict`. ``new_rows`` is by how many rows the dataset grows (or
    shrinks). ``forget`` are spans whose coverage is deleted. ``arrival`` is the batch of an append. With ``drop`` the dataset
    itself is removed, after everything else; ``successor`` is the dataset of the same commit to which its notes and history
    move before that.
    """

    dataset: Dataset
    keying: Keying = "natural"
    id_space: str = ""
    add: tuple[Segment, ...] = ()
    remove: tuple[Segment, ...] = ()
    coverage: tuple[Covered, ...] = ()
    forget: tuple[Span, ...] = ()
    quarantine: tuple[Quarantined, ...] = ()
    revisions: tuple[Revision, ...] = ()
    new_rows: int = 0
    read_version: int | None = None
    read_span: Span | None = None
    arrival: Arrival | None = None
    drop: bool = False
    successor: Dataset | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to commit."""
        parts = (self.add, self.remove, self.coverage, self.forget, self.quarantine, self.revisions)
        return not self.drop and not any(parts)


@dataclass(frozen=True, slots=True)
class DatasetRow:
    """A dataset's row in the catalog; times are nanoseconds, ``bytes`` counts live segments.

    ``changed_in`` is the version that last changed its segments.
    """

    id: int
    dataset: Dataset
    keying: Keying
    id_space: str
    seq: int
    rows: int
    bytes: int
    min_ts: int | None
    max_ts: int | None
    updated_at: int = 0
    changed_in: int = 0


def keying_of(row: DatasetRow | None) -> Keying:
    """Return the keying of a dataset: its natural key if the lake does not have it."""
    if row is None:
        return "natural"
    return row.keying
