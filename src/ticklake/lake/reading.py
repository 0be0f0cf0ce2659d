"""Reading: rows as they are stored, on which all other reading methods stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.kinds import PROVENANCE
from ticklake.core.selection import parse_columns, parse_count
from ticklake.core.span import Span
from ticklake.core.time import TimeLike
from ticklake.engine.engine import Engine
from ticklake.lake.arguments import Columns, DatasetLike, known_dataset

if TYPE_CHECKING:
    from ticklake.core.estimate import Estimate

__all__ = ["Reading"]


class Reading:
    """The engine of a lake, or of one version of it. Each subject adds its methods in a class of its own."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def load(
        self,
        dataset: DatasetLike,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        columns: Columns | None = None,
        last: int | None = None,
        provenance: bool = False,
    ) -> pl.DataFrame:
        """Return the rows of a dataset in ``[start, end)``; the newest *last* ones if given.

        With *provenance*, a column says where each row came from.

        Raises
        ------
        UnknownDataset
            If the lake has no such dataset.
        InvalidData
            If a column is not one of the kind's, or none is named.
        """
        dataset = Dataset.parse(dataset)
        span = Span.parse(start, end)
        rows = self.engine.load(dataset, span, columns=columns, last=last, provenance=provenance)
        # Rows show that the lake has the dataset. Only without them it has to be looked for.
        if rows.is_empty() and (known := known_dataset(self.engine, dataset)) != dataset:
            rows = self.engine.load(known, span, columns=columns, last=last, provenance=provenance)
        return rows

    def scan(
        self,
        dataset: DatasetLike,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        columns: Columns | None = None,
        last: int | None = None,
        provenance: bool = False,
    ) -> pl.LazyFrame:
        """Return the rows that :meth:`load` returns as a lazy frame, pinned to the version that is newest now."""
        dataset = known_dataset(self.engine, dataset)
        span = Span.parse(start, end)
        names = parse_columns(dataset.spec, columns)
        rows = self.engine.scan(dataset, span, provenance=provenance or PROVENANCE in (names or ()))
        if last is not None:
            rows = rows.tail(parse_count("last", last))
        if names is not None:
            rows = rows.select(names)
        return rows

    def estimate(
        self,
        dataset: DatasetLike,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        columns: Columns | None = None,
    ) -> Estimate:
        """Return how many rows :meth:`load` would return, and about what they take in each format; no row is read.

        Returns
        -------
        Estimate
            ``rows`` and whether they ``is_exact``; ``bytes`` and ``seconds`` by format (``json``, ``ndjson``, ``csv``, ``arrow``,
            ``parquet``); ``files``, how many would be opened.
        """
        from ticklake.core.estimate import estimate

        dataset = known_dataset(self.engine, dataset)
        view = self.engine.store.view(dataset, Span.parse(start, end), data=False)
        names = parse_columns(view.kind, columns) or view.kind.names
        return estimate(view.kind, names, view.segments, view.span)
