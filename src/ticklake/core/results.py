"""Results: what work on a lake brought, as values that Python, the shell and HTTP share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ticklake.core.dataset import Dataset
from ticklake.core.display import Displayed
from ticklake.core.segment import Segment
from ticklake.core.span import Span, normalise

__all__ = ["DatasetChange", "Receipt"]

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
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.reasons.items())
        names = ("received", "new", "changed", "duplicate", "quarantined")
        counts = {name: getattr(self, name) for name in names}
        return {**counts, "reasons": reasons, "version": str(self.version)}

    def __add__(self, other: Receipt) -> Receipt:
        return Receipt(
            self.received + other.received,
            self.new + other.new,
            self.changed + other.changed,
            self.duplicate + other.duplicate,
            self.quarantined + other.quarantined,
            max(self.version, other.version),
            dict(Counter(self.reasons) + Counter(other.reasons)),
        )


@dataclass(frozen=True, slots=True)
class DatasetChange:
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
