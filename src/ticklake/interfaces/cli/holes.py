"""A summary of many holes, as ``gaps`` and ``repair`` print it: a line for each dataset and reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ticklake.core.span import hull_of
from ticklake.core.time import format_time
from ticklake.interfaces.cli.output import total_of

if TYPE_CHECKING:
    from ticklake.core.gaps import Gap

__all__ = ["COLUMNS", "NUMBERS", "summary_of"]

COLUMNS = ("dataset", "reason", "holes", "missing", "from", "to")
NUMBERS = ("holes", "missing")


def summary_of(holes: Iterable[tuple[str, Gap]]) -> list[tuple[str, ...]]:
    """Return a line for each dataset and reason, sorted: how many holes, their missing records, and their first and last time.

    Parameters
    ----------
    holes
        Each hole with the name of its dataset.
    """
    groups: dict[tuple[str, str], list[Gap]] = {}
    for dataset, gap in holes:
        groups.setdefault((dataset, str(gap.reason)), []).append(gap)
    return [(dataset, reason, *_cells(groups[dataset, reason])) for dataset, reason in sorted(groups)]


def _cells(gaps: Sequence[Gap]) -> tuple[str, ...]:
    missing = total_of([gap.missing for gap in gaps])
    start, end = hull_of(gap.span for gap in gaps)
    return f"{len(gaps):,}", missing, format_time(start), format_time(end)
