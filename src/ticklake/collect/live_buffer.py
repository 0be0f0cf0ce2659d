"""Rows of live streams that wait for their commit: by kind, with the dataset of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import polars as pl

from ticklake.core.batch import from_rows
from ticklake.core.dataset import Dataset

__all__ = ["DatasetRows", "frames_of"]


@dataclass(slots=True)
class DatasetRows:
    """The rows of one dataset whose ids belong to one numbering, in the order they came: values in the order of the kind's columns."""

    dataset: Dataset
    space: str = ""
    rows: list[Sequence[Any]] = field(default_factory=list)
    noted: int = 0
    """How many of them their stream has noted."""


def frames_of(batches: Sequence[DatasetRows]) -> list[pl.DataFrame]:
    """Return the rows of each batch as a frame of its kind's types; all batches of one kind are read together."""
    by_kind: dict[str, list[int]] = {}
    for place, batch in enumerate(batches):
        by_kind.setdefault(batch.dataset.kind, []).append(place)
    frames: dict[int, pl.DataFrame] = {}
    for places in by_kind.values():
        kind = batches[places[0]].dataset.spec
        together = from_rows(list(chain.from_iterable(batches[place].rows for place in places)), kind)
        start = 0
        for place in places:
            frames[place] = together.slice(start, len(batches[place].rows))
            start += len(batches[place].rows)
    return [frames[place] for place in range(len(batches))]
