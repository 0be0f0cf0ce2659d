"""Which datasets and times a query reads, as DuckDB itself computes it from the conditions of the query."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from ticklake.query.sql_prune import Condition, Node, Reference, nodes

__all__ = ["NAMES_TABLE", "Part", "chosen_parts", "parameters_of", "readable", "tree_of"]

Part = tuple[int, int | None, int | None]
"""The number of a dataset, and from when and until when its rows are wanted, in nanoseconds; ``None`` for no bound."""
NAMES_TABLE = "ticklake_names"
"""The table that has the number, the view and the parts of the name of every dataset."""
_HOUR = 3_600_000_000_000
_BOUNDS = {
    "COMPARE_GREATERTHAN": "low",
    "COMPARE_GREATERTHANOREQUALTO": "low",
    "COMPARE_LESSTHAN": "high",
    "COMPARE_LESSTHANOREQUALTO": "high",
    "COMPARE_EQUAL": "both",
}
_TURNED = {"low": "high", "high": "low", "both": "both"}


_NO_FRAME = re.compile(r"UHUGEINT|BIGNUM|VARINT|\bBIT\b|UNION\(|GEOMETRY|VARIANT|TIME WITH TIME ZONE|OPAQUE")
"""Types of which frames have no like."""
_ZONED = "TIMESTAMP WITH TIME ZONE"
_EXPLAIN = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*explain\s+(?:analyze\s+)?", re.IGNORECASE | re.DOTALL)


def tree_of(connection: Any, query: str) -> Node | None:
    """Return the tree of a single SELECT, or of the one that is explained; ``None`` for anything else."""
    prefix = _EXPLAIN.match(query)
    select = query
    if prefix is not None:
        select = query[prefix.end() :]
    ((text,),) = connection.execute("SELECT json_serialize_sql($query)", {"query": select}).fetchall()
    try:
        tree: Node = json.loads(text)
    except RecursionError:
        return None
    if tree.get("error") or len(tree.get("statements") or ()) != 1:
        return None
    return tree


def parameters_of(parameters: Any) -> dict[str, Any]:
    """Return parameters by the names that a tree has for them: those of a list are numbers."""
    if not parameters:
        return {}
    if isinstance(parameters, Mapping):
        return dict(parameters)
    return {str(number): value for number, value in enumerate(parameters, 1)}


def chosen_parts(connection: Any, found: Sequence[Reference], parameters: Mapping[str, Any]) -> dict[str, list[Part]]:
    """Return for each view that is read which datasets and times can be needed of it."""
    chosen: dict[str, dict[int, Part]] = {}
    for reference in found:
        parts = chosen.setdefault(reference.view, {})
        if reference.is_described:
            continue
        finder = _Finder(connection, parameters)
        low, high = finder.bounds(reference)
        for number in finder.numbers(reference):
            parts[number] = _together(parts.get(number), (number, low, high))
    return {view: list(parts.values()) for view, parts in chosen.items()}


def _together(one: Part | None, other: Part) -> Part:
    """Return the part that holds both."""
    if one is None:
        return other
    low = high = None
    if one[1] is not None and other[1] is not None:
        low = min(one[1], other[1])
    if one[2] is not None and other[2] is not None:
        high = max(one[2], other[2])
    return one[0], low, high


def readable(answer: Any) -> Any:
    """Return an answer of DuckDB whose columns a frame can have: others are written as text."""
    columns: list[str] = []
    types = list(map(str, answer.types))
    for number, (name, sql_type) in enumerate(zip(answer.columns, types, strict=True), 1):
        quoted = '"' + name.replace('"', '""') + '"'
        columns.append(f"{_readable(f'#{number}', sql_type)} AS {quoted}")
    if not any("::" in column.partition(" AS ")[0] for column in columns):
        return answer
    return answer.select(", ".join(columns))


def _readable(column: str, sql_type: str) -> str:
    """Return the expression of a column in a type that a frame can have."""
    if sql_type == "HUGEINT":
        # In 128 bits there is room for more digits than Arrow's decimals have: those are an error, and not another number.
        return f"{column}::DECIMAL(38, 0)"
    is_nested_interval = "INTERVAL" in sql_type and sql_type != "INTERVAL"
    if is_nested_interval or _NO_FRAME.search(sql_type.replace(_ZONED, "")):
        return f"{column}::VARCHAR"
    return column


_TEMPLATES: list[str] = []


def _select_of_one(connection: Any) -> str:
    """Return the tree of a SELECT of one value; DuckDB writes it once for all queries of this process."""
    if not _TEMPLATES:
        _TEMPLATES.append(json.dumps(tree_of(connection, "SELECT 1 AS x")))
    return _TEMPLATES[0]


class _Finder:
    """Computes conditions."""

    def __init__(self, connection: Any, parameters: Mapping[str, Any]) -> None:
        self._connection = connection
        self._parameters = parameters

    def numbers(self, reference: Reference) -> list[int]:
        """Return the numbers of the datasets of a view that its conditions do not rule out."""
        query = f"SELECT number FROM {NAMES_TABLE} WHERE view = $view"  # noqa: S608 - a constant
        rows = self._connection.execute(f"{query} ORDER BY number", {"view": reference.view}).fetchall()
        numbers = [number for (number,) in rows]
        for condition in reference.conditions:
            if condition.is_about_names:
                left_in = self._left_in(condition, is_joined=reference.is_joined)
                if left_in is not None:
                    numbers = [number for number in numbers if number in left_in]
        return numbers

    def _left_in(self, condition: Condition, *, is_joined: bool) -> set[int] | None:
        """Return the numbers of the datasets for which a condition holds; ``None`` if it cannot be computed."""
        text = self._text(condition.node)
        if text is None:
            return None
        # Rows that an outer join made up have no names. A condition that holds for them must see all rows.
        if is_joined and self._rows(f"SELECT 1 FROM {_NO_NAMES} WHERE {text}") != []:  # noqa: S608 - DuckDB wrote the text
            return None
        rows = self._rows(f"SELECT number FROM {NAMES_TABLE} WHERE {text}")  # noqa: S608 - as above
        if rows is None:
            return None
        return {number for (number,) in rows}

    def bounds(self, reference: Reference) -> tuple[int | None, int | None]:
        """Return from when and until when, exclusive, the rows of a reference are needed."""
        lows: list[int] = []
        highs: list[int] = []
        for condition in reference.conditions:
            if condition.is_about_names:
                continue
            # What depends on the time of now is computed once more when the query runs.
            slack = 1_000
            if condition.depends_on_now:
                slack = _HOUR
            for side, node in _limits(condition.node):
                limit = self._instant(node)
                if limit is not None and side != "high":
                    lows.append(limit - slack)
                if limit is not None and side != "low":
                    highs.append(limit + slack)
        return max(lows, default=None), min(highs, default=None)

    def _instant(self, node: Node) -> int | None:
        text = self._text(node)
        if text is None:
            return None
        query = f"SELECT epoch_ns(CAST({text} AS TIMESTAMP_NS)), typeof({text})"
        rows = self._rows(query)
        if not rows:
            return None
        limit: int | None = rows[0][0]
        # A text that is computed is compared as a text.
        is_written = node.get("class") in ("CONSTANT", "PARAMETER")
        if is_written or rows[0][1].startswith(("TIMESTAMP", "DATE")):
            return limit
        return None

    def _text(self, node: Node) -> str | None:
        """Return an expression as SQL, with the values of its parameters; ``None`` if it cannot be written."""
        with_values = self._with_values(node)
        if with_values is None:
            return None
        select = json.loads(_select_of_one(self._connection))
        select["statements"][0]["node"]["select_list"] = [with_values]
        rows = self._rows("SELECT json_deserialize_sql($tree)", {"tree": json.dumps(select)})
        if not rows:
            return None
        return f"({str(rows[0][0]).removeprefix('SELECT ')})"

    def _with_values(self, node: Node) -> Node | None:
        """Return a tree in which values stand for parameters."""
        tree: Node = json.loads(json.dumps(node))
        for part in list(nodes(tree)):
            if part.get("class") == "PARAMETER":
                value = self._value(self._parameters.get(part.get("identifier", "")))
                if value is None:
                    return None
                part.clear()
                part.update(value)
        tree["alias"] = ""
        return tree

    def _value(self, value: Any) -> Node | None:
        """Return the tree of a value; ``None`` for a type that nobody filters by."""
        if isinstance(value, datetime):
            text = f"TIMESTAMP '{value.astimezone(UTC).replace(tzinfo=None).isoformat()}'"
        elif isinstance(value, date):
            text = f"DATE '{value.isoformat()}'"
        elif isinstance(value, str):
            text = "'" + value.replace("'", "''") + "'"
        else:
            return None
        tree = tree_of(self._connection, f"SELECT {text}")
        if tree is None:
            return None
        node: Node = tree["statements"][0]["node"]["select_list"][0]
        return node

    def _rows(self, query: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]] | None:
        """Return the rows of a query of ours; ``None`` if a condition in it cannot be computed."""
        from duckdb import Error

        try:
            rows: list[tuple[Any, ...]] = self._connection.execute(query, parameters or {}).fetchall()
        except Error:
            return None
        return rows


_NO_NAMES = (
    "(SELECT NULL::VARCHAR AS exchange, NULL::VARCHAR AS symbol, NULL::VARCHAR AS timeframe, NULL::VARCHAR AS variant)"
)


def _limits(node: Node) -> list[tuple[str, Node]]:
    """Return what a condition compares the time with, and which side of it is wanted."""
    if node.get("class") == "BETWEEN" and _is_time(node.get("input")):
        return [("low", node["lower"]), ("high", node["upper"])]
    side = _BOUNDS.get(str(node.get("type")))
    if side is None:
        return []
    left, right = node.get("left"), node.get("right")
    if _is_time(left) and not _is_time(right):
        return [(side, right or {})]
    if _is_time(right) and not _is_time(left):
        return [(_TURNED[side], left or {})]
    return []


def _is_time(node: Any) -> bool:
    return isinstance(node, dict) and node.get("class") == "COLUMN_REF" and node.get("column_names") == ["ts"]
