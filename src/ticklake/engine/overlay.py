"""Overlays: an engine that reads a version of a lake with other rows, which are in memory. Nothing of them is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import polars as pl

from ticklake.catalog.catalog import Catalog
from ticklake.catalog.changes import DatasetRow
from ticklake.catalog.pinned import PinnedCatalog
from ticklake.core.coverage import Coverage
from ticklake.core.dataset import Dataset
from ticklake.core.segment import Segment
from ticklake.core.span import ALL_TIME, Span
from ticklake.engine.engine import Engine
from ticklake.engine.recent import RecentRows

__all__ = ["overlaid"]

How = Literal["replace", "add"]


def overlaid(
    engine: Engine,
    rows: Mapping[Dataset, pl.DataFrame],
    now: Callable[[], int],
    how: How = "replace",
    known_until: int | None = None,
) -> Engine:
    """Return an engine that reads the newest version with these rows in place of those of their datasets, or added to them.

    Parameters
    ----------
    rows
        With all stored columns, and sorted.
    now
        Its clock.
    known_until
        Coverage after it is left out.
    """
    catalog = _Catalog(engine.catalog, rows, how, known_until)
    store = engine.store
    return Engine(
        catalog,
        engine.objects,
        now,
        store.tool,
        engine.sessions,
        kinds=store.kinds,
        open_folder=store.open_folder,
        recent=_Memory({_name(dataset): frame for dataset, frame in rows.items()}, store.recent),
        lags=engine.lags,
    )


def _name(dataset: Dataset) -> str:
    """Return the id of the segment that stands for rows in memory: it is none that a segment of a lake can have."""
    return f"memory:{dataset}"


class _Memory(RecentRows):
    """Has the rows of the segments that stand for rows in memory, and those of the lake."""

    def __init__(self, rows: Mapping[str, pl.DataFrame], recent: RecentRows) -> None:
        super().__init__()
        self._rows = rows
        self._recent = recent

    def get(self, segment: str) -> pl.DataFrame | None:
        """Return the rows of a segment, if they are in memory."""
        rows = self._rows.get(segment)
        if rows is None:
            rows = self._recent.get(segment)
        return rows


class _Catalog(PinnedCatalog):
    """A catalog some of whose datasets have a segment in memory: instead of their own, or after all of them."""

    def __init__(
        self, catalog: Catalog, rows: Mapping[Dataset, pl.DataFrame], how: How, known_until: int | None
    ) -> None:
        super().__init__(catalog, catalog.version())
        self._rows = rows
        self._how = how
        self._known_until = known_until
        self._overlaid: dict[Dataset, DatasetRow] = {}

    def snapshot(
        self, dataset: Dataset, span: Span = ALL_TIME, *, data: bool = True, is_summarised: bool = True
    ) -> tuple[int, DatasetRow | None, list[Segment]]:
        """Return the version, the dataset's row, and its segments that meet *span*."""
        if dataset not in self._rows:
            return super().snapshot(dataset, span, data=data, is_summarised=is_summarised)
        segments: list[Segment] = []
        if self._how == "add":
            segments = super().snapshot(dataset, span, data=data, is_summarised=is_summarised)[2]
        segment = self._segment(dataset)
        if segment is not None and segment.span.overlaps(span):
            segments.append(segment)
        return self.version(), self._row(dataset), segments

    def newest(self, dataset: Dataset, span: Span, limit: int) -> list[tuple[int, int]]:
        """Return first time and rows of the segments inside *span* that end last, the last one first."""
        if dataset not in self._rows:
            return super().newest(dataset, span, limit)
        ends: list[tuple[int, int]] = []
        segment = self._segment(dataset)
        if segment is not None and segment.span.overlaps(span):
            ends.append((segment.min_ts, segment.rows))
        if self._how == "add":
            ends += super().newest(dataset, span, limit - len(ends))
        return ends

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
        """Return the row of a dataset, which the lake must have."""
        if dataset not in self._overlaid:
            (row,) = [row for row in super().datasets() if row.dataset == dataset]
            frame = self._rows[dataset]
            bounds: list[int] = []
            if frame.height:
                bounds = [int(frame["ts"].to_physical()[place]) for place in (0, -1)]
            rows = frame.height
            if self._how == "add":
                bounds += [ts for ts in (row.min_ts, row.max_ts) if ts is not None]
                rows += row.rows
            self._overlaid[dataset] = replace(
                row, rows=rows, min_ts=min(bounds, default=None), max_ts=max(bounds, default=None)
            )
        return self._overlaid[dataset]

    def _segment(self, dataset: Dataset) -> Segment | None:
        frame = self._rows[dataset]
        if not frame.height:
            return None
        ts = frame["ts"].to_physical()
        # The newest content: it holds where others have the same keys.
        seq = self._row(dataset).seq + 1
        return Segment(_name(dataset), seq, frame.height, int(ts[0]), int(ts[-1]), 0, "")
