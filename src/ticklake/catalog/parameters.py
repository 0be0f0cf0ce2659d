"""Values and parameters of statements, by the names of columns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, String, bindparam, column, func, select

__all__ = ["among", "as_list", "attributes", "bind_new", "new_values"]


def attributes(source: object, names: Iterable[str]) -> dict[str, Any]:
    """Return the values of those columns that *source* has as attributes of the same names."""
    return {name: getattr(source, name) for name in names}


def bind_new(names: Iterable[str]) -> dict[str, Any]:
    """Return a parameter for the new value of each column; see :func:`new_values`."""
    # SQLAlchemy reserves the names of the columns themselves for the values of an update.
    return {name: bindparam(f"new_{name}") for name in names}


def new_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return *values* under the names of the parameters that :func:`bind_new` makes."""
    return {f"new_{name}": value for name, value in values.items()}


def among(column_: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Return the condition that a column is among the values of the parameter *name*; see :func:`as_list`."""
    # SQLAlchemy writes an expanding list of parameters anew for each execution: for 50 names that takes longer than the query.
    listed = func.json_each(bindparam(name, type_=String)).table_valued(column("value", column_.type))
    return column_.in_(select(listed.c.value))


def as_list(values: Sequence[Any]) -> str:
    """Return *values* as the parameter of :func:`among`."""
    return json.dumps(values)
