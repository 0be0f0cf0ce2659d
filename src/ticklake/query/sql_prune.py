"""Which rows a query can need: the views it reads, and what its WHERE says of their datasets and times.

What cannot be understood restricts nothing: the query is answered from more rows than it needs, and the answer is the same. The
tree of a query is the one that DuckDB writes as JSON; the process of an untrusted query runs this module, so that nobody else
has to parse it.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "NAMES",
    "Condition",
    "Reference",
    "functions_in",
    "nodes",
    "references",
    "text_columns",
    "unheeded_zone",
    "zoned",
]

Node = dict[str, Any]
NAMES = ("exchange", "symbol", "timeframe", "variant")
"""The columns that say to which dataset a row belongs."""
TIME = "ts"
_BOTH_SIDES = {"INNER", "LEFT", "RIGHT", "FULL", "OUTER"}
_EQUAL_ROWS = {"INNER", "LEFT", "RIGHT"}
"""Joins in which columns of both sides that must be equal are equal, or null on one side."""
_ROWS_WITHOUT = {"left": {"RIGHT", "FULL", "OUTER"}, "right": {"LEFT", "FULL", "OUTER"}}
"""For each side the joins that keep rows of the other side without one of it."""
# Functions that give the same for the same arguments. Others may be random, or read something.
_OF_TEXTS = frozenset(
    {"~~", "!~~", "~~*", "!~~*", "^@", "||", "lower", "upper", "lcase", "ucase", "trim", "replace", "concat"}
)
_OF_PARTS = frozenset(
    {"substring", "substr", "left", "right", "length", "split_part", "starts_with", "ends_with", "prefix"}
)
_OF_PATTERNS = frozenset({"suffix", "contains", "regexp_matches", "regexp_full_match", "list_value", "list_contains"})
_OF_TIMES = frozenset(
    {"+", "-", "make_timestamp", "make_timestamp_ns", "make_date", "to_timestamp", "epoch_ms", "strptime"}
)
_OF_LENGTHS = frozenset(
    {"trunc", "date_trunc", "to_years", "to_months", "to_weeks", "to_days", "to_hours", "to_minutes"}
)
_SURE = _OF_TEXTS | _OF_PARTS | _OF_PATTERNS | _OF_TIMES | _OF_LENGTHS | {"to_seconds", "to_milliseconds"}
_ZONED = re.compile(
    r"\s*\d{4}-\d\d?-\d\d?[T ]+\d\d?:[\d:.]+\s*(?:[+-](?!0?0(?::?00)?\s*$)\d\d?(?::?\d\d)?|[A-Z][a-z]+/\w+|[A-Z]{2,5})\s*(?<!UTC)(?<!GMT)"
)
"""A time with an offset that is not zero, or with the name of a zone."""
_OF_NOW = frozenset({"now", "today", "get_current_timestamp", "transaction_timestamp"})
_REFUSED = frozenset({"SUBQUERY", "WINDOW", "LAMBDA", "STAR", "POSITIONAL_REFERENCE", "DEFAULT"})


@dataclass(frozen=True, slots=True)
class Condition:
    """A part of a WHERE that holds for every row that a query uses of a table; its columns stand alone, without the table's name."""

    columns: frozenset[str]
    node: Node

    @property
    def is_about_names(self) -> bool:
        """Whether it says which datasets are wanted."""
        return self.columns <= set(NAMES)

    @property
    def depends_on_now(self) -> bool:
        """Whether it is another condition a moment later."""
        return not _OF_NOW.isdisjoint(functions_in(self.node))


@dataclass(slots=True)
class Reference:
    """A place where a query reads a view.

    ``columns`` are all columns of the view: another name is one of something else, whatever it is. ``is_joined`` is whether rows of it may be all null, ``is_described`` whether only its columns are asked for.
    """

    view: str
    alias: str
    columns: frozenset[str]
    conditions: list[Condition] = field(default_factory=list)
    is_joined: bool = False
    is_described: bool = False


def nodes(tree: Any) -> Iterator[Node]:
    """Yield every object of a tree."""
    # A stack and not recursion: a query may be nested deeper than Python allows.
    waiting = [tree]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part


def functions_in(tree: Any) -> set[str]:
    """Return the names of all functions in a tree."""
    return {str(node["function_name"]).lower() for node in nodes(tree) if "function_name" in node}


def references(tree: Node, views: Mapping[str, Collection[str]]) -> list[Reference]:
    """Return every place where a query reads a view, with the conditions that hold for its rows there.

    Parameters
    ----------
    views
        The names of the columns of each view.
    """
    by_fold = {name.casefold(): name for name in views}
    # A name that a WITH defines may mean that, or the view: then nothing is left out of the view.
    defined = {str(node["key"]).casefold() for node in nodes(tree) if "key" in node and "value" in node}
    found: dict[int, Reference] = {}
    for node in nodes(tree):
        if node.get("type") == "BASE_TABLE":
            name = _table_name(node).casefold()
            if name in by_fold:
                columns = frozenset(map(str.casefold, views[by_fold[name]]))
                found[id(node)] = Reference(by_fold[name], _alias(node), columns)
    for node in nodes(tree):
        if node.get("type") == "SELECT_NODE":
            _restrict(node, found)
        elif node.get("type") == "SHOW_REF" and node.get("show_type") != "SUMMARY":
            for part in nodes(node):
                if id(part) in found:
                    found[id(part)].is_described = True
    for reference in found.values():
        if reference.view.casefold() in defined:
            reference.conditions.clear()
    return list(found.values())


