"""What this process has committed, for metrics."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from ticklake.core.results import Receipt

__all__ = ["IngestCounts"]

RESULTS = ("new", "changed", "duplicate", "quarantined")
"""What becomes of a row."""


class IngestCounts:
    """Counts commits, and rows by what became of them, since the lake was opened; any thread may count."""

    def __init__(self) -> None:
        # Two threads that add at once would lose what one of them adds.
        self._lock = threading.Lock()
        self._commits = 0
        self._rows = dict.fromkeys(RESULTS, 0)

    def committed(self) -> None:
        """Count a commit."""
        with self._lock:
            self._commits += 1

    def appended(self, receipts: Iterable[Receipt]) -> None:
        """Count the rows of batches."""
        with self._lock:
            for receipt in receipts:
                for result in RESULTS:
                    self._rows[result] += getattr(receipt, result)

    def now(self) -> tuple[int, dict[str, int]]:
        """Return the number of commits, and of rows by what became of them."""
        with self._lock:
            return self._commits, dict(self._rows)
