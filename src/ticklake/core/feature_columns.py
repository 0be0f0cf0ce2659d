"""Columns of feature sets: names, types, units."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from ticklake.core.kinds import TIME
from ticklake.core.knowledge import KNOWN_AT
from ticklake.core.selection import parse_text
from ticklake.errors import BadInput, InvalidName

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

__all__ = ["COLUMN_NAME", "FeatureColumn", "check_text", "parse_columns"]

COLUMN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_RESERVED_COLUMNS = frozenset(
    # Names of the rows themselves; those that decide from when on a row is known; those that the engine adds.
    {"ts", KNOWN_AT, "symbol", "exchange", "timeframe", "variant", "received_at", "close_time"}
    | {"provenance", "reason"}
)
_DTYPES: dict[str, PolarsDataType] = {
    "float64": pl.Float64(),
    "int64": pl.Int64(),
    "bool": pl.Boolean(),
    "string": pl.String(),
    "time": TIME,
}
_ALIASES = {
    "float": "float64",
    "int": "int64",
    "boolean": "bool",
    "str": "string",
    "text": "string",
    "datetime": "time",
}
_PYTHON_TYPES: dict[Any, str] = {float: "float64", int: "int64", bool: "bool", str: "string"}
_MOST_COLUMNS = 1_000
_LONGEST_TEXT = 10_000


@dataclass(frozen=True, slots=True)
class FeatureColumn:
    """One value of a feature set.

    ``dtype`` is ``float64``, ``int64``, ``bool``, ``string`` or ``time``.
    """

    name: str
    dtype: str = "float64"
    unit: str = ""
    description: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not COLUMN_NAME.fullmatch(self.name):
            raise InvalidName(f"{self.name!r} cannot name a column: use letters, digits and _, like 'ret_5m'")
        if self.name.lower() in _RESERVED_COLUMNS:
            raise InvalidName(
                f"{self.name!r} cannot name a column of features, as the lake uses it: choose another name"
            )
        object.__setattr__(self, "dtype", _dtype_name(self.name, self.dtype))
        check_text("unit", self.unit)
        check_text("description", self.description)

    @property
    def polars(self) -> PolarsDataType:
        """Its type in frames."""
        return _DTYPES[self.dtype]

    def to_dict(self) -> dict[str, str]:
        """Return the column as a plain mapping."""
        return {"name": self.name, "dtype": self.dtype, "unit": self.unit, "description": self.description}


def check_text(name: str, value: Any) -> str:
    """Return a text that is short enough to be kept in each file."""
    text = parse_text(name, value)
    if len(text) > _LONGEST_TEXT:
        raise BadInput(f"{name} has {len(text):,} characters: write at most {_LONGEST_TEXT:,}")
    return text


def _dtype_name(column: str, dtype: Any) -> str:
    """Return the name of a type that is given by name, as a type of Python, or as one of Polars."""
    if isinstance(dtype, str):
        name = dtype.lower()
        name = _ALIASES.get(name, name)
        if name in _DTYPES:
            return name
    else:
        for python_type, name in _PYTHON_TYPES.items():
            if dtype is python_type:
                return name
        for name, polars_type in _DTYPES.items():
            if dtype == polars_type:
                return name
    raise BadInput(f"column {column!r} has the type {dtype!r}: use one of {', '.join(_DTYPES)}")


def parse_columns(columns: Any) -> tuple[FeatureColumn, ...]:
    """Read the columns of a feature set: a mapping of types by name, or a list of names or columns.

    Raises
    ------
    BadInput
        If there is none, or one is named twice.
    """
    parsed: list[FeatureColumn] = []
    if isinstance(columns, str):
        columns = [columns]
    if isinstance(columns, Mapping):
        parsed = [_column_of(name, what) for name, what in columns.items()]
    elif isinstance(columns, Iterable):
        parsed = list(map(_named_column, columns))
    else:
        raise BadInput(f"columns={columns!r} are none: pass a mapping, like {{'ret_5m': 'float64'}}")
    if not parsed:
        raise BadInput("features without a column say nothing: name at least one, like {'ret_5m': 'float64'}")
    if len(parsed) > _MOST_COLUMNS:
        raise BadInput(f"{len(parsed):,} columns are more than {_MOST_COLUMNS:,}: make several feature sets of them")
    _refuse_repeated(parsed)
    return tuple(parsed)


def _refuse_repeated(columns: Iterable[FeatureColumn]) -> None:
    seen: set[str] = set()
    for column in columns:
        # DuckDB, Spark and others do not tell columns apart by case.
        if column.name.lower() in seen:
            raise BadInput(f"column {column.name!r} is named twice (upper and lower case are the same): name it once")
        seen.add(column.name.lower())


def _named_column(column: Any) -> FeatureColumn:
    """Read a column from its name alone, or from a mapping or list that begins with its name."""
    if isinstance(column, FeatureColumn):
        return column
    if isinstance(column, Mapping) and "name" in column:
        return _column_of(column["name"], {key: value for key, value in column.items() if key != "name"})
    if isinstance(column, tuple | list) and len(column) > 1:
        return _column_of(column[0], column[1:])
    return FeatureColumn(column)


def _column_of(name: Any, what: Any) -> FeatureColumn:
    """Read a column from its type, or from a mapping or list of type, unit and description."""
    if isinstance(what, FeatureColumn):
        return what
    if isinstance(what, Mapping):
        unknown = sorted(set(map(str, what)) - {"dtype", "unit", "description"})
        if unknown:
            raise BadInput(f"column {name!r} has {', '.join(unknown)}: say dtype, unit and description")
        return FeatureColumn(name, **what)
    if isinstance(what, tuple | list):
        if not 1 <= len(what) <= 3:
            raise BadInput(f"column {name!r} has {len(what)} parts: say dtype, unit and description")
        return FeatureColumn(name, *what)
    return FeatureColumn(name, what)
