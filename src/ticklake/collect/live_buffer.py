"""Rows of live streams that wait for their commit: by kind, with the dataset of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from ticklake.core.batch import from_rows
from ticklake.core.dataset import Dataset

__all__ = ["DatasetRows", "LiveBuffer"]


@dataclass(slots=True)
class DatasetRows:
    """The rows of one dataset in the order they came: values in the order of the kind's columns, and the newest event's time."""

    dataset: Dataset
    space: str = ""
    rows: list[Sequence[Any]] = field(default_factory=list)

    def frame(self) -> pl.DataFrame:
        """Return the rows as a frame of the kind's types."""
        return from_rows(self.rows, self.dataset.spec)


@dataclass
class LiveBuffer:
    """Collects rows until they are taken for a commit."""

    count: int = 0
    _rows: dict[Dataset, DatasetRows] = field(default_factory=dict)

    def add(self, dataset: Dataset, values: Sequence[Any], space: str) -> None:
        """Add a row."""
        entry = self._rows.get(dataset)
        if entry is None:
            entry = self._rows[dataset] = DatasetRows(dataset, space)
        entry.rows.append(values)
        self.count += 1

    def take(self) -> Iterator[DatasetRows]:
        """Return all rows, and keep none."""
        rows, self._rows, self.count = self._rows, {}, 0
        return iter(rows.values())
