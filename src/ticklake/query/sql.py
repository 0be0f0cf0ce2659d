"""SQL in this process, for the owner of a lake: DuckDB over files and memory, or Polars where DuckDB is not installed.

Queries that are not trusted run in a process of their own: :mod:`ticklake.query.sql_sandbox`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from itertools import count
from typing import Any

import polars as pl

from ticklake.core.selection import parse_text, parse_word
from ticklake.core.sql import SqlResult
from ticklake.core.time import format_time, parse_time
from ticklake.engine.engine import Engine
from ticklake.engine.store import retried
from ticklake.errors import BadInput, InvalidQuery, InvalidTime, MissingExtra, MissingSegment
from ticklake.query.sql_errors import refusal
from ticklake.query.sql_prune import functions_in, references, unheeded_zone, zoned
from ticklake.query.sql_scan import create_empty, create_table, create_view
from ticklake.query.sql_select import NAMES_TABLE, Part, chosen_parts, parameters_of, readable, tree_of
from ticklake.query.sql_views import LakeViews, lake_views
from ticklake.storage.arrow_stream import frame_of

__all__ = ["arrow_of", "connected", "parsed_parameters", "query_lake", "wanted_parts"]

ENGINES = ("duckdb", "polars")
_ABOUT_VIEWS = ("show", "describe", "information_schema", "pg_", "duckdb_", "pragma", "query")
"""Words of queries that ask which views there are."""
_NUMBERS = count()


def query_lake(
    engine: Engine, query: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None, *, by: str | None = None
) -> SqlResult:
    """Answer a query of the owner from one version of a lake.

    Parameters
    ----------
    by
        ``duckdb`` or ``polars``; by default DuckDB if it is installed.

    Raises
    ------
    InvalidQuery
        If it cannot be run.
    MissingExtra
        If it needs DuckDB, which is not installed.
    """
    query = parse_text("query", query)
    values = parsed_parameters(parameters)
    if by is not None:
        by = parse_word("engine", by, ENGINES)
    if by == "polars" or (by is None and not _has_duckdb()):
        from ticklake.query.sql_polars import query_by_polars

        return query_by_polars(lake_views(engine), query, values)
    if not _has_duckdb():
        raise MissingExtra("SQL by DuckDB needs it: pip install 'ticklake[sql]'")
    # A file that a compaction moves meanwhile is found again, in the same version or a newer one.
    return retried(lambda: _query(lake_views(engine), query, values))


def parsed_parameters(parameters: Any) -> list[Any] | dict[str, Any]:
    """Return the values for ``?`` and ``$1``, or for ``$name``; times become UTC without a zone, as those of the views are.

    Raises
    ------
    BadInput
        If they are neither a list nor a mapping.
    """
    if parameters is None:
        return []
    if isinstance(parameters, Mapping):
        return {str(name): _without_zone(value) for name, value in parameters.items()}
    if isinstance(parameters, str) or not isinstance(parameters, Iterable):
        raise BadInput(f"params={parameters!r} are no values: pass a list for ?, or a mapping for $name")
    return [_without_zone(value) for value in parameters]


def _without_zone(value: Any) -> Any:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).replace(tzinfo=None)
    # DuckDB does not heed the offset of a text.
    if isinstance(value, str) and zoned(value):
        with suppress(InvalidTime):
            return format_time(parse_time(value)).removesuffix("Z")
    return value


def _has_duckdb() -> bool:
    try:
        import duckdb  # noqa: F401
    except ImportError:
        return False
    return True


def _query(lake: LakeViews, query: str, parameters: list[Any] | dict[str, Any]) -> SqlResult:
    import duckdb

    parts: dict[str, list[Part]] = {}
    with connected() as connection:
        try:
            parts = wanted_parts(connection, lake, query, parameters)
            _create(connection, lake, parts, query)
            rows = _rows(connection, query, parameters)
        # Before the others: it is one of them.
        except duckdb.IOException as error:
            if _has_gone(lake, parts):
                raise MissingSegment(f"a file went away while it was read ({error}): read again") from error
            raise refusal(str(error), query, lake.columns) from error
        except duckdb.Error as error:
            raise refusal(str(error), query, lake.columns) from error
    return SqlResult(rows, lake.version)


@contextmanager
def connected() -> Iterator[Any]:
    """Connect to DuckDB; what a query makes there is gone when the block ends."""
    # By the process: after a fork, the threads of the database are gone.
    connection = _database(os.getpid()).cursor()
    name = f"query_{next(_NUMBERS)}"
    connection.execute(f"ATTACH ':memory:' AS {name}")
    try:
        connection.execute(f"USE {name}")
        connection.execute("SET TimeZone = 'UTC'")
        yield connection
    finally:
        connection.execute("USE memory")
        connection.execute(f"DETACH {name}")
        connection.close()


@cache
def _database(_process: int) -> Any:
    """Return the database of this process. To make one takes ten milliseconds, most of the time of a small query."""
    import duckdb

    # Not the variables of whoever calls: a name that is no view is an error.
    return duckdb.connect(":memory:", config={"python_enable_replacements": False})


def wanted_parts(
    connection: Any, lake: LakeViews, query: str, parameters: list[Any] | dict[str, Any]
) -> dict[str, list[Part]]:
    """Return which views a query reads, and what of them it can need."""
    tree = tree_of(connection, query)
    # These functions read views whose names stand in texts.
    if tree is None or not functions_in(tree).isdisjoint({"query", "query_table"}):
        return _all_named(lake, query)
    unheeded = unheeded_zone(tree)
    if unheeded:
        raise InvalidQuery(f"the query is not run: {unheeded}")
    connection.register(NAMES_TABLE, lake.names_table)
    try:
        found = references(tree, lake.columns)
        return chosen_parts(connection, found, parameters_of(parameters))
    except RecursionError:
        return _all_named(lake, query)
    finally:
        connection.unregister(NAMES_TABLE)


def _all_named(lake: LakeViews, query: str) -> dict[str, list[Part]]:
    """Return all of every view whose name stands in the text of a query: it cannot read others."""
    folded = query.casefold()
    parts: dict[str, list[Part]] = {name: [] for name in lake.columns if name in folded}
    for number, dataset in enumerate(lake.datasets):
        if dataset.kind_text in parts:
            parts[dataset.kind_text].append((number, None, None))
    return parts


def _create(connection: Any, lake: LakeViews, parts: Mapping[str, list[Part]], query: str) -> None:
    """Make the views that a query reads; all of them, without rows, for one that asks which there are."""
    folded = query.casefold()
    if any(word in folded for word in _ABOUT_VIEWS):
        for name, columns in lake.columns.items():
            create_empty(connection, name, columns)
    for name, wanted in parts.items():
        if lake.is_table(name):
            create_table(connection, name, lake.table(name))
        else:
            create_view(connection, lake, lake.views[name], wanted)


def _rows(connection: Any, query: str, parameters: list[Any] | dict[str, Any]) -> pl.DataFrame:
    # An empty list of parameters is none: DuckDB would ask for a prepared statement.
    answer = connection.sql(query, params=parameters or None)
    # A text of no statement, or one that answers nothing.
    if answer is None:
        return pl.DataFrame()
    return frame_of(arrow_of(readable(answer)))


def arrow_of(answer: Any) -> Any:
    """Return the answer of DuckDB as a table of Arrow; the method was renamed."""
    read = getattr(answer, "to_arrow_table", None) or answer.fetch_arrow_table
    return read()


def _has_gone(lake: LakeViews, parts: Mapping[str, list[Part]]) -> bool:
    """Whether a file that a query reads is no longer where it was."""
    store = lake.engine.store
    for wanted in parts.values():
        for number, _, _ in wanted:
            for segment in store.view(lake.datasets[number], data=False).segments:
                if segment.path is not None and not store.objects.exists(segment.path):
                    return True
    return False
