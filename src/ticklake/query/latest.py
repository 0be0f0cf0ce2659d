"""The newest rows of a dataset, and where they are."""

from __future__ import annotations

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.span import ALL_TIME, Span
from ticklake.engine.engine import Engine

__all__ = ["latest"]


def latest(engine: Engine, dataset: Dataset, count: int) -> tuple[pl.DataFrame, str]:
    """Return the newest rows, and ``inline`` if all of them are in the catalog itself, else ``files``."""
    version = engine.catalog.version()
    rows = engine.load(dataset, last=count, version=version)
    if not rows.height:
        return rows, "inline"
    first = int(rows["ts"].to_physical()[0])
    segments = engine.store.view(dataset, Span(first, ALL_TIME.end), version, data=False).segments
    if any(segment.path for segment in segments):
        return rows, "files"
    return rows, "inline"
