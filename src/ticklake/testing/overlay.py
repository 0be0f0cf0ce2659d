"""A lake whose rows are replaced in memory: the same in everything else, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from ticklake.catalog.changes import DatasetRow
from ticklake.catalog.pinned import PinnedCatalog
from ticklake.core.coverage import Coverage
from ticklake.core.dataset import Dataset
from ticklake.core.segment import Segment
from ticklake.core.span import ALL_TIME, Span
from ticklake.engine.engine import Engine
from ticklake.engine.recent import RecentRows
from ticklake.lake.view import View

__all__ = ["overlaid"]


def overlaid(
    engine: Engine, rows: Mapping[Dataset, pl.DataFrame], now: Callable[[], int], known_until: int | None = None
) -> View:
    """Return a view of the newest version in which these datasets have *rows*, with all stored columns and sorted.

    Parameters
    ----------
    now
        Its clock.
    known_until
        Coverage after it is left out.
    """
    catalog = _Catalog(engine.catalog, engine.catalog.version(), rows, known_until)
    store = engine.store
    memory = _Memory({str(dataset): frame for dataset, frame in rows.items()})
    other = Engine(
        catalog,
        engine.objects,
        now,
        store.tool,
        engine.sessions,
        kinds=store.kinds,
        open_folder=store.open_folder,
        recent=memory,
        lags=engine.lags,
    )
    return View(other, None)


class _Memory(RecentRows):
    """Has the rows of the segments that stand for replaced rows."""

    def __init__(self, rows: Mapping[str, pl.DataFrame]) -> None:
        super().__init__()
        self._replaced = rows

    def get(self, segment: str) -> pl.DataFrame | None:
        """Return the rows of a segment, if they are replaced ones."""
        return self._replaced.get(segment)


class _Catalog(PinnedCatalog):
    """A catalog whose datasets have one segment in memory each, if their rows are replaced."""

    def __init__(
        self, catalog: Any, version: int, rows: Mapping[Dataset, pl.DataFrame], known_until: int | None
    ) -> None:
        super().__init__(catalog, version)
        self._rows = rows
        self._known_until = known_until
        self._replaced: dict[Dataset, DatasetRow] = {}

    def snapshot(
        self, dataset: Dataset, span: Span = ALL_TIME, *, data: bool = True, is_summarised: bool = True
    ) -> tuple[int, DatasetRow | None, list[Segment]]:
        """Return the version, the dataset's row, and its segments that meet *span*."""
        if dataset not in self._rows:
            return super().snapshot(dataset, span, data=data, is_summarised=is_summarised)
        segment = self._segment(dataset)
        met = [segment] if segment is not None and segment.span.overlaps(span) else []
        return self.version(), self._row(dataset), met

    def newest(self, dataset: Dataset, span: Span, limit: int) -> list[tuple[int, int]]:
        """Return first time and rows of the segments inside *span* that end last."""
        if dataset not in self._rows:
            return super().newest(dataset, span, limit)
        segment = self._segment(dataset)
        if segment is None or not segment.span.overlaps(span):
            return []
        return [(segment.min_ts, segment.rows)]

    def heads(self, datasets: Sequence[Dataset]) -> tuple[int, dict[Dataset, DatasetRow]]:
        """Return the version and the rows of those datasets that there are."""
        _, heads = super().heads([dataset for dataset in datasets if dataset not in self._rows])
        for dataset in datasets:
            if dataset in self._rows:
                heads[dataset] = self._row(dataset)
        return self.version(), heads

    def datasets(self) -> list[DatasetRow]:
        """Return the datasets, sorted by name."""
        return [self._row(row.dataset) if row.dataset in self._rows else row for row in super().datasets()]

    def coverage(self, dataset: Dataset) -> Coverage:
        """Return the coverage of a dataset, as far as it is known."""
        coverage = super().coverage(dataset)
        if self._known_until is None:
            return coverage
        return coverage.within(Span(ALL_TIME.start, self._known_until))

    def _row(self, dataset: Dataset) -> DatasetRow:
        if dataset not in self._replaced:
            (row,) = [row for row in super().datasets() if row.dataset == dataset]
            frame = self._rows[dataset]
            ts = frame["ts"].to_physical()
            bounds = (int(ts[0]), int(ts[-1])) if frame.height else (None, None)
            self._replaced[dataset] = replace(row, rows=frame.height, min_ts=bounds[0], max_ts=bounds[1])
        return self._replaced[dataset]

    def _segment(self, dataset: Dataset) -> Segment | None:
        row = self._row(dataset)
        if row.min_ts is None or row.max_ts is None:
            return None
        return Segment(str(dataset), 1, row.rows, row.min_ts, row.max_ts, 0, "")
