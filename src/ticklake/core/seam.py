"""Seams: what two sources say of the same few rows where one ends and the other begins."""

from __future__ import annotations

from typing import Any

import polars as pl

from ticklake.core.crosscheck import differences_by_key, rows_in
from ticklake.core.kinds import Kind
from ticklake.core.span import Span
from ticklake.core.time import MS, format_time

__all__ = ["SHOWN", "overlap", "seam_differences"]

SHOWN = 10
"""So many differences at one seam are written out; the others are counted."""
_BARS, _OTHER_ROWS = 3, 20
"""So many rows before a seam are asked again."""
_KEY = ("_mark", "_nth")


def overlap(rows: pl.DataFrame, seam: int, reach: int) -> Span | None:
    """Return the span before *seam* whose rows are asked again, or ``None`` if there are none near enough.

    It begins at a whole millisecond from which on *rows* (sorted, those just before the seam) are complete, and
    goes back *reach* nanoseconds at most.
    """
    if not rows.height:
        return None
    ts = rows["ts"].to_physical()
    if int(ts[-1]) < seam - reach:
        return None
    if "open" in rows.columns:
        start = int(ts[-min(_BARS, rows.height)])
    else:
        first, last = int(ts[-min(_OTHER_ROWS, rows.height)]), int(ts[-1])
        start = last // MS * MS
        if first < start:
            # Other rows of the first one's millisecond may be cut off, so it begins with the next.
            start = (first // MS + 1) * MS
        elif rows.height > _OTHER_ROWS:
            return None
    start = max(start, seam - reach)
    if start >= seam:
        return None
    return Span(start, seam)


def seam_differences(kept: pl.DataFrame, other: pl.DataFrame, kind: Kind, span: Span) -> list[str]:
    """Compare the rows of *span*: *kept* from the archive, *other* from the exchange.

    Rows are the same fact by their id where both have one, else by their time in milliseconds. Only values that
    both know are compared; times count as equal within a millisecond.

    Returns
    -------
    list of str
        One text a difference, with the time and both values; empty is good.
    """
    left, right = _marked(kept, kind, span), _marked(other, kind, span)
    # Nothing is forgiven here: where a file and a call differ by the last bit, one of them was changed on the way.
    _, differences = differences_by_key(left, right, kind, _KEY, tolerance=0.0, without=("id",))
    ours, theirs = _by_mark(left), _by_mark(right)
    texts: list[str] = []
    for mark, column in differences.head(SHOWN).select("_of", "column").iter_rows():
        key = tuple(mark.values())
        texts.append(_text(column, ours.get(key), theirs.get(key)))
    if differences.height > SHOWN:
        texts.append(f"and {differences.height - SHOWN} more differences at this seam")
    return texts


def _marked(frame: pl.DataFrame, kind: Kind, span: Span) -> pl.DataFrame:
    """Return the rows of *span* with what tells them apart: a number of theirs, or the millisecond and a place in it."""
    rows = rows_in(frame, [span])
    milliseconds = pl.format("@{}", pl.col("ts").to_physical() // MS)
    # An empty id tells no row from another: such rows are told apart by time.
    numbers = [pl.col(name).cast(pl.String).replace("", None) for name in ("id", "seq") if name in rows.columns]
    marked = rows.with_columns(_mark=pl.coalesce(*numbers, milliseconds))
    is_alone = pl.lit(kind.bars) | (pl.col("_mark") != milliseconds)
    return marked.with_columns(_nth=pl.when(is_alone).then(0).otherwise(pl.int_range(pl.len()).over("_mark")))


def _by_mark(rows: pl.DataFrame) -> dict[tuple[Any, ...], dict[str, Any]]:
    exact = rows.with_columns(pl.selectors.temporal().to_physical())
    return exact.rows_by_key(["_mark", "_nth"], named=True, include_key=True, unique=True)


def _text(column: str, ours: dict[str, Any] | None, theirs: dict[str, Any] | None) -> str:
    if ours is None:
        return f"{_where(theirs or {})} is on the exchange and not in the archive"
    if theirs is None:
        return f"{_where(ours)} is in the archive and not on the exchange"
    if column == "ts":
        return f"{_where(ours)} is at {format_time(theirs['ts'])} on the exchange"
    return f"{_where(ours)}: {column} is {ours[column]!r} in the archive and {theirs[column]!r} on the exchange"


def _where(row: dict[str, Any]) -> str:
    time = format_time(row["ts"])
    if not row.get("id"):
        return time
    return f"{time} id {row['id']}"
