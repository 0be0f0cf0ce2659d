"""How results look at a prompt and in a notebook: a short line, and a small table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from ticklake.core.time import format_time

__all__ = ["GAP_COLOURS", "Displayed", "counts_text", "field_values", "moment", "pairs_text"]

GAP_COLOURS = {
    "not_fetched": "#8a8f98",
    "no_trades": "#c9a227",
    "outage": "#e07b39",
    "unavailable": "#8e5bd0",
    "lost": "#d03b3b",
    "invalid": "#2a9d9d",
}
"""The colour of each reason of a gap, in charts."""


def moment(ns: int | None) -> str | None:
    """Write a time for people; ``None`` stays."""
    if ns is None:
        return None
    return format_time(ns)


def field_values(record: Any) -> dict[str, Any]:
    """Return the fields of a dataclass by name; their values are not copied."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


def counts_text(counts: Mapping[str, int]) -> str:
    """Write counts with what is counted.

    >>> counts_text({"crossed": 1203, "no_time": 2})
    '1,203 crossed, 2 no_time'
    """
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def pairs_text(pairs: Mapping[str, Any], separator: str = ", ") -> str:
    """Write names with their values.

    >>> pairs_text({"ts": "Date", "open": "O"})
    'ts=Date, open=O'
    """
    return separator.join(f"{name}={value}" for name, value in pairs.items())


class Displayed:
    """Gives a result, a dataclass, a short ``repr`` and, in notebooks, a table: both are made of :meth:`_summary`.

    What is ``None``, empty or zero is left out.
    """

    __slots__ = ()

    def _summary(self) -> dict[str, Any]:
        """Return what is worth a look, by name, in order: all fields, unless a result knows better."""
        return field_values(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({pairs_text(dict(self._shown()))})"

    def _repr_html_(self) -> str:
        from html import escape

        rows = ""
        for name, text in self._shown():
            rows += f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>"
        return f"<table><caption>{escape(type(self).__name__)}</caption>{rows}</table>"

    def _shown(self) -> Iterator[tuple[str, str]]:
        for name, value in self._summary().items():
            if value:
                yield name, _text(value)


def _text(value: Any) -> str:
    # Before integers: in Python true and false are integers, too.
    if value is True:
        return "yes"
    if value is False:
        return "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, tuple):
        return ", ".join(map(_text, value))
    return str(value)
