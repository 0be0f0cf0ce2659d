"""Answers of SQL in text formats, which have neither bytes nor, some of them, lists and structures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

__all__ = ["as_text"]

_BINARY = ("parquet", "arrow")
_WITH_LISTS = ("json", "ndjson")


def as_text(rows: pl.DataFrame, form: str | None) -> pl.DataFrame:
    """Return rows as a format can hold them: bytes as hexadecimal text, and lists and structures as JSON where need be.

    Raises
    ------
    InvalidQuery
        If there are bytes inside of lists or structures.
    """
    if form in _BINARY:
        return rows
    from ticklake.errors import InvalidQuery

    texts: list[pl.Series] = []
    for column in rows.get_columns():
        # polars panics at bytes in JSON, which is no error that could be caught by its class.
        if str(column.dtype) == "Binary":
            texts.append(column.bin.encode("hex"))
        elif "Binary" in str(column.dtype):
            raise InvalidQuery(
                f"column {column.name!r} has bytes inside of lists or structures, which {form or 'text'} does not have: "
                "cast it to VARCHAR, or ask for arrow or parquet"
            )
        elif _is_nested(column) and form not in _WITH_LISTS:
            texts.append(_as_json(column))
    return rows.with_columns(texts)


def _is_nested(column: Any) -> bool:
    return bool(column.dtype.is_nested()) or str(column.dtype).startswith("Map")


def _as_json(column: pl.Series) -> pl.Series:
    """Return each value as JSON; null stays null."""
    import polars as pl

    # Each line is an object with the value alone.
    lines = column.alias("v").to_frame().write_ndjson().splitlines()
    values = pl.Series(column.name, [line[5:-1] for line in lines], pl.String)
    return values.set(column.is_null(), None)
