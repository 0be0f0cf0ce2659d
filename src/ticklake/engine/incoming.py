"""What comes to be appended to a dataset, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from ticklake.catalog.changes import Change, DatasetRow
from ticklake.core.coverage import Covered
from ticklake.core.dataset import Dataset
from ticklake.core.merge import ID_WINDOW, Keying
from ticklake.core.provenance import Provenance
from ticklake.core.results import Receipt
from ticklake.core.span import ALL_TIME, Span
from ticklake.engine.store import HighestId

__all__ = ["Incoming", "Outcome", "is_known", "meets", "next_seq", "observation_time", "read_span", "reach_of"]


@dataclass(frozen=True, slots=True)
class Incoming:
    """Canonical rows to append to a dataset, their provenance and coverage.

    ``observed_at`` is when a source was asked for them, by the lake's clock; ``None`` for rows that are the newest.
    """

    dataset: Dataset
    frame: pl.DataFrame
    origin: Provenance
    coverage: tuple[Covered, ...] = ()
    observed_at: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an append changes and reports, and the highest id that its dataset has afterwards, if that is known."""

    change: Change
    receipt: Receipt
    highest_id: HighestId | None = None


def reach_of(first: int, last: int, keying: Keying) -> Span:
    """Return the span in which rows from the time *first* to *last* may meet stored ones."""
    reach = Span(first, last + 1)
    if keying != "id":
        return reach
    # A trade keeps its id, but its time may come back with another precision.
    return reach.widen(ID_WINDOW, ID_WINDOW)


def meets(batch: Incoming, reach: Span, lowest: int | None, head: DatasetRow | None, known: HighestId | None) -> bool:
    """Whether a dataset may have rows inside *reach* that *batch* has to be compared with.

    Parameters
    ----------
    lowest
        The lowest id of the batch, if all of its ids are whole numbers.
    known
        What is known of the highest id of the dataset.
    """
    if head is None or head.min_ts is None or head.max_ts is None:
        return False
    if head.max_ts < reach.start or head.min_ts >= reach.end:
        return False
    # Rows of an early answer have to be compared with those that were observed after it.
    if batch.observed_at is not None or lowest is None or known is None:
        return True
    return not is_known(known, head, reach.start) or lowest <= known.highest


def is_known(known: HighestId, head: DatasetRow, since: int) -> bool:
    """Whether the highest id of the rows from *since* on is known: nobody has changed the dataset since it was noted."""
    return known.version == head.changed_in and known.since <= since


def read_span(reach: Span | None, highest_id: HighestId | None) -> Span | None:
    """Return the span of which no row may change before the commit."""
    if highest_id is None:
        return reach
    # The highest id is that of all rows from there on.
    return Span(highest_id.since, ALL_TIME.end)


def next_seq(head: DatasetRow | None) -> int:
    """Return the number of the next segment's content."""
    if head is None:
        return 1
    return head.seq + 1


def observation_time(incoming: Incoming, now: int) -> int:
    """Return when the rows were observed."""
    if incoming.observed_at is None:
        return now
    # Not later than now, or newer rows could not replace them until that time.
    return min(incoming.observed_at, now)
