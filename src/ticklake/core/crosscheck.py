"""Cross-checks: what two witnesses say of the same rows. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.display import Displayed
from ticklake.core.kinds import TIME, Kind
from ticklake.core.merge import Keying, key_of
from ticklake.core.outage import inside
from ticklake.core.span import Span
from ticklake.core.time import MS

__all__ = ["DIFFERENCES", "TOLERANCE", "CrossCheck", "compare", "differences_by_key", "rows_in", "without_untraded"]

TOLERANCE = 1e-6
"""By how much, relative to the larger one, sums of floats may differ: they depend on the order of adding."""
DIFFERENCES: dict[str, Any] = {
    "ts": TIME,
    "column": pl.String,
    "ours": pl.Float64,
    "theirs": pl.Float64,
    "difference": pl.Float64,
}
"""The schema of differences. ``column`` is ``row`` where only one side has it, which then says 1."""
_SUMS = frozenset({"volume", "quote_volume"})
_SIDES = {"buy": 1, "bid": 1, "sell": -1, "ask": -1}


@dataclass(frozen=True, repr=False)
class CrossCheck(Displayed):
    """One comparison.

    Attributes
    ----------
    dataset
        Whose stored rows were looked at.
    against
        The other witness: the dataset that bars were rebuilt from, or the exchange's call.
    compared
        How many rows were compared: those that both sides should have.
    differences
        A row a difference: ``ts``, ``column``, ``ours``, ``theirs``, ``difference`` (ours less theirs). *Theirs* is
        what the exchange says: its stored bars where *ours* are rebuilt, its answer where *ours* are stored. A side is
        1 for buy and -1 for sell; a ``ts`` that differs is given in nanoseconds.
    """

    dataset: Dataset
    against: str
    compared: int
    differences: pl.DataFrame

    def _summary(self) -> dict[str, Any]:
        return {
            "dataset": str(self.dataset),
            "against": self.against,
            "compared": f"{self.compared:,}",
            "differences": f"{self.differences.height:,}",
        }

    @property
    def agrees(self) -> bool:
        """Whether there is no difference."""
        return not self.differences.height


def rows_in(rows: pl.DataFrame, spans: Sequence[Span]) -> pl.DataFrame:
    """Return those of the *rows* that lie in sorted, disjoint *spans*."""
    return rows.filter(inside(rows["ts"].to_physical(), spans))


def without_untraded(rows: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    """Return bars without those in which nothing was traded and that the *other* side does not have.

    Some exchanges send bars without trades and some leave them out; neither is wrong.
    """
    traded = (pl.col("volume") != 0).fill_null(True)
    return rows.filter(traded | pl.col("ts").is_in(other["ts"].implode()))


def compare(
    ours: pl.DataFrame,
    theirs: pl.DataFrame,
    kind: Kind,
    keying: Keying = "natural",
    *,
    tolerance: float = TOLERANCE,
    without: Sequence[str] = (),
) -> tuple[int, pl.DataFrame]:
    """Compare rows by key, and return how many there were and the differences.

    Values that one side does not know are not compared. Volumes are equal within *tolerance*, everything else exactly;
    the times of trades with ids are equal within a millisecond, because not every endpoint tells more.

    Parameters
    ----------
    without
        Columns that are left out.
    """
    key = key_of(kind, keying)
    if keying == "id":
        # Without the time, which may differ between endpoints by less than a millisecond: it is compared as a value.
        key = ("id",)
    count, differences = differences_by_key(ours, theirs, kind, key, tolerance=tolerance, without=without)
    return count, differences.select(*DIFFERENCES)


def differences_by_key(
    ours: pl.DataFrame,
    theirs: pl.DataFrame,
    kind: Kind,
    key: Sequence[str],
    *,
    tolerance: float = TOLERANCE,
    without: Sequence[str] = (),
) -> tuple[int, pl.DataFrame]:
    """Compare rows by any *key*, as :func:`compare` does, and return the differences with the key, as ``_of`` a struct."""
    names = kind.names_without(*key, *kind.same, *without)
    left, right = _numbers(ours, key, names), _numbers(theirs, key, names)
    both = left.join(right, on=list(key), how="full", coalesce=True, suffix="_", nulls_equal=True)
    time = "_ts"
    if "ts" in key:
        # The join makes one column of both sides of a key, so it is there for rows of either side.
        time = "ts"
    both = both.with_columns(_when=pl.coalesce(time, "_ts_"), _of=pl.struct(key))
    differences = [_one_sided(both)]
    differences += [_apart(both, name, tolerance) for name in names]
    return both.height, pl.concat(differences).sort("ts", maintain_order=True)


def _numbers(frame: pl.DataFrame, key: Sequence[str], names: Sequence[str]) -> pl.DataFrame:
    """Return the key, the time, a mark, and every other column as floats; the newest row of a key only."""
    values = [_number(frame.schema, name) for name in names]
    # Pages overlap, so an answer may hold a row twice.
    newest = frame.unique(subset=list(key), keep="last", maintain_order=True)
    time = pl.col("ts").to_physical().alias("_ts")
    return newest.select(pl.col(key).to_physical(), time, pl.lit(True).alias("_there"), *values)


def _number(schema: pl.Schema, name: str) -> pl.Expr:
    """Return a column as floats, a side as 1 or -1; nulls if there is no such column."""
    if name not in schema:
        return pl.lit(None, pl.Float64).alias(name)
    column = pl.col(name)
    if schema[name] == pl.String:
        return column.replace_strict(_SIDES, default=None, return_dtype=pl.Float64).alias(name)
    return column.to_physical().cast(pl.Float64)


def _one_sided(both: pl.DataFrame) -> pl.DataFrame:
    ours, theirs = pl.col("_there"), pl.col("_there_")
    alone = both.filter(ours.is_null() | theirs.is_null())
    return _listed(alone, "row", ours.cast(pl.Float64), theirs.cast(pl.Float64))


def _apart(both: pl.DataFrame, name: str, tolerance: float) -> pl.DataFrame:
    ours, theirs = pl.col(name), pl.col(f"{name}_")
    if name == "ts":
        ours, theirs = pl.col("_ts"), pl.col("_ts_")
        apart = (ours // MS) != (theirs // MS)
    elif name in _SUMS:
        apart = (ours - theirs).abs() > tolerance * pl.max_horizontal(ours.abs(), theirs.abs())
    else:
        apart = ours != theirs
    # A row that one side lacks is one difference, not one of each of its values.
    known = pl.col("_there") & pl.col("_there_")
    return _listed(both.filter((apart & known).fill_null(False)), name, ours, theirs)


def _listed(rows: pl.DataFrame, column: str, ours: pl.Expr, theirs: pl.Expr) -> pl.DataFrame:
    return rows.select(
        pl.col("_of"),
        pl.col("_when").cast(TIME).alias("ts"),
        pl.lit(column).alias("column"),
        ours.cast(pl.Float64).alias("ours"),
        theirs.cast(pl.Float64).alias("theirs"),
        (ours - theirs).cast(pl.Float64).alias("difference"),
    )
