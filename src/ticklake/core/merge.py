"""Merging: what a new batch adds to rows that are already there."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from ticklake.core.batch import sort, ties
from ticklake.core.kinds import Kind
from ticklake.core.time import SECOND

__all__ = [
    "ID_WINDOW",
    "Difference",
    "Keying",
    "collapse",
    "difference",
    "has_repeats",
    "is_in",
    "key_of",
    "key_of_batch",
]

ID_WINDOW = SECOND
"""A trade's id may come back with another time precision: look this far around."""

Keying = str
"""How a dataset tells its rows apart: ``natural`` (the kind's key), or for trades ``id`` or ``print``."""

_FEW = 8
"""Rows of bars that are looked up one by one."""
# Identical prints are real, so n, the number among them, is part of the key.
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
    # One row without an id is enough: it could never be told from the next one without.
    if frame.height and frame["id"].null_count() == 0:
        return "id"
    return "print"


def key_of(kind: Kind, keying: Keying) -> tuple[str, ...]:
    """Return the key columns."""
    if keying == "print":
        return _PRINT
    return kind.key


def collapse(frames: Sequence[pl.LazyFrame], kind: Kind, keying: Keying) -> pl.LazyFrame:
    """Merge frames, oldest content first, so that the newest row of each key wins; sorted by order.

    A row that was corrected stands where its first version stood: of trades of one instant, the last one makes the close of a bar.
    """
    key = key_of(kind, keying)
    rows = pl.concat(list(frames))
    if keying == "print" or set(key) <= set(kind.order):
        # Rows that share a key are equal, or have an instant of their own.
        merged = rows.unique(subset=key, keep="last", maintain_order=True)
    else:
        merged = rows.group_by(key, maintain_order=True).agg(pl.all().last()).select(list(kind.stored_schema))
    return merged.sort(*kind.order, maintain_order=True)


def difference(batch: pl.DataFrame, existing: pl.DataFrame, kind: Kind, keying: Keying) -> Difference:
    """Compare a sorted batch with the existing rows of its span.

    A row is a duplicate if it says nothing that the lake does not already hold: every value it knows is
    the stored one. A row whose key is known and whose values differ replaces the old one. Of rows of one batch that
    share a key, the last that says something new stands for all of them, and is compared with the stored one. The
    time of a trade whose id is known is looked up among the existing rows, not in the batch.
    """
    key = key_of(kind, keying)
    if keying == "id" and existing.height:
        batch = _with_known_times(batch, existing, kind)
    batch, repeats, older, newer = _collapse_batch(batch, kind, key)
    # Only rows that can meet existing ones are compared: most batches come after all of them (decision 10).
    first, last = _meeting(batch, existing)
    if first == last:
        return Difference(batch, batch.height, repeats, older, newer)
    middle = batch.slice(first, last - first)
    met, differs, old = _match(middle, existing, kind, key)
    same = middle[met.filter(~differs)]
    if newer.height:
        # Where the last row of a key is the stored one, its other versions in the batch changed nothing.
        is_change = ~is_in(newer, same.select(key))
        repeats += int((~is_change).sum())
        older, newer = older.filter(is_change), newer.filter(is_change)
    return Difference(
        add=_without(batch, met.filter(~differs) + first),
        new=batch.height - met.len(),
        duplicate=repeats + same.height,
        before=pl.concat([older, old.filter(differs)]),
        after=pl.concat([newer, middle[met.filter(differs)]]),
    )


def _meeting(batch: pl.DataFrame, existing: pl.DataFrame, window: int = 0) -> tuple[int, int]:
    """Return from which to which row of a sorted batch the times of sorted *existing* rows reach."""
    if not existing.height or not batch.height:
        return 0, 0
    ts, known = batch["ts"].cast(pl.Int64), existing["ts"].cast(pl.Int64)
    return bisect.bisect_left(ts, known[0] - window), bisect.bisect_right(ts, known[-1] + window)


def _with_known_times(batch: pl.DataFrame, existing: pl.DataFrame, kind: Kind) -> pl.DataFrame:
    """Give trades the times under which the lake knows their ids."""
    # Calls and streams of one exchange send the same trade with times of other precision.
    first, last = _meeting(batch, existing, ID_WINDOW)
    middle = batch.slice(first, last - first)
    pairs = existing[["ts", "id"]]
    fresh = middle[["ts", "id"]].with_row_index("_row").join(pairs, on=["ts", "id"], how="anti")
    if not fresh["id"].is_in(pairs["id"].implode()).any():
        return batch
    middle = sort(_adopt_times(middle, fresh, pairs), kind)
    return pl.concat([batch.head(first), middle, batch.slice(last)])


def _without(frame: pl.DataFrame, places: pl.Series) -> pl.DataFrame:
    """Return the rows of *frame* that do not stand at *places*."""
    if not places.len():
        return frame
    kept = pl.Series([True]).new_from_index(0, frame.height)
    return frame.filter(kept.scatter(places, False))


def _values(kind: Kind, key: Sequence[str]) -> list[str]:
    return kind.names_without(*key, *kind.same)


