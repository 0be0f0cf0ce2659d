"""What is wanted of a read: which columns, and how many of the newest rows."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from ticklake.core.kinds import PROVENANCE, Kind
from ticklake.core.lookup import did_you_mean
from ticklake.errors import BadInput, InvalidData

__all__ = ["is_unicode", "parse_columns", "parse_count", "parse_names", "parse_text", "parse_word", "picked"]

_MOST = 2**63 - 1
_Value = TypeVar("_Value")


def picked(values: Mapping[str, _Value], names: Iterable[str]) -> dict[str, _Value]:
    """Return the values of these *names* that there are, in the order of *names*."""
    return {name: values[name] for name in names if name in values}


def parse_columns(kind: Kind, columns: str | Sequence[str] | None, *, with_provenance: bool = True) -> list[str] | None:
    """Read which columns are wanted; one name is one column, ``None`` is all of them.

    Stored rows have a provenance, too; rows that are computed have none.

    Raises
    ------
    InvalidData
        If none is named, one is named twice, or one is not a column of *kind*.
    """
    if columns is None:
        return None
    names = parse_names("columns", columns)
    if not names:
        raise InvalidData(f"columns={columns!r} names no column: leave it out for all, or name some of {_list(kind)}")
    known = set(kind.names)
    if with_provenance:
        known.add(PROVENANCE)
    for name in names:
        if name not in known:
            raise InvalidData(
                f"{kind.name} has no column {name!r}{did_you_mean(name, kind.names)}: its columns are {_list(kind)}"
            )
    for name in names:
        if names.count(name) > 1:
            raise InvalidData(f"column {name!r} is named twice: name it once")
    return names


def parse_names(name: str, value: Any) -> list[str]:
    """Read texts that the caller passed as *name*: one, or several.

    Raises
    ------
    BadInput
        If it is neither a text nor a list of texts.
    """
    if isinstance(value, str):
        return [value]
    if isinstance(value, Iterable):
        texts = list(value)
        if all(isinstance(text, str) for text in texts):
            return texts
    raise BadInput(f"{name}={value!r} is no list of texts: pass one text, or a list of them")


def parse_text(name: str, value: Any) -> str:
    """Read a text that the caller passed as *name*.

    Raises
    ------
    BadInput
        If it is none.
    """
    if not isinstance(value, str):
        raise BadInput(f"{name}={value!r} is no text: pass a text")
    if not is_unicode(value):
        raise BadInput(
            f"{name}={value!r} has half of a character (a lone surrogate), which cannot be stored: leave it out"
        )
    return value


def is_unicode(text: str) -> bool:
    """Whether a text can be stored: Python's may have halves of characters, from JSON or from names of files."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def parse_word(name: str, value: Any, words: Sequence[_Value]) -> _Value:
    """Return the one of *words* that the caller passed as *name*.

    Raises
    ------
    BadInput
        If it is none of them.
    """
    for word in words:
        if value == word and type(value) is type(word):
            return word
    hint = did_you_mean(str(value), list(map(str, words)))
    raise BadInput(f"{name}={value!r} is not known{hint}: use one of {', '.join(map(str, words))}")


def parse_count(name: str, value: Any, least: int = 0, of: str = "rows") -> int:
    """Read a whole number that the caller passed as *name*; *of* is what it counts.

    Raises
    ------
    BadInput
        If it is not a whole number of at least *least*, or more than 64 bits hold.
    """
    try:
        count = operator.index(value)
    except TypeError:
        count = least - 1
    if isinstance(value, bool) or not least <= count <= _MOST:
        raise BadInput(f"{name}={value!r} is not a number of {of}: pass a whole number from {least} to {_MOST}")
    return count


def _list(kind: Kind) -> str:
    return ", ".join(kind.names)
