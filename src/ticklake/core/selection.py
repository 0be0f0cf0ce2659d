"""What is wanted of a read: which columns, and how many of the newest rows."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from ticklake.core.batch import did_you_mean
from ticklake.core.kinds import PROVENANCE, Kind
from ticklake.errors import BadInput, InvalidData

__all__ = ["parse_columns", "parse_count"]


def parse_columns(kind: Kind, columns: str | Sequence[str] | None) -> list[str] | None:
    """Read which columns are wanted; one name is one column, ``None`` is all of them.

    Raises
    ------
    InvalidData
        If none is named, one is named twice, or one is not a column of *kind*.
    """
    if columns is None:
        return None
    names = [columns] if isinstance(columns, str) else list(columns)
    if not names:
        raise InvalidData(f"columns={columns!r} names no column: leave it out for all, or name some of {_list(kind)}")
    unknown = next((name for name in names if name not in (*kind.names, PROVENANCE)), None)
    if unknown is not None:
        raise InvalidData(
            f"{kind.name} has no column {unknown!r}{did_you_mean(unknown, kind.names)}: its columns are {_list(kind)}"
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidData(f"column {twice!r} is named twice: name it once")
    return names


def parse_count(name: str, value: Any, least: int = 0) -> int:
    """Read a whole number that the caller passed as *name*.

    Raises
    ------
    BadInput
        If it is not a whole number of at least *least*.
    """
    try:
        count = operator.index(value)
    except TypeError:
        count = least - 1
    if isinstance(value, bool) or count < least:
        raise BadInput(f"{name}={value!r} is not a number of rows: pass a whole number of at least {least}")
    return count


def _list(kind: Kind) -> str:
    return ", ".join(kind.names)
