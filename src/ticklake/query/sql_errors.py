"""Errors of SQL in our words, with the cure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from ticklake.core.lookup import did_you_mean
from ticklake.errors import InvalidQuery, QueryTooLarge, TicklakeError

__all__ = ["NO_MEMORY", "refusal"]

NO_MEMORY = "narrow it by symbol and time, or allow more (sql.memory)"
Views = Mapping[str, Collection[str]]
_UNKNOWN_VIEW = re.compile(r"Table with name (?:\"?)(.+?)(?:\"?) does not exist|relation '(.+?)' was not found")
_UNKNOWN_COLUMN = re.compile(
    r"Referenced column \"(.+?)\" not found|does not have a column named \"(.+?)\"|unable to find column \"(.+?)\""
)
_NO_MEMORY = re.compile(r"out of memory|bad_alloc|bad allocation|failed to allocate|memory limit", re.IGNORECASE)
_NO_ACCESS = re.compile(
    r"disabled by configuration|has been disabled|configuration has been locked|cannot be (?:set|changed)"
    r"|not (?:been )?(?:found|installed|loaded).*extension|extension.*(?:not|disabled)",
    re.IGNORECASE | re.DOTALL,
)
_TIMES = "times are compared with text like '2024-01-01', and with other times as now()::timestamp"


def refusal(message: str, query: str, views: Views) -> TicklakeError:
    """Return the error for what DuckDB or Polars said of a query; *views* are the columns of each view."""
    # The first of all: an allocation may fail anywhere, also while another error is written.
    if _NO_MEMORY.search(message):
        return QueryTooLarge(f"the query needs more memory than it may use: {NO_MEMORY}")
    view = _named(_UNKNOWN_VIEW, message)
    if view:
        return InvalidQuery(f"there is no view {view!r}{did_you_mean(view, list(views))}: use one of {_list(views)}")
    # Both name the column in quotes; only DuckDB says near which names it is.
    column = _named(_UNKNOWN_COLUMN, message)
    if column:
        return _unknown_column(column, query, views)
    if _NO_ACCESS.search(message):
        return InvalidQuery(
            "a query reads the views of the lake and nothing else: no files, extensions or settings; "
            "in Python, lake.sql() is not confined"
        )
    text = _one_line(message)
    if "TIMESTAMP_NS" in message and "compare" in message:
        text += f"; {_TIMES}"
    return InvalidQuery(f"the query cannot be run: {text}")


def _named(pattern: re.Pattern[str], message: str) -> str:
    found = pattern.search(message)
    if found is None:
        return ""
    return next(name for name in found.groups() if name)


def _unknown_column(column: str, query: str, views: Views) -> InvalidQuery:
    folded = query.casefold()
    named = [view for view in views if view in folded]
    columns: dict[str, None] = {}
    for view in named:
        columns.update(dict.fromkeys(views[view]))
    # There is such a column, but not in the table that the query takes it from.
    hint = " where it is named"
    if column not in columns:
        hint = did_you_mean(column, list(columns))
    if not named:
        return InvalidQuery(f"there is no column {column!r}: 'describe ohlcv' lists those of a view")
    has = [f"{view} has {', '.join(views[view])}" for view in named]
    return InvalidQuery(f"there is no column {column!r}{hint}: {'; '.join(has)}")


def _list(views: Views) -> str:
    names: list[str] = []
    for name in views:
        if name.isidentifier():
            names.append(name)
        else:
            names.append(f'"{name}"')
    return ", ".join(names)


def _one_line(message: str) -> str:
    """Return the message in one line, without the picture of the query that follows it."""
    head, _, rest = message.strip().partition("\n")
    # Users know their query: the line it happened in is enough.
    text = head
    where = re.search(r"LINE \d+: (.*)", rest)
    if where is not None:
        text += f" (in {where[1].strip()!r})"
    return " ".join(text.split())
