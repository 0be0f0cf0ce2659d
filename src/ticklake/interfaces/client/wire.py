"""The wire: arguments of Python as parameters of a request."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from ticklake.core.dataset import Dataset
from ticklake.core.duration import format_offset, parse_offset
from ticklake.core.selection import parse_names
from ticklake.core.time import TimeLike, format_time, parse_time
from ticklake.errors import BadInput, InvalidData

__all__ = ["as_list", "in_path", "json_value", "json_values", "named", "parameters", "time_text"]

_TIMES = frozenset({"start", "end", "at", "known_at"})
"""Arguments that are times. An integer is nanoseconds there, and a date is midnight UTC."""


def parameters(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Return arguments as the parameters of an address; those that are ``None`` are left out.

    Raises
    ------
    BadInput
        If one of them cannot be meant; it is refused before anything is sent.
    """
    sent: dict[str, str] = {}
    for name, value in arguments.items():
        if value is not None:
            sent[name] = _parameter(name, value)
    return sent


def _parameter(name: str, value: Any) -> str:
    if name in _TIMES:
        return time_text(value)
    # In Python true and false are integers, too.
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dt.timedelta):
        return format_offset(parse_offset(value))
    if isinstance(value, Mapping):
        return ",".join(f"{key}={_parameter(name, item)}" for key, item in value.items())
    if isinstance(value, Iterable) and not isinstance(value, str | Dataset):
        return ",".join(_parameter(name, item) for item in value)
    return str(value)


def in_path(text: object) -> str:
    """Return a text as it stands in an address: a dataset keeps its colons and slashes."""
    return quote(str(text), safe="/:@")


def time_text(value: TimeLike) -> str:
    """Return a time as it is written everywhere, to the nanosecond.

    Raises
    ------
    InvalidTime
        If it is none.
    """
    return format_time(parse_time(value))


def named(argument: str, value: str | Sequence[str] | None) -> list[str] | None:
    """Return names that may be one or several, of which there must be one; ``None`` stays.

    Raises
    ------
    InvalidData
        If none is named.
    """
    if value is None:
        return None
    names = parse_names(argument, value)
    if not names:
        raise InvalidData(f"{argument}={value!r} names no column: leave it out for all")
    return names


def as_list(name: str, value: Any) -> list[str]:
    """Return one text or several as a list.

    Raises
    ------
    BadInput
        If it is neither.
    """
    if isinstance(value, str | Dataset):
        return [str(value)]
    if not isinstance(value, Iterable):
        raise BadInput(f"{name}={value!r} is no list: pass one, or several in a list")
    return list(map(str, value))


def json_values(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments as the values of a JSON body; those that are ``None`` are left out."""
    return {name: json_value(name, value) for name, value in arguments.items() if value is not None}


def json_value(name: str, value: Any) -> Any:
    """Return an argument as JSON has it: times, lengths of time and names as text."""
    if name in _TIMES and value is not None:
        return time_text(value)
    if isinstance(value, dt.timedelta):
        return format_offset(parse_offset(value))
    if isinstance(value, Mapping):
        return {str(key): json_value(str(key), item) for key, item in value.items()}
    if isinstance(value, str | bool | int | float | None):
        return value
    if isinstance(value, Iterable) and not isinstance(value, Dataset):
        return [json_value("", item) for item in value]
    if isinstance(value, dt.date):
        return time_text(value)
    return str(value)
