"""Estimates of reads: how many rows there are, and what they take in each format, before one is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ticklake.core.display import Displayed
from ticklake.core.kinds import Kind
from ticklake.core.segment import Segment
from ticklake.core.span import Span

__all__ = ["Estimate", "estimate", "rows_between", "stored_bytes"]

_TEXT = {"Datetime": 24, "Duration": 8, "String": 12, "Float64": 9, "Int64": 10, "Boolean": 5}
"""About how many characters a value takes in text."""
_MEMORY = {"String": 16, "Boolean": 1, "Int32": 4}
"""Bytes of a value in Arrow; all others take 8."""
_CELLS_A_SECOND = {"json": 20e6, "ndjson": 15e6, "csv": 30e6, "arrow": 300e6, "parquet": 30e6}
"""How many values are written in a second by one processor, about."""
_ROWS_A_SECOND = 15e6


@dataclass(frozen=True, slots=True, repr=False)
class Estimate(Displayed):
    """What a read would bring.

    ``rows`` are at most so many if ``is_exact`` is false: where segments overlap, rows of one key count twice, and files that the span cuts
    are counted by the time that they have in it. ``bytes`` and ``seconds`` are by format; ``files`` are how many would be opened.
    """

    rows: int
    is_exact: bool
    files: int
    bytes: Mapping[str, int]
    seconds: Mapping[str, float]

    def _summary(self) -> dict[str, Any]:
        return {"rows": self.rows, "is_exact": self.is_exact, "files": self.files, **self.bytes}


def rows_between(segments: Iterable[Segment], span: Span) -> tuple[int, bool]:
    """Return about how many rows of *segments* lie inside a span, and whether that is exact."""
    total = 0.0
    is_exact = True
    last: int | None = None
    for segment in sorted(segments, key=lambda each: each.min_ts):
        if last is not None and segment.min_ts <= last:
            is_exact = False
        last = max(last or segment.max_ts, segment.max_ts)
        if segment.lies_in(span):
            total += segment.rows
            continue
        is_exact = False
        parts = [(block.min_ts, block.max_ts, block.rows) for block in segment.blocks if block.rows]
        for first, end, rows in parts or [(segment.min_ts, segment.max_ts, segment.rows)]:
            inside = Span(first, end + 1).intersect(span)
            if inside is not None:
                total += rows * inside.length / (end + 1 - first)
    return round(total), is_exact


def stored_bytes(segments: Iterable[Segment]) -> float:
    """Return how many bytes a row of *segments* takes as it is stored; 0 without rows."""
    size = rows = 0
    for segment in segments:
        size += segment.size
        rows += segment.rows
    return size / max(rows, 1)


def estimate(kind: Kind, names: Sequence[str], segments: Sequence[Segment], span: Span) -> Estimate:
    """Estimate a read of columns of *segments* inside a span."""
    rows, is_exact = rows_between(segments, span)
    types = {name: kind.stored_schema[name].base_type().__name__ for name in names}
    text = {name: _TEXT.get(each, 8) for name, each in types.items()}
    named = sum(text.values()) + sum(map(len, names)) + 4 * len(names) + 2
    share = len(names) / len(kind.stored_schema)
    widths = {
        "json": named,
        "ndjson": named,
        "csv": sum(text.values()) + len(names),
        "arrow": sum(_MEMORY.get(each, 8) for each in types.values()),
        "parquet": stored_bytes(segments) * share,
    }
    sizes: dict[str, int] = {}
    seconds: dict[str, float] = {}
    for form, width in widths.items():
        sizes[form] = round(rows * width)
        seconds[form] = round(rows / _ROWS_A_SECOND + rows * len(names) / _CELLS_A_SECOND[form], 3)
    files = sum(segment.path is not None for segment in segments)
    return Estimate(rows, is_exact, files, sizes, seconds)