def unheeded_zone(tree: Node) -> str:
    """Say which time in a query has a zone that DuckDB would not heed, and what to write instead; empty if none has.

    Compared with a ``TIMESTAMP``, or cast to one, a text loses its zone without a word: rows of other hours would be the answer.
    """
    for node in nodes(tree):
        kind = node.get("class")
        is_list = node.get("type") in ("COMPARE_IN", "COMPARE_NOT_IN")
        if kind not in ("COMPARISON", "BETWEEN", "CAST") and not is_list:
            continue
        if kind == "CAST" and _has_zone(node):
            continue
        for part in [*node.values(), *(node.get("children") or ())]:
            text = _constant_text(part)
            if zoned(text):
                return f"{text!r} has a zone, which DuckDB does not heed here: write UTC, or timestamptz {text!r}::timestamp"
    return ""


def zoned(text: str) -> bool:
    """Whether a text is a time with another zone than UTC."""
    return _ZONED.fullmatch(text) is not None


def _has_zone(cast: Node) -> bool:
    """Whether values are cast to times that heed a zone, or to no times."""
    names = json.dumps([cast.get("type_expr"), cast.get("cast_type")]).upper()
    return "TIMESTAMP" not in names or "TIME ZONE" in names or "TIMESTAMPTZ" in names


def _constant_text(node: Any) -> str:
    """Return the text of a constant; empty for anything else."""
    if not isinstance(node, dict) or node.get("class") != "CONSTANT":
        return ""
    # DuckDB 1 has another form of it.
    value = node.get("literal") or node.get("value") or {}
    return str(value.get("text") or value.get("value") or "")


def text_columns(query: str, columns: Sequence[str]) -> list[str]:
    """Return those of *columns* whose name occurs in the text of a query."""
    folded = query.casefold()
    return [name for name in columns if name.casefold() in folded]


def _table_name(node: Node) -> str:
    if node.get("table_name"):
        return str(node["table_name"])
    path = (node.get("qualified_name") or {}).get("path") or [""]
    return str(path[-1])


@dataclass(slots=True)
class _Scope:
    """The tables of a FROM that its WHERE restricts.

    ``conditions`` hold for every row; ``own`` hold for the rows that a table has, but not for those an outer join keeps without
    them. ``nearest`` are the tables from which an as-of join takes the nearest row: with fewer rows, it would take another one.
    ``equal`` are columns that are equal in two tables, ``merged`` those of a USING, and the first of its tables that has it; ``None``
    if there are several.
    """

    tables: list[Reference] = field(default_factory=list)
    conditions: list[Node] = field(default_factory=list)
    own: list[Node] = field(default_factory=list)
    nearest: list[Reference] = field(default_factory=list)
    equal: list[tuple[str, frozenset[str]]] = field(default_factory=list)
    merged: dict[str, Reference | None] = field(default_factory=dict)
    is_simple: bool = False

    @property
    def all_tables(self) -> list[Reference]:
        """All tables, those that are looked up included."""
        return [*self.tables, *self.nearest]


def _restrict(select: Node, found: Mapping[int, Reference]) -> None:
    """Give the tables of a SELECT the conditions of its WHERE."""
    source = select.get("from_table") or {}
    # A sample is drawn before the WHERE: of fewer rows, it would be another one.
    if select.get("sample"):
        return
    scope = _Scope(is_simple=source.get("type") == "BASE_TABLE")
    _enter(source, found, scope)
    if select.get("where_clause"):
        scope.conditions += _conjuncts(select["where_clause"])
    _give(scope.conditions, scope)
    _pass_on(scope)
    _give(scope.own, scope)


def _give(conditions: Sequence[Node], scope: _Scope) -> None:
    """Give each table what conditions say of it alone."""
    for table in scope.tables:
        for node in conditions:
            condition = _condition(node, table, scope)
            if condition is not None:
                table.conditions.append(condition)