def _collapse_batch(
    batch: pl.DataFrame, kind: Kind, key: Sequence[str]
) -> tuple[pl.DataFrame, int, pl.DataFrame, pl.DataFrame]:
    """Leave one row of each key; report how many said nothing new, and what replaced what on the way."""
    none = batch.clear()
    if not has_repeats(batch, key):
        return batch, 0, none, none
    repeated = batch.select(pl.struct(key).is_duplicated()).to_series()
    rows = batch.with_row_index("_row").filter(repeated)
    names = _values(kind, key)
    winners: dict[object, tuple[int, list[object]]] = {}
    before: list[int] = []
    after: list[int] = []
    # Times as integers: as objects of Python they would lose their nanoseconds.
    exact = rows.with_columns(pl.selectors.temporal().to_physical())
    for row, fields, *values in exact.select("_row", pl.struct(key).alias("_key"), *names).iter_rows():
        identity = tuple(fields.values())
        winner = winners.get(identity)
        if winner is not None:
            if all(new is None or new == old for new, old in zip(values, winner[1], strict=True)):
                continue
            before.append(winner[0])
            after.append(row)
        winners[identity] = (row, values)
    kept = pl.Series("_row", sorted(row for row, _ in winners.values()), dtype=pl.UInt32)
    numbered = batch.with_row_index("_row")
    left = numbered.filter(~repeated | numbered["_row"].is_in(kept.implode())).drop("_row")
    return left, batch.height - left.height - len(after), batch[before], batch[after]


def has_repeats(batch: pl.DataFrame, key: Sequence[str]) -> bool:
    """Whether two rows of a sorted batch share their key; only rows that share their ``ts`` can."""
    tied = ties(batch)
    if tied is None:
        return False
    rows = batch.filter(tied).select(key)
    # Hashes are fast and may collide: what differs in them is no repeat, what does not is looked at.
    if rows.hash_rows().n_unique() == rows.height:
        return False
    return bool(rows.select(pl.struct(key).is_duplicated().any()).item())


def is_in(frame: pl.DataFrame, keys: pl.DataFrame) -> pl.Series:
    """Mark the rows of *frame* whose key is among *keys*."""
    marked = keys.unique().with_columns(pl.lit(True).alias("_in"))
    joined = frame.select(keys.columns).join(
        marked, on=keys.columns, how="left", nulls_equal=True, maintain_order="left"
    )
    return joined["_in"].fill_null(False)


def _match(
    batch: pl.DataFrame, existing: pl.DataFrame, kind: Kind, key: Sequence[str]
) -> tuple[pl.Series, pl.Series, pl.DataFrame]:
    """Return which rows of *batch* have their key among *existing*, whether they differ from it, and that row."""
    if tuple(key) == ("ts",) and batch.height <= _FEW:
        places, old_places = _pairs_by_time(batch["ts"], existing["ts"])
    else:
        ours, theirs = batch[list(key)].with_row_index("_new"), existing[list(key)].with_row_index("_old")
        pairs = ours.join(theirs, on=list(key), nulls_equal=True, maintain_order="left")
        places, old_places = pairs["_new"], pairs["_old"]
    new, old = batch[places], existing[old_places]
    differs = pl.Series([False]).new_from_index(0, places.len())
    for name in _values(kind, key):
        differs = differs | _says_otherwise(new[name], old[name])
    return places, differs, old


def _pairs_by_time(batch: pl.Series, existing: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Return the places of times that are in both sorted series, in the one and in the other."""
    # A planned join costs more than all else that the correction of a bar compares.
    times, known = batch.cast(pl.Int64), existing.cast(pl.Int64)
    places: list[int] = []
    old_places: list[int] = []
    for place, ts in enumerate(times):
        old_place = bisect.bisect_left(known, ts)
        if old_place < known.len() and known[old_place] == ts:
            places.append(place)
            old_places.append(old_place)
    return pl.Series(places, dtype=pl.UInt32), pl.Series(old_places, dtype=pl.UInt32)


def _says_otherwise(new: pl.Series, old: pl.Series) -> pl.Series:
    """Mark the values that are known and are not the old ones."""
    if not new.null_count() and not old.null_count():
        return new != old
    return new.is_not_null() & new.ne_missing(old)


def _adopt_times(batch: pl.DataFrame, fresh: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """Give each *fresh* row of *batch* the time of the nearest of *pairs* with its id, if that is within a second."""
    known = fresh.join(pairs.rename({"ts": "_known"}), on="id")
    distance = (pl.col("_known").to_physical() - pl.col("ts").to_physical()).abs()
    near = known.with_columns(distance.alias("_far")).filter(pl.col("_far") <= ID_WINDOW)
    if not near.height:
        return batch
    nearest = near.sort("_far").unique("_row", keep="first").select("_row", "_known")
    joined = batch.with_row_index("_row").join(nearest, on="_row", how="left", maintain_order="left")
    return joined.with_columns(ts=pl.coalesce("_known", "ts")).drop("_row", "_known")
