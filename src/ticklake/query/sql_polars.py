"""SQL by Polars, where DuckDB is not installed. It knows less, and says so."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source

from ticklake.core.dataset import Dataset
from ticklake.core.span import ALL_TIME
from ticklake.core.sql import SqlResult
from ticklake.engine.read import chunks_of
from ticklake.errors import InvalidQuery, TicklakeError
from ticklake.query.sql_errors import refusal
from ticklake.query.sql_scan import span_of
from ticklake.query.sql_views import NAMES, LakeViews, SqlView, name_part

__all__ = ["query_by_polars"]

_MORE = "DuckDB knows more SQL: pip install 'ticklake[sql]'"
_TIMES = {">=": "low", ">": "low", "<": "high", "<=": "high", "==": "both"}


def query_by_polars(lake: LakeViews, query: str, parameters: Any = None) -> SqlResult:
    """Answer a query from one version of a lake.

    Raises
    ------
    InvalidQuery
        If Polars cannot run it.
    """
    if parameters:
        raise InvalidQuery(f"Polars' SQL has no parameters: write the values into the query. {_MORE}")
    # All of them, as nothing is read before the query is planned.
    frames = {name: _scan(lake, view) for name, view in lake.views.items()}
    for name in lake.columns:
        if lake.is_table(name) and name.casefold() in query.casefold():
            frames[name] = lake.table(name).lazy()
    try:
        rows = pl.SQLContext(frames).execute(query, eager=True)
    except TicklakeError:
        raise
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise InvalidQuery(f"{refusal(str(error), query, lake.columns)}. {_MORE}") from error
    return SqlResult(_plain(rows), lake.version)


def _plain(rows: pl.DataFrame) -> pl.DataFrame:
    """Return an answer in the types that DuckDB's has: counts are whole numbers of 64 bits."""
    return rows.with_columns(pl.selectors.unsigned_integer().cast(pl.Int64))


def _scan(lake: LakeViews, view: SqlView) -> pl.LazyFrame:
    """Return the rows of a view as a lazy frame. Datasets and times that a query leaves out are not read."""
    schema: dict[str, Any] = dict.fromkeys(view.names, pl.String)
    schema |= view.kind.schema
    return register_io_source(partial(_rows, lake, view, list(schema)), schema=schema, is_pure=True)


def _rows(
    lake: LakeViews,
    view: SqlView,
    all_columns: list[str],
    columns: list[str] | None,
    predicate: pl.Expr | None,
    n_rows: int | None,
    _batch: int | None,
) -> Iterator[pl.DataFrame]:
    wanted = columns or all_columns
    store = lake.engine.store
    span = span_of(*_bounds(predicate))
    left = n_rows
    yield view.kind.empty().with_columns(pl.lit(None, pl.String).alias(name) for name in view.names).select(wanted)
    for dataset in _datasets(lake, view, predicate):
        if span is None or left == 0:
            return
        for rows in chunks_of(store, store.view(dataset, span), view.kind.names):
            named = rows.with_columns(pl.lit(name_part(dataset, name), pl.String).alias(name) for name in view.names)
            # The limit counts rows before the predicate.
            if left is not None:
                named = named.head(left)
                left -= named.height
            if predicate is not None:
                named = named.filter(predicate)
            yield named.select(wanted)


def _datasets(lake: LakeViews, view: SqlView, predicate: pl.Expr | None) -> Iterator[Dataset]:
    """Yield the datasets of a view that a predicate does not rule out."""
    names = lake.names.filter(pl.col("view") == view.name)
    for part in _conjuncts(predicate):
        # Any other column has other values in each row.
        if set(part.meta.root_names()) <= set(NAMES):
            names = names.filter(part)
    for number in names["number"]:
        yield lake.datasets[number]


def _conjuncts(predicate: pl.Expr | None) -> Iterator[pl.Expr]:
    """Yield the parts of a predicate that must all hold."""
    if predicate is None:
        return
    parts = predicate.meta.pop()
    if len(parts) == 2:
        for left, right in (parts, reversed(parts)):
            # Polars does not tell which operator an expression has: it is compared with one made of the same parts.
            if (left & right).meta.eq(predicate):
                yield from _conjuncts(left)
                yield from _conjuncts(right)
                return
    yield predicate


def _bounds(predicate: pl.Expr | None) -> tuple[int | None, int | None]:
    """Return from when and until when, exclusive, a predicate asks for rows."""
    low: int | None = None
    high: int | None = None
    for part in _conjuncts(predicate):
        if part.meta.root_names() != ["ts"]:
            continue
        side, instant = _limit(part)
        if instant is not None and side != "high":
            low = max(instant, low or ALL_TIME.start)
        if instant is not None and side != "low":
            # Exclusive, while the condition may include the instant.
            high = min(instant + 1, high or ALL_TIME.end)
    return low, high


def _limit(part: pl.Expr) -> tuple[str, int | None]:
    """Return the instant that a condition compares ``ts`` with, and on which side of it rows are wanted."""
    ts = pl.col("ts")
    for value in part.meta.pop():
        comparisons = {">=": ts >= value, ">": ts > value, "<": ts < value, "<=": ts <= value, "==": ts == value}
        for operator, comparison in comparisons.items():
            if not value.meta.root_names() and comparison.meta.eq(part):
                return _TIMES[operator], _nanoseconds(value)
    return "", None


def _nanoseconds(value: pl.Expr) -> int | None:
    """Return an instant as nanoseconds; ``None`` for what is none."""
    try:
        found = pl.select(value.cast(pl.Datetime("ns", "UTC")).cast(pl.Int64)).item()
    except pl.exceptions.PolarsError:
        return None
    if not isinstance(found, int):
        return None
    return found
