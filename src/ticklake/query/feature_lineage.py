"""Where the values of feature sets came from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.kinds import PROVENANCE, TIME
from ticklake.core.provenance import Provenance
from ticklake.core.span import ALL_TIME, Span
from ticklake.engine.engine import Engine
from ticklake.query.asof import pinned
from ticklake.query.features import DERIVED

__all__ = ["MaterialisedSpan", "lineage"]

_LINEAGE: dict[str, Any] = {
    "dataset": pl.String(),
    "rows": pl.Int64(),
    "first": TIME,
    "last": TIME,
    "source": pl.String(),
    "code": pl.String(),
    "code_hash": pl.String(),
    "lake_versions": pl.List(pl.Int64()),
    "knowledge": pl.String(),
    "inputs": pl.List(pl.String()),
    "frame": pl.String(),
    "note": pl.String(),
}


@dataclass(frozen=True, slots=True)
class MaterialisedSpan:
    """What one run computed: from the first to the last instant, of a version of the lake."""

    first: int
    last: int
    lake_version: int


def lineage(
    engine: Engine,
    datasets: Iterable[Dataset],
    span: Span = ALL_TIME,
    runs_of: Callable[[Dataset], Sequence[MaterialisedSpan]] = lambda _dataset: (),
) -> pl.DataFrame:
    """Return where rows of features came from: a row for each dataset and origin, in order of time.

    *runs_of* returns what was computed of a dataset, and of which versions of the lake.
    """
    still = pinned(engine)
    origins = still.catalog.provenances()
    found: list[dict[str, Any]] = []
    for dataset in datasets:
        rows = still.load(dataset, span, columns=["ts"], provenance=True)
        counted = rows.group_by(PROVENANCE, maintain_order=True).agg(
            rows=pl.len().cast(pl.Int64), first=pl.col("ts").min(), last=pl.col("ts").max()
        )
        counted = counted.with_columns(pl.col("first", "last").to_physical())
        runs = runs_of(dataset)
        for row in counted.iter_rows(named=True):
            origin = origins[row.pop(PROVENANCE)]
            facts: dict[str, Any] = {"dataset": str(dataset), **row, **_facts_of(origin)}
            if origin.source == DERIVED:
                facts["lake_versions"] = _versions_in(runs, row)
            found.append(facts)
    times = dict.fromkeys(("first", "last"), pl.Int64())
    rows = pl.DataFrame(found, schema={**_LINEAGE, **times}).cast(dict.fromkeys(times, TIME))
    return rows.sort("dataset", "first", maintain_order=True)


def _facts_of(origin: Provenance) -> dict[str, Any]:
    """Return what an origin says of rows of features; users' rows have no note of a function."""
    note = _note_of(origin.note)
    facts = {name: note.get(name) for name in ("code_hash", "knowledge", "inputs", "frame")}
    return {"source": origin.source, "code": note.get("code") or origin.endpoint, "note": origin.note, **facts}


def _versions_in(runs: Iterable[MaterialisedSpan], row: Mapping[str, Any]) -> list[int]:
    """Return the versions of the lake that runs read which computed rows between two."""
    meeting = [run for run in runs if run.first <= row["last"] and row["first"] <= run.last]
    return sorted({run.lake_version for run in meeting})


def _note_of(text: str) -> dict[str, Any]:
    """Return what materialising has noted; nothing for rows that users wrote."""
    try:
        note = json.loads(text)
    except ValueError:
        return {}
    if not isinstance(note, dict):
        return {}
    return note
