"""The columns of segments, in the order in which a :class:`~ticklake.core.segment.Segment` takes them."""

from __future__ import annotations

from dataclasses import fields

from sqlalchemy import null

from ticklake.catalog import schema
from ticklake.catalog.checksums import intact
from ticklake.core.segment import Segment

__all__ = ["NAMES", "SEGMENT", "WITHOUT_DATA"]

NAMES = tuple(field.name for field in fields(Segment))
SEGMENT = tuple(intact(schema.segments.c.id) if name == "id" else schema.segments.c[name] for name in NAMES)
"""What is selected to make a segment of a row."""
WITHOUT_DATA = tuple(null().label("data") if column.name == "data" else column for column in SEGMENT)
"""The same without the bytes of inline segments."""
