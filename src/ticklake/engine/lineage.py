"""Lineage: the origins of a dataset's rows, file by file."""

from __future__ import annotations

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.kinds import PROVENANCE, TIME
from ticklake.engine.store import Store

__all__ = ["origins_by_file"]

_COLUMNS = ("source", "endpoint", "tool", "id_space", "clock", "note")
_SCHEMA: dict[str, pl.DataType] = {
    "file": pl.String(),
    "rows": pl.Int64(),
    "first": TIME,
    "last": TIME,
    **dict.fromkeys(_COLUMNS, pl.String()),
}


def origins_by_file(store: Store, dataset: Dataset) -> pl.DataFrame:
    """Return a row for each file and origin of its rows, sorted by time; ``file`` is null for rows stored in the catalog.

    Raises
    ------
    CorruptSegment
        If a file is damaged.
    """
    origins = store.catalog.provenances()
    parts: list[pl.DataFrame] = []
    for segment in store.view(dataset).segments:
        stored = store.scan(segment, dataset.spec, None, ["ts", PROVENANCE])
        counts = stored.group_by(PROVENANCE).agg(
            rows=pl.len().cast(pl.Int64), first=pl.col("ts").min(), last=pl.col("ts").max()
        )
        parts.append(counts.with_columns(file=pl.lit(segment.path, pl.String)).collect())
    if not parts:
        return pl.DataFrame(schema=_SCHEMA)
    names = pl.DataFrame(
        [{PROVENANCE: number, **origin.to_dict()} for number, origin in origins.items()],
        schema={PROVENANCE: pl.Int32(), **dict.fromkeys(_COLUMNS, pl.String())},
    )
    named = pl.concat(parts).join(names, on=PROVENANCE, how="left")
    return named.select(pl.col(name).cast(dtype) for name, dtype in _SCHEMA.items()).sort(
        "first", "file", "source", "endpoint"
    )
