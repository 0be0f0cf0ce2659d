"""How results look at a prompt and in a notebook: a short line, and a small table."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, cast

from ticklake.core.time import format_time

__all__ = ["Displayed", "moment"]


def moment(ns: int | None) -> str | None:
    """Write a time for people; ``None`` stays."""
    if ns is None:
        return None
    return format_time(ns)


class Displayed:
    """Gives a result, a dataclass, a short ``repr`` and, in notebooks, a table: both are made of :meth:`_summary`.

    What is ``None``, empty or zero is left out.
    """

    __slots__ = ()

    def _summary(self) -> dict[str, Any]:
        """Return what is worth a look, by name, in order: all fields, unless a result knows better."""
        return {field.name: getattr(self, field.name) for field in fields(cast(Any, self))}

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={_text(value)}" for name, value in self._shown())
        return f"{type(self).__name__}({values})"

    def _repr_html_(self) -> str:
        from html import escape

        rows = ""
        for name, value in self._shown():
            rows += f"<tr><th>{escape(name)}</th><td>{escape(_text(value))}</td></tr>"
        return f"<table><caption>{escape(type(self).__name__)}</caption>{rows}</table>"

    def _shown(self) -> list[tuple[str, Any]]:
        return [(name, value) for name, value in self._summary().items() if value]


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
