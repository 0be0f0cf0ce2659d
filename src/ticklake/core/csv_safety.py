"""Text in CSV that spreadsheets would execute: cells that begin like a formula are escaped on request."""

from __future__ import annotations

import re

import polars as pl

__all__ = ["escape_formulas", "escape_heading"]

_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What begins a formula: the characters that OWASP names under "CSV Injection", and their full-width forms."""
_FORMULA = f"^[{re.escape(''.join(_STARTS))}]"
_MARK = "'"
"""A spreadsheet takes what follows it for text."""


def escape_formulas(frame: pl.DataFrame) -> pl.DataFrame:
    """Return rows whose texts, and names of columns, no spreadsheet takes for a formula: those that begin like one get an apostrophe.

    Numbers and times stay as they are: ``-1.5`` is no formula.

    >>> escape_formulas(pl.DataFrame({"id": ["=1+1", "a"], "price": [-1.5, 2.0]})).rows()
    [("'=1+1", -1.5), ('a', 2.0)]
    """
    texts = frame.with_columns((pl.selectors.categorical() | pl.selectors.enum()).cast(pl.String))
    column = pl.selectors.string()
    escaped = pl.when(column.str.contains(_FORMULA)).then(pl.lit(_MARK) + column).otherwise(column)
    return texts.with_columns(escaped.name.keep()).rename(escape_heading)


def escape_heading(name: str) -> str:
    """Return the name of a column like :func:`escape_formulas` writes it.

    >>> escape_heading("@SUM(A1)"), escape_heading("price")
    ("'@SUM(A1)", 'price')
    """
    if name.startswith(_STARTS):
        return _MARK + name
    return name
