"""Progress of long work: backfills, imports, exports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ticklake.core.dataset import Dataset
from ticklake.core.results import Receipt
from ticklake.core.span import Span, hull_of, total_length
from ticklake.errors import TicklakeError

__all__ = ["Progress", "Watch"]

_STEPS = "steps"
"""The name used instead of a dataset if steps are counted and not time."""


@dataclass
class Progress:
    """The progress of work: counts so far, and the finished share.

    ``names`` are the datasets, ``again`` those that failed for a reason that may pass. ``failures`` says why datasets
    were given up, ``skipped`` why windows of a dataset were left out. ``planned`` and ``finished`` are nanoseconds of
    each dataset; ``reached`` is the time up to which each was fetched.
    """

    datasets: int = 1
    planned: dict[str, int] = field(default_factory=dict)
    finished: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    reached: dict[str, int] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    again: set[str] = field(default_factory=set)
    names: Sequence[str] = ()

    @classmethod
    def of_steps(cls, count: int) -> Progress:
        """Return the progress of work that has *count* equal steps, like files."""
        return cls(planned={_STEPS: count})

    def step(self) -> None:
        """Note that a step is done."""
        self.finished[_STEPS] += 1

    @property
    def done(self) -> float:
        """The finished share of the planned time, 0 to 1."""
        done = 0.0
        for name, planned in self.planned.items():
            if planned:
                done += min(self.finished[name] / planned, 1.0)
            else:
                # Nothing had to be fetched of it.
                done += 1.0
        return done / max(self.datasets, 1)

    def failed(self, name: str, error: TicklakeError) -> None:
        """Note why a dataset was given up."""
        self.failures[name] = str(error)
        if error.retriable:
            self.again.add(name)

    def page(self, dataset: Dataset, spans: list[Span], receipt: Receipt, requests: int) -> None:
        """Count one committed page."""
        for name in ("received", "new", "changed", "duplicate", "quarantined"):
            self.counts[name] += getattr(receipt, name)
        self.counts["pages"] += 1
        self.counts["requests"] += requests
        self.finished[str(dataset)] += total_length(spans)
        if spans:
            self.reached[str(dataset)] = hull_of(spans).end

    def to_dict(self) -> dict[str, Any]:
        """Return the counts and failures as a plain mapping."""
        return {
            **self.counts,
            "failures": dict(self.failures),
            "skipped": dict(self.skipped),
            "retriable": bool(self.again),
        }


Watch = Callable[[Progress], None]
"""Called before the first page and after every committed one; must return at once.

If it raises, the work ends. :class:`~ticklake.errors.Cancelled` cancels it: what was committed stays.
"""
