"""The newest rows of a dataset, and where they are."""

from __future__ import annotations

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.span import ALL_TIME, Span
from ticklake.engine.engine import Engine
from ticklake.query.asof import pinned

__all__ = ["latest"]


def latest(engine: Engine, dataset: Dataset, count: int) -> tuple[pl.DataFrame, str]:
    """Return the newest rows, and ``inline`` if all of them are in the catalog itself, else ``files``."""
    # Pinned, because rows may move to files between the two reads.
    still = pinned(engine)
    rows = still.load(dataset, last=count)
    if not rows.height:
        return rows, "inline"
    first = int(rows["ts"].to_physical()[0])
    segments = still.store.view(dataset, Span(first, ALL_TIME.end), data=False).segments
    if any(segment.path for segment in segments):
        return rows, "files"
    return rows, "inline"
