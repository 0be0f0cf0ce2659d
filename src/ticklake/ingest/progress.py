"""What a backfill tells those who watch it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ticklake.core.dataset import Dataset
from ticklake.core.span import Span
from ticklake.engine.appending import Receipt

__all__ = ["Progress", "Watch"]


@dataclass
class Progress:
    """How far a backfill is: counts so far, and the share that is done.

    ``reached`` is how far in time each dataset is, in nanoseconds.
    """

    total: int = 0
    finished: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    reached: dict[str, int] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def done(self) -> float:
        """The share of the asked time that is done, 0 to 1."""
        return min(self.finished / self.total, 1.0) if self.total else 0.0

    def page(self, dataset: Dataset, spans: list[Span], receipt: Receipt, requests: int) -> None:
        """Count one committed page."""
        for name in ("received", "new", "changed", "duplicate", "quarantined"):
            self.counts[name] += getattr(receipt, name)
        self.counts["pages"] += 1
        self.counts["requests"] += requests
        self.finished += sum(span.length for span in spans)
        if spans:
            self.reached[str(dataset)] = max(span.end for span in spans)

    def to_dict(self) -> dict[str, Any]:
        """Return the counts and failures as a plain mapping."""
        return {**self.counts, "failures": dict(self.failures)}


Watch = Callable[[Progress], None]
"""Called after every committed page; must return at once."""
