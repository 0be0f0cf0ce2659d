"""As-of joins: to each row the newest row of another frame that counts at its instant. The one place that does it.

Polars' own join gives rows of wrong groups where its input is not sorted inside them, or where keys are null. Here groups and times
become one sorted key, which is searched; that it is sorted is asserted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from ticklake.core.batch import times_of
from ticklake.core.duration import DurationLike, parse_length
from ticklake.core.lookup import absent, did_you_mean
from ticklake.core.selection import parse_names, parse_text
from ticklake.errors import BadInput

__all__ = ["TEXTS", "Direction", "asof", "asof_rows", "joined", "take"]

Direction = Literal["backward", "forward"]
_GROUP = 1 << 64
"""More than two times can differ by: what lies between the keys of two groups."""
_FEW_GROUPS = 1 << 16
"""Texts of up to so many groups are numbered as the values of an Enum."""
TEXTS = (pl.String, pl.Categorical, pl.Enum)
"""The types of columns of texts."""


@dataclass(frozen=True, slots=True)
class _Keys:
    """The times of rows and the numbers of their groups, if there are groups."""

    times: pl.Series
    groups: pl.Series | None

    def combined(self) -> pl.Series:
        """Return time and group as one number, by which groups follow one another; null where one of them is."""
        if self.groups is None:
            return self.times
        rows = pl.DataFrame({"group": self.groups, "time": self.times})
        keys = rows.select(pl.col("group").cast(pl.Int128) * pl.lit(_GROUP, pl.Int128) + pl.col("time"))
        return keys.to_series()


def asof(
    left: pl.DataFrame,
    right: pl.DataFrame,
    *,
    on: str = "ts",
    right_on: str | None = None,
    by: str | Sequence[str] = (),
    max_age: DurationLike | None = None,
    allow_exact: bool = True,
    suffix: str = "_right",
    direction: Direction = "backward",
    newest: str | None = None,
) -> pl.DataFrame:
    """Return *left* with the columns of the row of *right* that counts at each of its times: one row for each, in its order.

    That is the last row at or before the time. Of rows of *right* with the same time the last one in the frame stands for it.
    Where there is none, the columns are null. Neither frame has to be sorted.

    Parameters
    ----------
    on, right_on
        The columns of times: datetimes with a zone, dates, or integers of nanoseconds. Different units are compared exactly. A null time
        matches nothing. *right_on* is *on* by default.
    by
        Columns of both frames that must be equal, like ``symbol``. A null equals nothing.
    max_age
        An older row does not count: a length of time, also an integer of nanoseconds. A row of exactly this age does.
    allow_exact
        Whether a row at the very time counts.
    suffix
        Added to names that *left* has, too. The time of the row that was found is always there.
    direction
        ``forward`` for the first row at or after the time.
    newest
        A column of *right* with another time: when the row happened, if *right_on* says when it was known. Of the rows that
        count, the one with the greatest is taken, and its age is measured from there. So what happened earlier and was
        known later replaces nothing.

    Raises
    ------
    BadInput
        If a column is missing, or its type cannot be compared.

    Examples
    --------
    >>> trades = pl.DataFrame({"ts": [1_700_000_000_000_000_005, 1_700_000_000_000_000_001]})
    >>> quotes = pl.DataFrame({"ts": [1_700_000_000_000_000_004], "bid": [9.5]})
    >>> asof(trades, quotes)["bid"].to_list()
    [9.5, None]
    """
    groups = parse_names("by", by)
    matches = asof_rows(
        left,
        right,
        on=on,
        right_on=right_on,
        by=groups,
        max_age=max_age,
        allow_exact=allow_exact,
        direction=direction,
        newest=newest,
    )
    return joined(left, take(right.drop(groups), matches), parse_text("suffix", suffix))


def asof_rows(
    left: pl.DataFrame,
    right: pl.DataFrame,
    *,
    on: str = "ts",
    right_on: str | None = None,
    by: str | Sequence[str] = (),
    max_age: DurationLike | None = None,
    allow_exact: bool = True,
    direction: Direction = "backward",
    newest: str | None = None,
) -> pl.Series:
    """Return the number of the row of *right* that :func:`asof` joins to each row of *left*; null where there is none."""
    groups = _parse_groups(by)
    right_on = right_on or on
    _check_columns("left", left, [on, *groups])
    _check_columns("right", right, [right_on, newest or right_on, *groups])
    _check_direction(direction, newest)
    left_groups, right_groups = _group_numbers(left, right, groups)
    wanted = _keys(left[on], left_groups)
    there = _keys(right[right_on], right_groups)
    happened = there.times
    if newest is not None:
        happened = times_of(right[newest]).to_physical()
        candidates = _newest_so_far(there, _Keys(happened, there.groups))
        matches = _search(wanted, there, candidates, allow_exact, direction)
    elif there.groups is not None and direction == "backward":
        matches = _join_in_groups(wanted, there, allow_exact)
    else:
        matches = _search(wanted, there, _last_of_each_key(there), allow_exact, direction)
    if max_age is None:
        return matches
    return _without_old(matches, wanted.times, happened, _age(max_age), direction)


def joined(left: pl.DataFrame, found: pl.DataFrame, suffix: str) -> pl.DataFrame:
    """Return the columns of both frames, which have as many rows; names that *left* has, too, get the *suffix*.

    Raises
    ------
    BadInput
        If a name is there twice all the same.
    """
    names = list(found.columns)
    for place, name in enumerate(names):
        if name in left.columns:
            names[place] = name + suffix
    for name in names:
        if name in left.columns or names.count(name) > 1:
            raise BadInput(f"both frames have a column {name!r}: pass another suffix than {suffix!r}")
    return pl.concat([left, found.rename(dict(zip(found.columns, names, strict=True)))], how="horizontal")


def take(frame: pl.DataFrame, rows: pl.Series) -> pl.DataFrame:
    """Return the rows of these numbers; a row of nulls for a null."""
    if not frame.height:
        # There is no row that could be taken, and nothing to take it from.
        return frame.clear(rows.len())
    return frame.select(pl.all().gather(rows))


def _parse_groups(by: str | Sequence[str]) -> list[str]:
    groups = parse_names("by", by)
    if len(set(groups)) < len(groups):
        raise BadInput(f"by={by!r} names a column twice: name it once")
    return groups


def _check_direction(direction: str, newest: str | None) -> None:
    if direction not in ("backward", "forward"):
        raise BadInput(f"direction={direction!r} is not known: use backward or forward")
    if newest is not None and direction == "forward":
        raise BadInput("newest= has no meaning with direction='forward': use backward")


def _check_columns(side: str, frame: pl.DataFrame, names: Sequence[str]) -> None:
    if not isinstance(frame, pl.DataFrame):
        raise BadInput(f"the {side} side is a {type(frame).__name__}: pass a Polars DataFrame")
    for name in absent(names, frame.columns):
        raise BadInput(
            f"the {side} frame has no column {name!r}{did_you_mean(name, frame.columns)}: it has {', '.join(frame.columns)}"
        )


def _age(max_age: DurationLike) -> int:
    # Unlike what users write, an integer that code passes is in nanoseconds however small it is.
    if isinstance(max_age, int) and not isinstance(max_age, bool) and max_age >= 0:
        return min(max_age, _GROUP)
    return parse_length(max_age)


def _keys(times: pl.Series, groups: pl.Series | None) -> _Keys:
    return _Keys(times_of(times).to_physical(), groups)


def _group_numbers(
    left: pl.DataFrame, right: pl.DataFrame, by: Sequence[str]
) -> tuple[pl.Series | None, pl.Series | None]:
    """Number the groups of both frames alike; null for one with a null, and for one that *right* does not have."""
    if not by:
        return None, None
    lefts = left.select(_comparable(left, right, name, left) for name in by)
    rights = right.select(_comparable(left, right, name, right) for name in by)
    known = rights.drop_nulls().unique()
    return _numbers_among(known, lefts), _numbers_among(known, rights)


def _numbers_among(known: pl.DataFrame, keys: pl.DataFrame) -> pl.Series:
    """Return which row of *known* each row of *keys* is; null for none."""
    if known.width == 1 and known.to_series().dtype == pl.String and known.height <= _FEW_GROUPS:
        # Far faster than a join, unless there are many.
        return keys.to_series().cast(pl.Enum(known.to_series()), strict=False).to_physical()
    numbered = known.with_row_index("_group")
    return keys.join(numbered, on=known.columns, how="left", maintain_order="left")["_group"]


def _comparable(left: pl.DataFrame, right: pl.DataFrame, name: str, frame: pl.DataFrame) -> pl.Series:
    one, other = left.schema[name], right.schema[name]
    if one == other:
        return frame[name]
    if one in TEXTS and other in TEXTS:
        return frame[name].cast(pl.String)
    if one.is_integer() and other.is_integer():
        return frame[name].cast(pl.Int128)
    if one == pl.Null:
        return frame[name].cast(other)
    if other == pl.Null:
        return frame[name].cast(one)
    raise BadInput(f"column {name!r} is {one} on the left and {other} on the right: cast one of them")


def _last_of_each_key(there: _Keys) -> pl.DataFrame:
    """Return the keys in order, each once, with the ``row`` that stands for it: the last one."""
    rows = _sorted(there)
    is_last = (rows["key"] != rows["key"].shift(-1)).fill_null(True)
    return rows.filter(is_last)


def _newest_so_far(there: _Keys, happened: _Keys) -> pl.DataFrame:
    """Return the keys in order, each once, with the ``row`` of the group that happened last of those up to it."""
    by_time = _sorted(happened)
    rows = _sorted(there)
    if by_time["row"].is_sorted() and by_time.height == there.times.len():
        # Rows mostly come in the order in which they happened: then a row's number is its place.
        rows = rows.with_columns(place=pl.col("row").cast(pl.Int64))
    else:
        order = pl.DataFrame({"row": by_time["row"], "place": pl.int_range(by_time.height, eager=True)})
        rows = rows.join(order, on="row", how="inner", maintain_order="left")
    # Places of a later group are greater than those of all groups before it.
    rows = rows.with_columns(place=pl.col("place").cum_max())
    is_last = (rows["key"] != rows["key"].shift(-1)).fill_null(True)
    rows = rows.filter(is_last)
    return rows.select("key", row=by_time["row"].gather(rows["place"]))


def _sorted(keys: _Keys) -> pl.DataFrame:
    """Return the keys that are not null in order, with the number of their row; equal ones as they came."""
    return _by_key(pl.DataFrame({"key": keys.combined()}))


def _by_key(rows: pl.DataFrame) -> pl.DataFrame:
    """Number rows, leave out those with a null, and sort them by ``key``; equal ones stay as they came."""
    rows = rows.with_row_index("row").drop_nulls()
    if not rows["key"].is_sorted():
        rows = rows.sort("key", maintain_order=True)
    return rows


def _search(
    wanted: _Keys, there: _Keys, candidates: pl.DataFrame, allow_exact: bool, direction: Direction
) -> pl.Series:
    """Return the row of the last candidate at or before each key (or the first at or after it), if it is of its group."""
    left = pl.DataFrame({"key": wanted.combined()})
    if left["key"].null_count() == 0 and left["key"].is_sorted():
        _check_sorted(candidates)
        joined = left.join_asof(candidates, on="key", strategy=direction, allow_exact_matches=allow_exact)
        rows = joined["row"]
    else:
        rows = _searched(left["key"], candidates, allow_exact, direction)
    if wanted.groups is None or there.groups is None:
        return rows
    is_same_group = take(there.groups.to_frame("group"), rows)["group"] == wanted.groups
    return pl.select(pl.when(is_same_group).then(rows)).to_series()


def _searched(wanted: pl.Series, candidates: pl.DataFrame, allow_exact: bool, direction: Direction) -> pl.Series:
    """Search for each key alone, which takes less than to sort them."""
    _check_sorted(candidates)
    keys = candidates["key"]
    is_backward = direction == "backward"
    # After the equal ones, where they count for those before, or do not count for those after.
    side: Literal["left", "right"] = "left"
    if is_backward == allow_exact:
        side = "right"
    places = keys.search_sorted(wanted.fill_null(0), side=side).cast(pl.Int64) - int(is_backward)
    is_inside = wanted.is_not_null() & (places >= 0) & (places < keys.len())
    places = pl.select(pl.when(is_inside).then(places)).to_series()
    return take(candidates.select("row"), places)["row"]


def _join_in_groups(wanted: _Keys, there: _Keys, allow_exact: bool) -> pl.Series:
    """Return the last row of the group at or before each time: without nulls and sorted by time, Polars finds it right."""
    sides: list[pl.DataFrame] = []
    for keys in (wanted, there):
        sides.append(_by_key(pl.DataFrame({"key": keys.times, "group": keys.groups})))
        _check_sorted(sides[-1])
    left, right = sides
    joined = left.rename({"row": "left"}).join_asof(
        right, on="key", by="group", allow_exact_matches=allow_exact, check_sortedness=False
    )
    if left.height == wanted.times.len() and left["row"].is_sorted():
        return joined["row"]
    rows = pl.Series("row", [None], dtype=pl.get_index_type()).new_from_index(0, wanted.times.len())
    return rows.scatter(joined["left"], joined["row"])


def _check_sorted(rows: pl.DataFrame) -> None:
    if not rows["key"].is_sorted():
        raise AssertionError("the keys of an as-of join are not sorted")


def _without_old(
    matches: pl.Series, times: pl.Series, happened: pl.Series, max_age: int, direction: Direction
) -> pl.Series:
    found = take(happened.to_frame("happened"), matches).with_columns(time=times, row=matches)
    # Two times may be further apart than 64 bits can say.
    age = pl.col("time").cast(pl.Int128) - pl.col("happened")
    if direction == "forward":
        age = pl.col("happened").cast(pl.Int128) - pl.col("time")
    return found.select(pl.when(age <= pl.lit(max_age, pl.Int128)).then("row").alias("row"))["row"]
