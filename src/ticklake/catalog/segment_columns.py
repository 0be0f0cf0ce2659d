"""The columns of segments, in the order in which a :class:`~ticklake.core.segment.Segment` takes them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from sqlalchemy import ColumnElement, null

from ticklake.catalog import schema
from ticklake.catalog.checksums import intact
from ticklake.core.segment import Segment

__all__ = ["NAMES", "SEGMENT", "WITHOUT_DATA"]

NAMES = tuple(field.name for field in fields(Segment))


def _columns(*, data: bool) -> tuple[ColumnElement[Any], ...]:
    columns: dict[str, ColumnElement[Any]] = {name: schema.segments.c[name] for name in NAMES}
    columns["id"] = intact(schema.segments.c.id)
    if not data:
        columns["data"] = null().label("data")
    return tuple(columns.values())


SEGMENT = _columns(data=True)
"""The columns to select for a segment."""
WITHOUT_DATA = _columns(data=False)
"""The same without the bytes of inline segments."""
