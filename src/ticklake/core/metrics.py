"""Metrics: what a figure of quality is called, of which type it is, and how it is written. The table is in quality.py."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import polars as pl

__all__ = ["Metric", "counted", "format_score", "format_share"]


def format_score(score: float | None) -> str:
    """Write a score so that only a full one is 100; ``?`` if there is none."""
    if score is None:
        return "?"
    return f"{math.floor(10 * score) / 10:.1f}"


def format_share(ratio: float | None) -> str:
    """Write a share, 0 to 1, so that only what is whole is 100 %; ``?`` if there is none."""
    if ratio is None:
        return "?"
    if ratio == 1:
        return "100 %"
    return f"{min(100 * ratio, 99.99):.2f} %"


def _format_count(count: int | None) -> str:
    if count is None:
        return "?"
    return f"{count:,}"


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """A figure of quality: all that anybody needs to store it, add it up and show it.

    Attributes
    ----------
    name
        Its name in Python, in frames, in JSON and in the catalog.
    heading
        What tables call it; without one they leave it out, and so does the page where ``on_page`` is false.
    dtype
        Its type in frames.
    write
        How it is written for people.
    value
        How it follows from the other figures; by default it is the attribute of its name.
    is_stored
        Whether the catalog keeps it by day. What is counted in rows always is.
    of_bars, of_quotes
        Which bars, or quotes, count; other measures of rows are taken in :mod:`ticklake.core.row_checks`.
    """

    name: str
    heading: str = ""
    dtype: type[pl.DataType] = pl.Int64
    write: Callable[[Any], str] = _format_count
    value: Callable[[Any], Any] | None = None
    is_stored: bool = False
    on_page: bool = True
    of_bars: pl.Expr | None = None
    of_quotes: pl.Expr | None = None

    def of(self, figures: object) -> Any:
        """Return its value; ``None`` where nobody can know."""
        if self.value is None:
            return getattr(figures, self.name)
        return self.value(figures)

    def text(self, figures: object) -> str:
        """Return its value for people."""
        return self.write(self.of(figures))


def counted(heading: str = "", **options: Any) -> Any:
    """Declare a count of rows: it is measured by day, stored, added up and shown."""
    return field(default=0, metadata={"heading": heading, **options})
