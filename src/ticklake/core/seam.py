"""Seams: what two sources say of the same few rows where one ends and the other begins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from ticklake.core.kinds import Kind
from ticklake.core.span import Span
from ticklake.core.time import MS, format_time

__all__ = ["SHOWN", "overlap", "seam_differences"]

SHOWN = 10
"""So many differences at one seam are written out; the others are counted."""


def overlap(rows: pl.DataFrame, seam: int, reach: int, bars: int = 3, others: int = 20) -> Span | None:
    """Return the span before *seam* whose rows are asked again, or ``None`` if there are none near enough.

    It begins at a whole millisecond from which on *rows* (sorted, those just before the seam) are complete, and
    goes back *reach* nanoseconds at most.
    """
    ts = rows["ts"].to_physical() if rows.height else None
    if ts is None or int(ts[-1]) < seam - reach:
        return None
    last = int(ts[-1])
    if "open" in rows.columns:
        start = int(ts[-min(bars, rows.height)])
    else:
        first = int(ts[-min(others, rows.height)])
        start = (first // MS + 1) * MS if first // MS < last // MS else last // MS * MS
        if rows.height > others and first // MS == last // MS:
            return None
    start = max(start, seam - reach)
    return Span(start, seam) if start < seam else None


def seam_differences(kept: pl.DataFrame, other: pl.DataFrame, kind: Kind, span: Span) -> list[str]:
    """Compare the rows of *span*: *kept* from the archive, *other* from the exchange.

    Rows are the same fact by their id where both have one, else by their time in milliseconds. Only values that
    both know are compared; times count as equal within a millisecond.

    Returns
    -------
    list of str
        One text a difference, with the time and both values; empty is good.
    """
    left, right = (_keyed(frame, kind, span) for frame in (kept, other))
    found = [*_values_apart(left, right, kind), *_one_sided(left, right)]
    told = found[:SHOWN]
    return [*told, f"and {len(found) - SHOWN} more differences at this seam"] if len(found) > SHOWN else told


def _keyed(frame: pl.DataFrame, kind: Kind, span: Span) -> dict[Any, dict[str, Any]]:
    ts = pl.col("ts").to_physical()
    inside = frame.filter((ts >= span.start) & (ts < span.end)).with_columns(pl.selectors.temporal().to_physical())
    rows: dict[Any, dict[str, Any]] = {}
    for row in inside.iter_rows(named=True):
        identity = row.get("id") or row.get("seq")
        mark = row["ts"] // MS if identity is None else identity
        nth = 0
        while identity is None and not kind.bars and (mark, nth) in rows:
            nth += 1
        rows[(mark, nth)] = row
    return rows


def _values_apart(left: dict[Any, dict[str, Any]], right: dict[Any, dict[str, Any]], kind: Kind) -> Iterator[str]:
    names = [name for name in kind.names if name not in {"ts", "id", *kind.same}]
    for mark in (mark for mark in left if mark in right):
        ours, theirs = left[mark], right[mark]
        where = _where(ours)
        if ours["ts"] // MS != theirs["ts"] // MS:
            yield f"{where} is at {format_time(theirs['ts'])} on the exchange"
        for name in names:
            one, two = ours.get(name), theirs.get(name)
            if one is not None and two is not None and one != two:
                yield f"{where}: {name} is {one!r} in the archive and {two!r} on the exchange"


def _one_sided(left: dict[Any, dict[str, Any]], right: dict[Any, dict[str, Any]]) -> Iterator[str]:
    for mark, row in left.items():
        if mark not in right:
            yield f"{_where(row)} is in the archive and not on the exchange"
    for mark, row in right.items():
        if mark not in left:
            yield f"{_where(row)} is on the exchange and not in the archive"


def _where(row: dict[str, Any]) -> str:
    identity = f" id {row['id']}" if row.get("id") else ""
    return f"{format_time(row['ts'])}{identity}"