def _enter(source: Node, found: Mapping[int, Reference], scope: _Scope) -> None:
    """Add the tables of a FROM whose rows its WHERE restricts."""
    if source.get("sample"):
        return
    if source.get("type") == "BASE_TABLE":
        table = found.get(id(source))
        if table is not None and not source.get("column_name_alias"):
            table.is_joined = not scope.is_simple
            scope.tables.append(table)
        return
    if source.get("type") != "JOIN":
        return
    kind, how = source.get("ref_type"), source.get("join_type")
    first = len(scope.tables)
    if kind in ("REGULAR", "CROSS") and how in _BOTH_SIDES:
        _enter_side(source, "left", found, scope)
        _enter_side(source, "right", found, scope)
    elif kind == "ASOF" and how in _EQUAL_ROWS:
        _enter_side(source, "left", found, scope)
        looked_up = _Scope()
        _enter(source["right"], found, looked_up)
        scope.nearest += looked_up.all_tables
    elif how in ("SEMI", "ANTI"):
        _enter(source["left"], found, scope)
    if kind in ("REGULAR", "ASOF") and how in _EQUAL_ROWS:
        _note_merged(source, scope, scope.tables[first:])
        _note_equal(source, scope)
    if kind == "REGULAR" and how == "INNER" and source.get("condition"):
        scope.conditions += _conjuncts(source["condition"])


def _enter_side(source: Node, side: str, found: Mapping[int, Reference], scope: _Scope) -> None:
    """Add the tables of a side of a join."""
    before = len(scope.conditions)
    _enter(source[side], found, scope)
    if source["join_type"] in _ROWS_WITHOUT[side]:
        scope.own += scope.conditions[before:]
        del scope.conditions[before:]


def _note_merged(source: Node, scope: _Scope, tables: Sequence[Reference]) -> None:
    """Note of which of the *tables* of a join the columns of its USING are."""
    for column in _using(source):
        owner = next((table for table in tables if column in table.columns), None)
        # Another join has a column of that name: which one is meant, the database may say.
        if scope.merged.get(column, owner) is not owner:
            owner = None
        scope.merged[column] = owner


def _note_equal(source: Node, scope: _Scope) -> None:
    """Note which columns of names a join makes equal."""
    shared = _using(source)
    if source["ref_type"] == "ASOF":
        # The last column of an as-of join is the one of which the nearest value is looked up.
        shared = shared[:-1]
    aliases = frozenset(_alias(source[side]) for side in ("left", "right"))
    if "" not in aliases:
        scope.equal += [(column, aliases) for column in shared if column in NAMES]
    for node in _conjuncts(source.get("condition") or {}):
        if node.get("type") == "COMPARE_EQUAL" and _is_column(node.get("left")) and _is_column(node.get("right")):
            _note_equal_columns(node, scope)


def _using(source: Node) -> list[str]:
    return [str(column).casefold() for column in source.get("using_columns") or ()]


def _note_equal_columns(node: Node, scope: _Scope) -> None:
    left, right = (list(map(str.casefold, node[side]["column_names"])) for side in ("left", "right"))
    if len(left) == len(right) == 2 and left[1] == right[1] and left[1] in NAMES:
        scope.equal.append((left[1], frozenset({left[0], right[0]})))


def _alias(source: Node) -> str:
    """Return the name that a table has in a query; empty for anything else."""
    if source.get("type") != "BASE_TABLE":
        return ""
    return str(source.get("alias") or _table_name(source)).casefold()


def _pass_on(scope: _Scope) -> None:
    """Give a table what is known of the names of another one whose names are equal to its own."""
    # As they are before: what is passed on is not passed on again.
    known = {id(table): list(table.conditions) for table in scope.tables}
    for target in scope.all_tables:
        for table in scope.tables:
            pair = {table.alias, target.alias}
            equal = {column for column, aliases in scope.equal if aliases == pair and table is not target}
            target.conditions += [each for each in known[id(table)] if each.columns <= equal]


def _conjuncts(node: Node) -> list[Node]:
    if not node:
        return []
    if node.get("type") != "CONJUNCTION_AND":
        return [node]
    parts: list[Node] = []
    for child in node.get("children") or ():
        parts += _conjuncts(child)
    return parts


def _is_column(node: Any) -> bool:
    return isinstance(node, dict) and node.get("class") == "COLUMN_REF"


def _condition(node: Node, table: Reference, scope: _Scope) -> Condition | None:
    """Return what a part of a WHERE says of one table alone; ``None`` if it says more, or what cannot be understood."""
    own = copy.deepcopy(node)
    columns: set[str] = set()
    for part in nodes(own):
        if part.get("class") in _REFUSED:
            return None
        if _is_column(part):
            name = _own_column(part["column_names"], table, scope)
            if name is None:
                return None
            part["column_names"] = [name]
            columns.add(name)
    # Without columns it says nothing of datasets, and may be random.
    if not columns or not functions_in(own) <= _SURE | _OF_NOW:
        return None
    if columns <= set(NAMES) or columns == {TIME}:
        return Condition(frozenset(columns), own)
    return None


def _own_column(path: Sequence[str], table: Reference, scope: _Scope) -> str | None:
    """Return the column of *table* that is named, or ``None`` if it may be one of another table."""
    *qualifier, name = (str(part).casefold() for part in path)
    is_own = qualifier == [table.alias]
    if not qualifier:
        is_own = scope.is_simple or scope.merged.get(name) is table
    # A name that the view does not have is a column of an outer query, or of what is selected.
    if is_own and name in table.columns:
        return name
    return None
