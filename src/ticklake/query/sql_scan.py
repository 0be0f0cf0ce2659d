"""Views of DuckDB over the read plan of one version: files where they are, all other rows from memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.kinds import Column
from ticklake.core.read_plan import Slice, plan_read
from ticklake.core.span import ALL_TIME, Span
from ticklake.engine.read import read_rows
from ticklake.engine.store import Store
from ticklake.query.sql_select import Part
from ticklake.query.sql_views import LakeViews, NameColumns, SqlView, naive
from ticklake.storage.arrow_stream import table_of

__all__ = ["create_empty", "create_table", "create_view", "identifier", "literal", "span_of"]

_COUNTER = count()


def identifier(name: str) -> str:
    """Return a name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str | None) -> str:
    """Return a text as SQL writes it."""
    if text is None:
        return "NULL::VARCHAR"
    return "'" + text.replace("'", "''") + "'"


def span_of(low: int | None, high: int | None) -> Span | None:
    """Return the span between two bounds that may be missing; ``None`` if nothing can lie in it."""
    start = ALL_TIME.start
    end = ALL_TIME.end
    if low is not None:
        start = max(start, low)
    if high is not None:
        end = min(end, high)
    if start >= end:
        return None
    return Span(start, end)


def create_empty(connection: Any, name: str, columns: Mapping[str, str]) -> None:
    """Make a view that has no rows."""
    parts = [f"NULL::{sql_type} AS {identifier(column)}" for column, sql_type in columns.items()]
    _create(connection, name, f"SELECT {', '.join(parts)} WHERE false")


def create_table(connection: Any, name: str, rows: pl.DataFrame) -> None:
    """Make a view over rows in memory."""
    _create(connection, name, f"SELECT * FROM {_registered(connection, rows)}")  # noqa: S608 - a name of ours


def create_view(connection: Any, lake: LakeViews, view: SqlView, parts: Iterable[Part]) -> None:
    """Make the view over the rows of a kind.

    Raises
    ------
    MissingSegment
        If a file went away meanwhile: begin anew, with a newer version.
    CorruptSegment
        If a file is damaged.
    """
    selects: list[str] = []
    rows: dict[Dataset, list[pl.DataFrame]] = {}
    for number, low, high in parts:
        dataset = lake.datasets[number]
        span = span_of(low, high)
        if span is None:
            continue
        plan = _plan(lake.engine.store, dataset, span)
        selects += plan.selects(view)
        # One table for all datasets: each costs DuckDB a part of a plan.
        if plan.frames:
            rows[dataset] = plan.frames
    if rows:
        frame = NameColumns(rows, view.names).add_all(rows)
        selects.append(_select_frame(_registered(connection, frame), view))
    if not selects:
        return create_empty(connection, view.name, view.columns)
    return _create(connection, view.name, " UNION ALL ".join(selects))


@dataclass(slots=True)
class _Plan:
    """Where the rows of a dataset are: whole files, parts of files, and rows in memory."""

    dataset: Dataset
    whole: list[Path] = field(default_factory=list)
    cut: list[tuple[Path, Span]] = field(default_factory=list)
    frames: list[pl.DataFrame] = field(default_factory=list)

    def selects(self, view: SqlView) -> Iterator[str]:
        """Yield a SELECT for the whole files together, and one for each part."""
        if self.whole:
            yield _select_files(view, self.dataset, self.whole, "")
        for path, span in self.cut:
            yield _select_files(view, self.dataset, [path], f" WHERE ts >= {span.start} AND ts < {span.end}")


def _plan(store: Store, dataset: Dataset, span: Span) -> _Plan:
    plan = _Plan(dataset)
    rows_of = store.view(dataset, span)
    columns = rows_of.kind.names
    for piece in plan_read(rows_of.segments, rows_of.span):
        segment = piece.segments[0]
        source = _file_of(store, piece)
        if source is not None and piece.is_whole:
            plan.whole.append(source)
        elif source is not None:
            plan.cut.append((source, piece.span))
        elif piece.is_whole and segment.path is None:
            # Without a lazy frame, which costs more than the few rows of a segment that waits for its compaction.
            plan.frames.append(store.rows(segment, rows_of.kind, None)[columns])
        else:
            plan.frames.append(read_rows(store, rows_of.of(piece.segments, piece.span), columns))
    return plan


def _file_of(store: Store, piece: Slice) -> Path | None:
    """Return the file that has the rows of a slice as they are; ``None`` if they must be merged or are inline."""
    if len(piece.segments) > 1 or piece.segments[0].path is None:
        return None
    source = store.checked_source(piece.segments[0], piece.span)
    if isinstance(source, Path):
        return source
    return None


def _select_files(view: SqlView, dataset: Dataset, paths: Sequence[Path], where: str) -> str:
    values = {
        "exchange": dataset.exchange,
        "symbol": str(dataset.symbol),
        "timeframe": dataset.timeframe_text,
        "variant": dataset.variant,
    }
    columns = [f"{literal(values[name])} AS {name}" for name in view.names]
    columns += map(_stored_column, view.kind.columns)
    files = ", ".join(literal(_not_a_pattern(str(path))) for path in paths)
    return f"SELECT {', '.join(columns)} FROM read_parquet([{files}], hive_partitioning = false){where}"  # noqa: S608


def _stored_column(column: Column) -> str:
    """Return how a column is read from files: times are plain integers in them."""
    name = identifier(column.name)
    if not column.is_temporal:
        return name
    if isinstance(column.dtype, pl.Datetime):
        return f"make_timestamp_ns({name}) AS {name}"
    # Intervals have no finer unit.
    return f"to_microseconds({name} // 1000) AS {name}"


def _select_frame(table: str, view: SqlView) -> str:
    columns = [f"{name}::VARCHAR AS {name}" for name in view.names]
    columns += map(identifier, view.kind.names)
    return f"SELECT {', '.join(columns)} FROM {table}"  # noqa: S608 - names of ours


def _not_a_pattern(path: str) -> str:
    """Return a path that DuckDB takes for a pattern that matches this file alone."""
    # The first one adds brackets, so that it cannot be the last.
    escaped = path.replace("[", "[[]")
    return escaped.replace("*", "[*]").replace("?", "[?]")


def _registered(connection: Any, rows: pl.DataFrame) -> str:
    """Give rows a name in DuckDB, which reads them where they are."""
    name = f"ticklake_rows_{next(_COUNTER)}"
    connection.register(name, table_of(naive(rows)))
    return name


def _create(connection: Any, name: str, query: str) -> None:
    connection.execute(f"CREATE OR REPLACE TEMP VIEW {identifier(name)} AS {query}")
