"""Batches of many datasets in one frame: what every append has to find out is found out in one pass over all of them.

A small frame costs what its calls cost, so that 500 frames of two rows cost as much as 500 frames of two hundred.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import polars as pl

from ticklake.core.kinds import Kind
from ticklake.core.merge import Keying, key_of

__all__ = ["BatchFacts", "JoinedBatches", "IdBounds", "id_bounds", "join_batches"]

_BATCH = "_batch"
IdBounds = tuple[int | None, int | None]


class BatchFacts(NamedTuple):
    """What there is to know of one batch before it is compared with stored rows.

    Its rows are those of the joined frame from ``start`` on, ``rows`` of them. ``first`` and ``last`` are the times of its first and
    last row, ``first_id`` and ``last_id`` their ids or numbers if the kind has any. ``lowest`` and ``highest`` are the bounds of its
    ids if all of them are whole numbers. ``has_repeats`` is whether two rows share their key.
    """

    start: int
    rows: int
    first: int
    last: int
    first_id: str | None
    last_id: str | None
    lowest: int | None
    highest: int | None
    has_repeats: bool


class JoinedBatches(NamedTuple):
    """Sorted batches one after the other, with prints numbered if the datasets are keyed by print."""

    frame: pl.DataFrame
    facts: list[BatchFacts]


def join_batches(frames: Sequence[pl.DataFrame], kind: Kind, keying: Keying) -> JoinedBatches:
    """Join canonical batches of one kind that are keyed alike; each has rows, and none lacks its time."""
    heights = [frame.height for frame in frames]
    joined = _sorted(pl.concat(frames, rechunk=True).with_columns(_numbers(heights)), kind)
    if keying == "print":
        joined = _with_numbered_prints(joined)
    repeating = _repeating(joined, key_of(kind, keying))
    starts = [0, *accumulate(heights)][:-1]
    ends = [start + height - 1 for start, height in zip(starts, heights, strict=True)]
    ts = joined["ts"].cast(pl.Int64)
    firsts, lasts = ts.gather(starts).to_list(), ts.gather(ends).to_list()
    first_ids, last_ids = _ids_at(joined, starts), _ids_at(joined, ends)
    bounds: list[IdBounds] = [(None, None)] * len(frames)
    if keying == "id":
        bounds = _id_bounds(joined)
    facts: list[BatchFacts] = []
    for place, (start, rows) in enumerate(zip(starts, heights, strict=True)):
        facts.append(
            BatchFacts(
                start,
                rows,
                firsts[place],
                lasts[place],
                first_ids[place],
                last_ids[place],
                *bounds[place],
                has_repeats=place in repeating,
            )
        )
    return JoinedBatches(joined.drop(_BATCH), facts)


def id_bounds(frame: pl.DataFrame) -> IdBounds:
    """Return the lowest and the highest id of the rows; ``None`` if one of them is no whole number, or there are no rows."""
    numbers = frame["id"].cast(pl.Int64, strict=False)
    if numbers.null_count():
        return None, None
    return numbers.min(), numbers.max()  # type: ignore[return-value]


def _numbers(heights: Sequence[int]) -> pl.Series:
    """Return the number of its batch for each row."""
    numbers = pl.DataFrame(
        {_BATCH: range(len(heights)), "rows": heights}, schema={_BATCH: pl.UInt32, "rows": pl.UInt32}
    )
    return numbers.select(pl.col(_BATCH).repeat_by("rows").explode()).to_series().set_sorted()


def _sorted(joined: pl.DataFrame, kind: Kind) -> pl.DataFrame:
    """Sort each batch as :func:`~ticklake.core.batch.sort` does."""
    columns = [joined[_BATCH]]
    for name in kind.order:
        column = joined[name]
        if column.null_count():
            return _by_sort(joined, kind)
        columns.append(column.to_physical())
    rows = joined.height - 1
    same = pl.Series([True]).new_from_index(0, max(rows, 0))
    for column in columns:
        before, after = column.head(rows), column.slice(1)
        if (same & (after < before)).any():
            return _by_sort(joined, kind)
        same &= after == before
    return joined


def _by_sort(joined: pl.DataFrame, kind: Kind) -> pl.DataFrame:
    return joined.sort(_BATCH, *kind.order, maintain_order=True)


def _tied(joined: pl.DataFrame) -> pl.Series | None:
    """Mark the rows that share batch and time with another; ``None`` if none does."""
    rows = joined.height - 1
    ts, batch = joined["ts"].cast(pl.Int64), joined[_BATCH]
    same = (ts.slice(1) == ts.head(rows)) & (batch.slice(1) == batch.head(rows))
    if not same.any():
        return None
    edge = pl.Series([False])
    return pl.concat([edge, same]) | pl.concat([same, edge])


def _with_numbered_prints(joined: pl.DataFrame) -> pl.DataFrame:
    """Number identical prints as :func:`~ticklake.core.batch.number_prints` does for one batch."""
    if _tied(joined) is None:
        return joined.with_columns(n=pl.lit(0, pl.Int32))
    n = pl.int_range(pl.len(), dtype=pl.Int32).over(_BATCH, "ts", "price", "amount", "side")
    return joined.with_columns(n.alias("n"))


def _repeating(joined: pl.DataFrame, key: Sequence[str]) -> set[int]:
    """Return the numbers of the batches in which two rows share their key."""
    tied = _tied(joined)
    if tied is None:
        return set()
    rows = joined.filter(tied).select(_BATCH, *key)
    # Hashes are fast and may collide: what differs in them is no repeat, what does not is looked at.
    if rows.hash_rows().n_unique() == rows.height:
        return set()
    repeated = rows.select(pl.struct(_BATCH, *key).is_duplicated()).to_series()
    return set(rows[_BATCH].filter(repeated).unique().to_list())


def _ids_at(joined: pl.DataFrame, places: list[int]) -> list[str | None]:
    """Return the ids or numbers of rows as text, if the kind has any."""
    for name in ("id", "seq"):
        if name in joined.columns:
            return joined[name].gather(places).cast(pl.String).to_list()
    return [None] * len(places)


def _id_bounds(joined: pl.DataFrame) -> list[IdBounds]:
    """Return the lowest and the highest id of each batch, ``None`` if one of its ids is no whole number."""
    ids = pl.col("id").cast(pl.Int64, strict=False)
    numbers = joined.select(_BATCH, ids).group_by(_BATCH, maintain_order=True)
    bounds = numbers.agg(
        lowest=pl.col("id").min(), highest=pl.col("id").max(), are_numbers=pl.col("id").null_count() == 0
    )
    known = pl.when("are_numbers")
    return bounds.select(known.then("lowest").alias("lowest"), known.then("highest").alias("highest")).rows()
