"""Which rows were observed after others, whatever the order of their commits.

A page that was asked for early and is committed late (its process was stopped, or slow) must not replace what was
observed meanwhile.
"""

from __future__ import annotations

import polars as pl

from ticklake.core.kinds import Kind
from ticklake.core.merge import Keying, is_in, key_of
from ticklake.core.segment import Segment
from ticklake.engine.read import read_rows
from ticklake.engine.store import DatasetView, Store
from ticklake.errors import CorruptSegment, MissingSegment

__all__ = ["observed_after", "split_late"]


def observed_after(store: Store, live: DatasetView, observed_at: int, now: int) -> pl.DataFrame:
    """Return the rows of a view that were observed after *observed_at*.

    A rewritten segment (compacted, cut) has rows of several observations; the segments that it was made of tell them
    apart until vacuum deletes them. Observations after *now* come from a clock that was ahead: they are ignored, or nothing
    could correct them until that time.
    """
    rewritten = [segment for segment in live.segments if _is_between(segment, observed_at, now)]
    if not rewritten:
        return live.kind.empty()
    newer = store.catalog.observed_after(live.dataset, live.span, observed_at, now)
    try:
        return read_rows(store, live.of(newer))
    # The originals are damaged or gone: then all rows of a rewritten segment count as newer (docs/adr/0021).
    except (CorruptSegment, MissingSegment):
        return read_rows(store, live.of(rewritten))


def split_late(
    batch: pl.DataFrame, newer: pl.DataFrame, kind: Kind, keying: Keying
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split a batch into the rows of which *newer* holds a later observation, and all others."""
    if not newer.height:
        return batch.clear(), batch
    key = list(key_of(kind, keying))
    # The time of a trade may come back with another precision, its id does not.
    if keying == "id":
        key = ["id"]
    late = is_in(batch, newer.select(key))
    return batch.filter(late), batch.filter(~late)


def _is_between(segment: Segment, observed_at: int, now: int) -> bool:
    return segment.observed_at is not None and observed_at < segment.observed_at <= now
