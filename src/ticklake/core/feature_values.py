"""Values of feature sets: which one is known at an instant, how they are distributed, and how two sets of them differ."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from ticklake.core.asof import asof_rows, take
from ticklake.core.batch import is_ordered
from ticklake.core.dataset import Dataset
from ticklake.core.display import Displayed, field_values, moment
from ticklake.core.duration import DurationLike
from ticklake.core.features import FeatureSet
from ticklake.core.kinds import TIME
from ticklake.core.knowledge import KNOWN_AT, Knowledge, known_at
from ticklake.core.time import DAY

__all__ = [
    "DAY_STATISTICS",
    "FeatureDescription",
    "FeatureDiff",
    "Materialised",
    "Steps",
    "compare",
    "day_statistics",
    "newest_per_instant",
    "rows_as_of",
    "with_known",
]

DAY_STATISTICS: dict[str, Any] = {
    "day": TIME,
    "column": pl.String(),
    "count": pl.Int64(),
    "nulls": pl.Int64(),
    "mean": pl.Float64(),
    "min": pl.Float64(),
    "max": pl.Float64(),
}
_IDENTITY = ("exchange", "symbol", "ts")


@dataclass(frozen=True, slots=True)
class Steps:
    """The newest known row of one dataset as a function of time: it changes at each of ``known``, which rises strictly.

    ``rows`` has the row that is the newest from then on. They are joined once, so that an instant only has to be looked up.
    """

    known: pl.Series
    ts: pl.Series
    rows: pl.DataFrame

    @property
    def size(self) -> int:
        """What they take in memory, in bytes."""
        return int(self.known.estimated_size() + self.rows.estimated_size())

    @classmethod
    def of(cls, known_rows: pl.DataFrame) -> Steps:
        """Return the steps of rows as :func:`with_known` returns them: :func:`rows_as_of` at each instant at which one becomes known."""
        changes = known_rows["_known"].drop_nulls().unique().sort()
        newest = rows_as_of(changes.to_frame("at"), known_rows, "at")
        steps = take(known_rows.drop("_known"), newest)
        return cls(changes, steps["ts"].to_physical(), steps)

    def at(self, instants: pl.Series, max_age: int | None = None) -> pl.DataFrame:
        """Return one row for each instant (``Int64`` nanoseconds), of nulls where none is known or it is older than *max_age*."""
        if instants.len() == 1:
            return self._at_one(instants[0], max_age)
        places = self.known.search_sorted(instants.fill_null(0), side="right").cast(pl.Int64) - 1
        is_known = (places >= 0) & instants.is_not_null()
        if max_age is not None and self.known.len():
            is_known = is_known & (instants - self.ts.gather(places.clip(0, None)) <= max_age)
        return take(self.rows, pl.select(pl.when(is_known).then(places)).to_series())

    def _at_one(self, instant: int | None, max_age: int | None) -> pl.DataFrame:
        """Return what :meth:`at` returns for a single instant, without planned expressions: they take ten times as long."""
        place = -1
        if instant is not None:
            place = bisect.bisect_right(self.known, instant) - 1
        if place < 0 or (max_age is not None and instant - self.ts[place] > max_age):
            return self.rows.clear(1)
        return self.rows.slice(place, 1)


def with_known(rows: pl.DataFrame, dataset: Dataset, knowledge: Knowledge = "default") -> pl.DataFrame:
    """Return rows, sorted so that of two of one ``ts`` the one that is known later comes last, with when they are known as ``_known``."""
    known = rows.with_columns(known_at(rows, dataset, knowledge).alias("_known"))
    # Rows of the lake are in order: to sort them again would take as long as the join.
    if is_ordered(known, dataset.spec):
        return known
    return known.sort("ts", KNOWN_AT, maintain_order=True)


def rows_as_of(
    left: pl.DataFrame, known: pl.DataFrame, on: str, by: Sequence[str] = (), max_age: DurationLike | None = None
) -> pl.Series:
    """Return for each row of *left* the number of the row of *known* that counts at its instant; null where there is none.

    Of the rows that are known by then it is the one with the latest ``ts``; of several with that ``ts``, the one that became known last.
    A row of an earlier ``ts`` that becomes known later never replaces it.

    Parameters
    ----------
    known
        What :func:`with_known` returns, of one dataset or of several that *by* tells apart.
    max_age
        How far back ``ts`` may lie, inclusive.
    """
    return asof_rows(left, known, on=on, right_on="_known", by=by, newest="ts", max_age=max_age)


def newest_per_instant(rows: pl.DataFrame, identity: Sequence[str] = ("ts",)) -> pl.DataFrame:
    """Return for each ``ts`` the row that became known last, in the order of the rows."""
    ordered = rows.sort(*identity, KNOWN_AT, maintain_order=True)
    return ordered.unique(list(identity), keep="last", maintain_order=True)


def day_statistics(rows: pl.DataFrame, features: FeatureSet) -> pl.DataFrame:
    """Return a row for each UTC day and column, sorted: count, nulls, mean, min and max; of texts and times only the counts."""
    ts = pl.col("ts").to_physical()
    by_day = rows.with_columns(day=(ts - ts.mod(DAY)).cast(TIME)).sort("day", maintain_order=True)
    parts: list[pl.DataFrame] = [pl.DataFrame(schema=DAY_STATISTICS)]
    for column in features.columns:
        number = pl.lit(None, pl.Float64)
        if column.dtype in ("float64", "int64", "bool"):
            number = pl.col(column.name).cast(pl.Float64)
        values = by_day.select("day", pl.col(column.name).is_null().alias("_null"), number.alias("_value"))
        counted = values.group_by("day", maintain_order=True).agg(
            column=pl.lit(column.name),
            count=pl.len().cast(pl.Int64),
            nulls=pl.col("_null").sum().cast(pl.Int64),
            mean=pl.col("_value").mean(),
            min=pl.col("_value").min(),
            max=pl.col("_value").max(),
        )
        parts.append(counted.select(pl.col(name).cast(dtype) for name, dtype in DAY_STATISTICS.items()))
    return pl.concat(parts).sort("day", maintain_order=True)


@dataclass(frozen=True, slots=True, repr=False)
class FeatureDescription(Displayed):
    """What a feature set is, and what the lake holds of it.

    Attributes
    ----------
    features
        The definition: columns with their types and units, keys, tags, code, inputs.
    state
        ``active`` or ``deprecated``.
    datasets
        The datasets that hold its values, one a symbol.
    first, last
        Times of the first and the last row in nanoseconds, or ``None``.
    days
        A row for each UTC day and column: ``count``, ``nulls``, ``mean``, ``min``, ``max``.
    """

    features: FeatureSet
    state: str
    created_at: int
    datasets: tuple[str, ...]
    rows: int
    first: int | None
    last: int | None
    days: pl.DataFrame = field(repr=False)

    def _summary(self) -> dict[str, Any]:
        return {
            "features": str(self.features),
            "state": self.state,
            "columns": tuple(f"{column.name}: {column.dtype}" for column in self.features.columns),
            "symbols": len(self.datasets),
            "rows": self.rows,
            "first": moment(self.first),
            "last": moment(self.last),
        }


@dataclass(frozen=True, slots=True, repr=False)
class FeatureDiff(Displayed):
    """How the values of two feature sets, or of one at two versions of the lake, differ.

    Attributes
    ----------
    added, removed
        Rows (symbol and instant) that only the second, or only the first has.
    changed
        Rows of both with another value in a column that both have.
    equal
        Rows of both with the same values.
    columns
        How many rows changed in each column that both have with the same type.
    only_before, only_after
        Columns that only one of them has, or that have another type in the other.
    rows
        The rows that differ: ``change`` (``added``, ``removed``, ``changed``), exchange, symbol, ts, and of each column both values.
    """

    before: str
    after: str
    added: int
    removed: int
    changed: int
    equal: int
    columns: dict[str, int]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    rows: pl.DataFrame = field(repr=False)

    @property
    def is_empty(self) -> bool:
        """Whether there is no difference."""
        return not (self.added or self.removed or self.changed or self.only_before or self.only_after)

    def _summary(self) -> dict[str, Any]:
        shown = field_values(self)
        shown.pop("rows")
        return shown


@dataclass(frozen=True, slots=True, repr=False)
class Materialised(Displayed):
    """What materialising brought.

    Attributes
    ----------
    instants
        How many were asked for, of all symbols.
    skipped
        Those that were there already.
    without_row
        Those for which the function returned ``None``.
    """

    features: str
    symbols: int
    instants: int
    skipped: int
    computed: int
    without_row: int
    received: int
    new: int
    changed: int
    duplicate: int
    quarantined: int
    run_id: int


def compare(names: tuple[str, str], before: pl.DataFrame, after: pl.DataFrame) -> FeatureDiff:
    """Compare two frames with ``exchange``, ``symbol``, ``ts`` (each once) and values, and maybe ``known_at``; *names* are what they are called."""
    shared = [name for name in before.columns if _is_shared(name, before, after)]
    values = [name for name in shared if name not in (*_IDENTITY, KNOWN_AT)]
    both = _side_by_side(before, after, values)
    met = both["_left"] & both["_right"]
    differs = pl.Series([False]).new_from_index(0, both.height)
    counts: dict[str, int] = {}
    for name in values:
        other = met & both[f"{name}_before"].ne_missing(both[f"{name}_after"])
        counts[name] = int(other.sum())
        differs = differs | other
    rows = _changes(both, differs)
    added, removed, changed = (rows.filter(change=what).height for what in ("added", "removed", "changed"))
    return FeatureDiff(
        *names,
        added,
        removed,
        changed,
        equal=int(met.sum()) - changed,
        columns=counts,
        only_before=_values_beside(before, shared),
        only_after=_values_beside(after, shared),
        rows=rows,
    )


def _side_by_side(before: pl.DataFrame, after: pl.DataFrame, values: Sequence[str]) -> pl.DataFrame:
    """Return each row of both with its values before and after, and where it is: ``_left``, ``_right``."""
    left = before.select(*_IDENTITY, pl.col(values).name.suffix("_before"), _left=pl.lit(True))
    right = after.select(*_IDENTITY, pl.col(values).name.suffix("_after"), _right=pl.lit(True))
    both = left.join(right, on=list(_IDENTITY), how="full", coalesce=True, maintain_order="left_right")
    pairs: list[str] = []
    for name in values:
        pairs += [f"{name}_before", f"{name}_after"]
    return both.select(*_IDENTITY, *pairs, pl.col("_left", "_right").fill_null(False))


def _changes(both: pl.DataFrame, differs: pl.Series) -> pl.DataFrame:
    """Return the rows that differ, with how as ``change``."""
    is_removed, is_added = ~pl.col("_right"), ~pl.col("_left")
    change = pl.when(is_removed).then(pl.lit("removed")).when(is_added).then(pl.lit("added"))
    change = change.when(differs).then(pl.lit("changed"))
    marked = both.select(change.alias("change"), pl.exclude("_left", "_right"))
    return marked.filter(pl.col("change").is_not_null()).sort(*_IDENTITY, maintain_order=True)


def _is_shared(name: str, before: pl.DataFrame, after: pl.DataFrame) -> bool:
    return name in after.columns and after.schema[name] == before.schema[name]


def _values_beside(frame: pl.DataFrame, shared: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in frame.columns if name not in shared and name != KNOWN_AT)
