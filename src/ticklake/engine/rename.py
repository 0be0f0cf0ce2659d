"""Rename: everything of a dataset moves to another name, in one commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ticklake.catalog.changes import Change
from ticklake.core.compaction_plan import Rewrite, periods
from ticklake.core.dataset import Dataset
from ticklake.core.merge import Keying
from ticklake.core.segment import Segment
from ticklake.engine.append import write_file
from ticklake.engine.delete import leaving
from ticklake.engine.read import count_rows, read_chunks
from ticklake.engine.store import Store, retried
from ticklake.errors import BadInput

__all__ = ["rename"]


def rename(store: Store, old: Dataset, new: Dataset) -> int:
    """Write the rows of *old* under the name *new*, and drop *old* with the same commit; return how many rows moved.

    Raises
    ------
    BadInput
        If *new* exists, or cannot hold the rows of *old*.
    """
    # Files are written again, because their folders and their footers name their dataset.
    _refuse_other_rows(old, new)
    return retried(lambda: _attempt(store, old, new))


def _refuse_other_rows(old: Dataset, new: Dataset) -> None:
    if old == new:
        raise BadInput(f"{old} has that name: say another one")
    for dataset in (old, new):
        if dataset.variant is not None:
            raise BadInput(f"{dataset} is made of other rows, by the rule of its variant: it keeps its name")
    if old.kind != new.kind:
        raise BadInput(f"{old} holds {old.kind}, it cannot become {new}: a dataset keeps its kind")
    if old.timeframe != new.timeframe or old.anchor != new.anchor:
        raise BadInput(f"{old} cannot become {new}: its bars stay as long as they are; 'resample' makes others")


def _attempt(store: Store, old: Dataset, new: Dataset) -> int:
    if store.catalog.dataset(new) is not None:
        raise BadInput(f"the lake has {new}: drop it first, or save the rows of {old} to it")
    view = store.view(old)
    row, segments = view.row, view.segments
    if row is None:
        return 0
    count = count_rows(store, view)
    written: list[Segment] = []
    with store.swept_if_it_fails(written):
        rewrite = Rewrite(segments, tuple(periods(segments)))
        for period in rewrite.periods:
            chunks = read_chunks(store, view.of(segments, period.span))
            # A page that was requested before these rows, and is appended after the rename, must not replace them.
            observed_at = rewrite.observed_at
            segment = write_file(store, new, chunks, row.seq, row.keying, period.label, observed_at=observed_at)
            if segment is not None:
                written.append(segment)
    arriving = _arriving(store, old, new, row.keying, row.id_space, written, count)
    departing = replace(leaving(view, count), successor=new)
    store.commit("rename", departing, arriving)
    return count


def _arriving(
    store: Store, old: Dataset, new: Dataset, keying: Keying, id_space: str, written: Sequence[Segment], count: int
) -> Change:
    return Change(
        new,
        keying,
        id_space,
        add=tuple(written),
        coverage=store.catalog.coverage(old).pieces,
        new_rows=count,
    )
