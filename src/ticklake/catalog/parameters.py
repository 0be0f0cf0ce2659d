"""Values and parameters of statements, by the names of columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import bindparam

__all__ = ["attributes", "bind_new", "new_values"]


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
