"""Merging: what a new batch adds to rows that are already there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from ticklake.core.batch import sort
from ticklake.core.kinds import PROVENANCE, Kind
from ticklake.core.time import SECOND

__all__ = ["ID_WINDOW", "Difference", "Keying", "collapse", "difference", "key_of", "key_of_batch"]

ID_WINDOW = SECOND
"""A trade's id may come back with another time precision: look this far around."""

Keying = str
"""How a dataset tells its rows apart: ``natural`` (the kind's key), or for trades ``id`` or ``print``."""

_PRINT = ("ts", "price", "amount", "side", "n")


@dataclass(frozen=True, slots=True)
class Difference:
    """What a batch brings: rows to add, how many of them are new, and what they replace.

    ``before`` and ``after`` are the old and the new version of each changed row, aligned.
    """

    add: pl.DataFrame
    new: int
    duplicate: int
    before: pl.DataFrame
    after: pl.DataFrame

    @property
    def changed(self) -> int:
        """How many rows carry other values than the lake has."""
        return self.after.height


def key_of_batch(frame: pl.DataFrame, kind: Kind) -> Keying:
    """Choose how a dataset will tell its rows apart, from the first batch it gets."""
    if "id" not in kind.key:
        return "natural"
    return "id" if frame.height and frame["id"].null_count() == 0 else "print"


def key_of(kind: Kind, keying: Keying) -> tuple[str, ...]:
    """Return the key columns."""
    return _PRINT if keying == "print" else kind.key


def collapse(frames: Sequence[pl.LazyFrame], kind: Kind, keying: Keying) -> pl.LazyFrame:
    """Merge frames, oldest content first, so that the newest row of each key wins; sorted by order."""
    key = list(key_of(kind, keying))
    merged = pl.concat(list(frames)).unique(subset=key, keep="last", maintain_order=True)
    return merged.sort(*kind.order, maintain_order=True)


def difference(batch: pl.DataFrame, existing: pl.DataFrame, kind: Kind, keying: Keying) -> Difference:
    """Compare a sorted batch with the existing rows of its span.

    A row is a duplicate if it says nothing that the lake does not already hold: every value it knows is
    the stored one. A row whose key is known and whose values differ replaces the old one. Rows of one batch
    that share a key end as they would have, one after the other.
    """
    key = key_of(kind, keying)
    if keying == "id" and existing.height:
        batch = sort(_adopt_times(batch, existing), kind)
    batch, repeats, older, newer = _collapse_batch(batch, kind, key)
    if not existing.height:
        return Difference(batch, batch.height, repeats, older, newer)
    marks, old = _match(batch, existing, kind, key)
    same = batch.filter(marks == "same").select(key)
    real = ~_is_in(newer, same)
    changed = marks == "changed"
    return Difference(
        add=batch.filter(marks != "same"),
        new=int((marks == "new").sum()),
        duplicate=repeats + same.height + int((~real).sum()),
        before=pl.concat([older.filter(real), old.filter(changed)]),
        after=pl.concat([newer.filter(real), batch.filter(changed)]),
    )


def _values(kind: Kind, key: Sequence[str]) -> list[str]:
    skipped = {*key, *kind.same, PROVENANCE, "n"}
    return [name for name in kind.names if name not in skipped]


def _collapse_batch(
    batch: pl.DataFrame, kind: Kind, key: Sequence[str]
) -> tuple[pl.DataFrame, int, pl.DataFrame, pl.DataFrame]:
    """Leave one row of each key; report how many said nothing new, and what replaced what on the way."""
    none = batch.clear()
    repeated = batch.select(pl.struct(key).is_duplicated()).to_series()
    if not repeated.any():
        return batch, 0, none, none
    rows = batch.with_row_index("_row").filter(repeated)
    names = _values(kind, key)
    winners: dict[object, tuple[int, tuple[object, ...]]] = {}
    before, after = [], []
    exact = rows.with_columns(pl.selectors.temporal().to_physical())
    told = exact.select("_row", pl.struct(key).alias("_key"), *names)
    for row, identity, *values in told.iter_rows():
        mark = tuple(identity.values())
        held = winners.get(mark)
        if held is not None:
            if all(new is None or new == old for new, old in zip(values, held[1], strict=True)):
                continue
            before.append(held[0])
            after.append(row)
        winners[mark] = (row, tuple(values))
    kept = pl.Series("_row", sorted(row for row, _ in winners.values()), dtype=pl.UInt32)
    everything = batch.with_row_index("_row")
    left = everything.filter(~repeated | everything["_row"].is_in(kept.implode())).drop("_row")
    return left, batch.height - left.height - len(after), batch[before], batch[after]


def _is_in(frame: pl.DataFrame, keys: pl.DataFrame) -> pl.Series:
    """Mark the rows of *frame* whose key is among *keys*."""
    marked = keys.unique().with_columns(pl.lit(True).alias("_in"))
    joined = frame.join(marked, on=keys.columns, how="left", nulls_equal=True, maintain_order="left")
    return joined["_in"].fill_null(False)


def _match(
    batch: pl.DataFrame, existing: pl.DataFrame, kind: Kind, key: Sequence[str]
) -> tuple[pl.Series, pl.DataFrame]:
    """Mark each row of *batch* new, same or changed, and give the existing row it meets (nulls if none)."""
    columns = existing.columns
    right = existing.rename({name: f"{name}__old" for name in columns if name not in key}).with_columns(
        pl.lit(True).alias("__met")
    )
    joined = batch.join(right, on=list(key), how="left", nulls_equal=True, maintain_order="left")
    agrees = [pl.col(name).is_null() | pl.col(name).eq_missing(pl.col(f"{name}__old")) for name in _values(kind, key)]
    same = pl.all_horizontal(agrees) if agrees else pl.lit(True)
    marks = joined.select(
        pl.when(pl.col("__met").is_null())
        .then(pl.lit("new"))
        .when(same)
        .then(pl.lit("same"))
        .otherwise(pl.lit("changed"))
        .alias("mark")
    )["mark"]
    old = joined.select(pl.col(name) if name in key else pl.col(f"{name}__old").alias(name) for name in columns)
    return marks, old


def _adopt_times(batch: pl.DataFrame, existing: pl.DataFrame) -> pl.DataFrame:
    """Give a row the time under which the lake already knows its id, if that is within a second."""
    fresh = batch.with_row_index("_row").join(existing, on=["ts", "id"], how="anti").select("_row", "id", "ts")
    known = fresh.join(existing.select("id", pl.col("ts").alias("_known")), on="id")
    distance = (pl.col("_known").to_physical() - pl.col("ts").to_physical()).abs()
    near = known.with_columns(distance.alias("_far")).filter(pl.col("_far") <= ID_WINDOW)
    if not near.height:
        return batch
    nearest = near.sort("_far").unique("_row", keep="first").select("_row", "_known")
    joined = batch.with_row_index("_row").join(nearest, on="_row", how="left", maintain_order="left")
    return joined.with_columns(ts=pl.coalesce("_known", "ts")).drop("_row", "_known")
