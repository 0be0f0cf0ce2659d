"""The process of an untrusted query. It imports DuckDB and pyarrow and nothing of the lake that reads or writes.

It is started ahead of its query, gives up all it can (:mod:`ticklake.query.sql_confine`), and waits. Then it gets a query
and the names of the datasets, says which rows it needs, gets them, answers, and ends.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import IO, Any

import duckdb

from ticklake.query.sql_confine import confine, limit
from ticklake.query.sql_prune import Node, functions_in, nodes, references, text_columns, unheeded_zone
from ticklake.query.sql_select import NAMES_TABLE, Part, chosen_parts, parameters_of, readable, tree_of
from ticklake.storage.arrow_stream import (
    encoded_columns,
    read_message,
    read_table,
    send_within,
    small_table,
    write_message,
)

__all__ = ["main"]

_BATCH_ROWS = 8_192
_QUERY_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
_REFUSED_FUNCTIONS = frozenset({"query", "query_table", "json_execute_serialized_sql", "getenv"})
_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "python_enable_replacements": False,
    "temp_directory": "",
    "threads": 2,
}


class Refused(Exception):
    """A query that is not allowed."""


def main() -> None:
    """Answer one query, which comes on standard input."""
    source, sink = sys.stdin.buffer, _messages()
    connection = _warm_connection()
    confine()
    try:
        header = read_message(source)
        names = read_table(source)
    except EOFError:
        return
    try:
        limit(header["memory"], header["cpu_seconds"])
        connection.execute(f"SET memory_limit = '{header['memory'] // 2} B'")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET lock_configuration = true")
        _answer(connection, header, names, source, sink)
    except BrokenPipeError:
        return
    except Exception as error:
        write_message(sink, {"error": type(error).__name__, "message": str(error)})


def _messages() -> IO[bytes]:
    """Return the pipe for messages, which nothing else can write: what a library prints goes where errors go."""
    sink = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return sink


def _warm_connection() -> Any:
    """Connect, and do once what every query does: it imports modules and starts threads, which is not possible later."""
    connection = duckdb.connect(":memory:", config=_SETTINGS)
    # It is shown where a program has no file, as this one.
    connection.execute("SET enable_progress_bar = false")
    connection.register("warm", small_table())
    answer = connection.sql("SELECT b, sum(a) AS s FROM warm WHERE a > $a GROUP BY b ORDER BY b", params={"a": 0})
    for _ in _reader_of(answer):
        pass
    connection.execute("SELECT json_serialize_sql('SELECT 1'), now()::TIMESTAMP").fetchall()
    connection.unregister("warm")
    return connection


def _answer(connection: Any, header: Mapping[str, Any], names: Any, source: IO[bytes], sink: IO[bytes]) -> None:
    query, parameters = header["query"], header["parameters"]
    connection.register(NAMES_TABLE, names)
    tree = _checked(connection, query)
    needs = _needs(connection, tree, query, header["views"], parameters)
    write_message(sink, {"needs": needs})
    connection.unregister(NAMES_TABLE)
    # In the order in which they were asked for: the pipe has nothing that says which one comes.
    for name in needs:
        _create_view(connection, name, read_table(source))
    _create_others(connection, header["views"], needs, query)
    answer = connection.sql(query, params=parameters or None)
    batches = _reader_of(readable(answer))
    write_message(sink, {"rows": True})
    _, cut = send_within(sink, batches, header["rows"], header["bytes"])
    write_message(sink, {"cut": cut})


def _checked(connection: Any, query: str) -> Node:
    """Return the tree of a query.

    Raises
    ------
    Refused
        If it is not one SELECT, or one EXPLAIN of a SELECT, all through.
    """
    # DuckDB's own parser: another one might read a query in another way than it is run.
    statements = connection.extract_statements(query)
    if len(statements) != 1:
        raise Refused(f"it has {len(statements)} statements: write one")
    kind = statements[0].type.name
    if kind not in ("SELECT", "EXPLAIN"):
        raise Refused(f"it is a statement of type {kind}: only SELECT and EXPLAIN are allowed")
    tree = tree_of(connection, statements[0].query)
    if tree is None:
        raise Refused("it cannot be looked into: only SELECT, and EXPLAIN of one, are allowed")
    # Inside of a WITH, DuckDB takes other statements, and calls the whole a SELECT.
    for node in nodes(tree):
        kind = str(node.get("type"))
        if kind.endswith("_NODE") and kind not in _QUERY_NODES:
            raise Refused(f"it has {kind.removesuffix('_NODE').replace('_QUERY', '')} inside: only SELECT is allowed")
    refused = sorted(functions_in(tree) & _REFUSED_FUNCTIONS)
    if refused:
        raise Refused(f"it calls {refused[0]}(): name the view itself")
    unheeded = unheeded_zone(tree)
    if unheeded:
        raise Refused(unheeded)
    return tree


def _needs(
    connection: Any, tree: Node, query: str, views: Mapping[str, Sequence[str]], parameters: Any
) -> dict[str, dict[str, Any]]:
    """Return for each view that is read which parts of it are needed, and which columns."""
    found = references(tree, views)
    parts: Mapping[str, list[Part]] = chosen_parts(connection, found, parameters_of(parameters))
    aliases = {reference.alias for reference in found} | {reference.view.casefold() for reference in found}
    reads_all = _reads_all(tree, aliases)
    needs: dict[str, dict[str, Any]] = {}
    for name, wanted in parts.items():
        columns = list(views[name])
        if not reads_all:
            columns = text_columns(query, columns)
        needs[name] = {"parts": wanted, "columns": columns}
    return needs


def _reads_all(tree: Node, aliases: set[str]) -> bool:
    """Whether a query reads columns that it does not name."""
    for node in nodes(tree):
        if node.get("class") in ("STAR", "POSITIONAL_REFERENCE") or node.get("ref_type") == "NATURAL":
            return True
        if node.get("type") == "SHOW_REF" or node.get("column_name_alias"):
            return True
        # The name of a table among columns is a whole row of it.
        if node.get("class") == "COLUMN_REF" and str(node["column_names"][-1]).casefold() in aliases:
            return True
    return False


def _create_view(connection: Any, name: str, table: Any) -> None:
    """Make a view over rows that came."""
    rows = f"rows of {name}"
    connection.register(rows, table)
    encoded = encoded_columns(table)
    columns: list[str] = []
    for field in table.column_names:
        column = _quoted(field)
        if field in encoded:
            column = f"{column}::VARCHAR AS {column}"
        columns.append(column)
    connection.execute(f"CREATE TEMP VIEW {_quoted(name)} AS SELECT {', '.join(columns)} FROM {_quoted(rows)}")  # noqa: S608


def _create_others(
    connection: Any, views: Mapping[str, Mapping[str, str]], needs: Mapping[str, Any], query: str
) -> None:
    """Make the views that a query does not read, without rows, if it asks which there are."""
    folded = query.casefold()
    if not any(word in folded for word in ("show", "information_schema", "pg_", "duckdb_", "pragma")):
        return
    for name, columns in views.items():
        if name not in needs:
            nulls = [f"NULL::{sql_type} AS {_quoted(column)}" for column, sql_type in columns.items()]
            connection.execute(f"CREATE TEMP VIEW {_quoted(name)} AS SELECT {', '.join(nulls)} WHERE false")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _reader_of(answer: Any) -> Any:
    """Return the batches of an answer, which DuckDB computes as they are read; the method was renamed."""
    read = getattr(answer, "to_arrow_reader", None) or answer.fetch_record_batch
    return read(_BATCH_ROWS)
