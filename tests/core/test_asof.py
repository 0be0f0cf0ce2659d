"""As-of joins: equal to a search through every row, whatever the order, the ties, the nulls and the units."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import ticklake
from ticklake.core.asof import asof, asof_rows
from ticklake.core.kinds import TIME
from ticklake.core.time import DAY
from ticklake.errors import BadInput, InvalidData

BASE = 1_700_000_000_000_000_000
FIRST, LAST = -(2**63) + 1, 2**63 - 1
UNITS: list[tuple[pl.DataType | type[pl.DataType], int]] = [
    (TIME, 1),
    (pl.Int64, 1),
    (pl.Datetime("us", "UTC"), 1_000),
    (pl.Datetime("ms", "Europe/Berlin"), 1_000_000),
]


def series(values: list[int | None], dtype: Any = TIME, unit: int = 1) -> pl.Series:
    # Towards zero: the first time in nanoseconds is none in microseconds.
    counts = [None if value is None else abs(value) // unit * (1 if value > 0 else -1) for value in values]
    return pl.Series(counts, dtype=pl.Int64).cast(dtype)


def nanoseconds(times: pl.Series) -> list[int | None]:
    if times.dtype == pl.Int64:
        return times.to_list()
    # Not by the code that is tested: by Python's integers.
    factor = {"ns": 1, "us": 1_000, "ms": 1_000_000}[times.dtype.time_unit]
    return [None if value is None else value * factor for value in times.to_physical().to_list()]


def expected(
    left: pl.DataFrame,
    right: pl.DataFrame,
    by: list[str],
    max_age: int | None,
    allow_exact: bool,
    direction: str,
    newest: str | None,
) -> list[int | None]:
    """Look at every row of the right side for each of the left."""
    groups: dict[Any, list[tuple[int, int, int]]] = {}
    times = nanoseconds(right["ts"])
    happened = nanoseconds(right[newest or "ts"])
    keys = right.select(pl.struct(by)).to_series().to_list() if by else [{}] * right.height
    for row, (ts, then, key) in enumerate(zip(times, happened, keys, strict=True)):
        if ts is not None and then is not None and None not in key.values():
            groups.setdefault(tuple(key.values()), []).append((ts, then, row))
    found: list[int | None] = []
    keys = left.select(pl.struct(by)).to_series().to_list() if by else [{}] * left.height
    for ts, key in zip(nanoseconds(left["ts"]), keys, strict=True):
        found.append(None)
        if ts is None:
            continue
        best: tuple[int, int] | None = None
        for time, then, row in groups.get(tuple(key.values()), ()):
            if time == ts and not allow_exact:
                continue
            if direction == "backward" and time <= ts:
                best = max(best or (then, row), (then, row))
            if direction == "forward" and time >= ts:
                # The smallest time, and of those that are equal the last row.
                best = max(best or (-then, row), (-then, row))
        if best is None:
            continue
        # Where direction is forward, the time has its sign changed.
        age = ts - best[0] if direction == "backward" else -best[0] - ts
        if max_age is None or age <= max_age:
            found[-1] = best[1]
    return found


def random_times(rng: random.Random, count: int) -> list[int | None]:
    step = rng.choice([1, 1_000, 1_000_000])
    spread = rng.choice([3, 30, 3_000])
    times: list[int | None] = [BASE + rng.randrange(spread) * step for _ in range(count)]
    if rng.random() < 0.2:
        times = [rng.choice([FIRST, FIRST + 1, LAST - 1, LAST, BASE]) for _ in range(count)]
    if rng.random() < 0.3:
        times = sorted(times)
    if rng.random() < 0.3:
        times = [None if rng.random() < 0.2 else value for value in times]
    return times


def random_frame(rng: random.Random, count: int, *, value: str) -> pl.DataFrame:
    dtype, unit = rng.choice(UNITS)
    symbols = [rng.choice(["A", "B", "C", "d", None]) for _ in range(count)]
    venues = [rng.choice([1, 2, None]) for _ in range(count)]
    return pl.DataFrame(
        {
            "ts": series(random_times(rng, count), dtype, unit),
            "happened": series(random_times(rng, count)),
            "symbol": pl.Series(symbols, dtype=pl.String).cast(rng.choice([pl.String, pl.Categorical])),
            "venue": pl.Series(venues, dtype=rng.choice([pl.Int64, pl.UInt8])),
            value: pl.Series(range(count), dtype=pl.Int64),
        }
    )


def check_trial(seed: int, most: int) -> int:
    rng = random.Random(seed)
    left = random_frame(rng, rng.randrange(most * 20), value="query")
    right = random_frame(rng, rng.choice([0, 1, rng.randrange(most), most]), value="row")
    options: dict[str, Any] = {
        "by": rng.choice([[], ["symbol"], ["symbol", "venue"]]),
        "max_age": rng.choice([None, None, 0, 1, 5_000, 2**63 - 1, 2**70]),
        "allow_exact": rng.random() < 0.7,
        "direction": rng.choice(["backward", "backward", "forward"]),
        "newest": None,
    }
    if options["direction"] == "backward" and rng.random() < 0.4:
        options["newest"] = "happened"
    joined = asof(left, right, **options)
    assert joined["query"].to_list() == left["query"].to_list()
    assert joined["row"].to_list() == expected(left, right, **options), f"trial {seed}"
    return left.height


def run_trials(queries: int, first: int = 0) -> None:
    asked = 0
    seed = first
    while asked < queries:
        # Now and then a large one, where ties and groups have many rows.
        asked += check_trial(seed, 400 if seed % 100 == 7 else 20)
        seed += 1


def test_it_equals_a_search_through_every_row():
    run_trials(100_000)


@pytest.mark.soak
def test_it_equals_a_search_through_every_row_a_million_times():
    run_trials(1_000_000, first=10_000_000)


def frame(times: list[int | None], **columns: list[Any]) -> pl.DataFrame:
    return pl.DataFrame({"ts": series([None if ts is None else BASE + ts for ts in times]), **columns})


def joined(left: pl.DataFrame, right: pl.DataFrame, **options: Any) -> list[Any]:
    return asof(left, right, **options)["x"].to_list()


def test_each_row_gets_the_last_row_at_or_before_it():
    assert joined(frame([5, 1, 9, 4]), frame([4, 8], x=["a", "b"])) == ["a", None, "b", "a"]


def test_the_order_and_the_number_of_rows_are_those_of_the_left_frame():
    left = frame([9, 1, 9, None], n=[1, 2, 3, 4])
    assert asof(left, frame([0, 0, 0, 9, 9], x=range(5))).select("ts", "n").equals(left)


def test_of_rows_of_one_time_the_last_one_stands_for_it():
    right = frame([4, 4, 4], x=["first", "second", "last"])
    assert joined(frame([4, 5]), right) == ["last", "last"]
    assert joined(frame([3, 4]), right, direction="forward") == ["last", "last"]


def test_rows_of_unsorted_groups_get_rows_of_their_own_group():
    left = frame([5, 5, 1, 9], symbol=["B", "A", "B", "C"])
    right = frame([4, 3, 0, 2], symbol=["A", "B", "A", "B"], x=["A4", "B3", "A0", "B2"])
    assert joined(left, right, by="symbol") == ["B3", "A4", None, None]


def test_very_many_groups():
    names = [f"S{number}" for number in range(70_000)]
    right = pl.DataFrame({"symbol": names, "x": range(70_000)}).with_columns(ts=pl.lit(BASE).cast(TIME))
    left = right.select("ts", "symbol").reverse()
    assert joined(left, right, by="symbol") == list(reversed(range(70_000)))


def test_a_null_group_and_a_null_time_match_nothing():
    left = frame([5, None], symbol=[None, "A"])
    right = frame([1, 2, None], symbol=[None, "A", "A"], x=[1, 2, 3])
    assert joined(left, right, by="symbol") == [None, None]
    assert joined(frame([9], symbol=["A"]), right, by="symbol") == [2]


def test_a_row_with_a_null_time_never_matches():
    # From polars#27165: such a row once gave a row of another group.
    left = frame([1], group=[0])
    right = frame([0, None], group=[None, 0], x=[2, 3])
    assert joined(left, right, by="group") == [None]


def test_nanoseconds_and_microseconds_are_compared_exactly():
    left = pl.DataFrame({"ts": series([BASE + 999], TIME)})
    right = pl.DataFrame({"ts": series([BASE, BASE + 1_000], pl.Datetime("us", "UTC"), 1_000), "x": [0, 1]})
    assert joined(left, right) == [0]


@pytest.mark.parametrize("name", ["left", "right"])
def test_integers_of_microseconds_are_refused(name):
    sides = {"left": frame([1]), "right": frame([1], x=[1])}
    sides[name] = sides[name].with_columns(ts=pl.col("ts").to_physical() // 1_000)
    with pytest.raises(InvalidData, match="microseconds"):
        asof(sides["left"], sides["right"])


def test_times_without_a_zone_are_refused():
    naive = frame([1]).with_columns(pl.col("ts").dt.replace_time_zone(None))
    with pytest.raises(InvalidData, match="naive"):
        asof(naive, frame([1], x=[1]))


def test_a_row_of_exactly_the_greatest_age_counts():
    right = frame([0], x=["a"])
    assert joined(frame([10, 11]), right, max_age=10) == ["a", None]
    assert joined(frame([DAY, DAY + 1]), right, max_age="24h") == ["a", None]
    assert joined(frame([-10, -11]), right, max_age="10ns", direction="forward") == ["a", None]


def test_ages_at_the_edges_of_time_do_not_leave_64_bits():
    left = pl.DataFrame({"ts": series([FIRST, LAST])})
    right = pl.DataFrame({"ts": series([FIRST, LAST]), "x": ["first", "last"]})
    assert joined(left, right, max_age=LAST) == ["first", "last"]
    assert joined(left, right.head(1), max_age=LAST) == ["first", None]
    assert joined(left, right.tail(1), max_age=LAST, direction="forward") == [None, "last"]


def test_the_very_time_can_be_left_out():
    right = frame([4, 4, 5], x=["a", "b", "c"])
    assert joined(frame([5, 4]), right, allow_exact=False) == ["b", None]
    assert joined(frame([4, 5]), right, allow_exact=False, direction="forward") == ["c", None]


def test_what_happened_earlier_and_was_known_later_replaces_nothing():
    right = frame([20, 30], happened=series([BASE + 15, BASE + 10]), x=["new", "late"])
    assert joined(frame([25, 35]), right, newest="happened") == ["new", "new"]


def test_the_age_of_a_row_that_was_known_late_is_counted_from_when_it_happened():
    right = frame([20], happened=series([BASE + 5]), x=["a"])
    assert joined(frame([20, 21]), right, newest="happened", max_age=15) == ["a", None]


def test_the_time_of_what_was_found_is_there():
    found = asof(frame([5], n=[1]), frame([3], n=[2]))
    assert found.columns == ["ts", "n", "ts_right", "n_right"]
    assert found["ts_right"].to_physical().to_list() == [BASE + 3]


@pytest.mark.parametrize("side", ["left", "right", "both"])
def test_empty_sides(side):
    left = frame([1, 2], symbol=["A", "B"]).head(2 * (side == "right"))
    right = frame([1, 2], symbol=["A", "B"], x=[1, 2]).head(2 * (side == "left"))
    for by in ("symbol", ()):
        assert joined(left, right, by=by) == [None] * left.height
        assert asof(left, right, by=by)["x"].dtype == pl.Int64


def test_columns_of_nulls_alone_match_nothing():
    nulls = pl.DataFrame({"ts": [None, None], "symbol": [None, None], "x": [1, 2]})
    times = frame([1, 2], symbol=["A", "B"], x=[1, 2])
    assert joined(times.drop("x"), nulls, by="symbol") == [None, None]
    assert joined(nulls.drop("x"), times, by="symbol") == [None, None]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda left, right: asof(left, right, on="time"), "'time'"),
        (lambda left, right: asof(left, right, right_on="tz"), "'tz'"),
        (lambda left, right: asof(left, right, by="side"), "'side'"),
        (lambda left, right: asof(left, right, by=["ts", "ts"]), "twice"),
        (lambda left, right: asof(left, right, by="n"), "cast one of them"),
        (lambda left, right: asof(left, right, direction="nearest"), "nearest"),
        (lambda left, right: asof(left, right, direction="forward", newest="ts"), "backward"),
        (lambda left, right: asof(left, right, suffix=""), "another suffix"),
        (lambda left, right: asof(left.lazy(), right), "LazyFrame"),
        (lambda left, right: asof(left, right, max_age=-DAY), "negative"),
    ],
)
def test_what_cannot_be_meant_is_refused(change: Callable[..., Any], word: str):
    with pytest.raises(BadInput, match=word):
        change(frame([1], n=["1"]), frame([1], n=[1]))


def test_no_other_module_of_answers_joins_as_of_an_instant():
    source = Path(ticklake.__file__).parent
    users = {path.relative_to(source).as_posix() for path in source.rglob("*.py") if "join_asof" in path.read_text()}
    # Adjusting joins a few dates without groups; the simulated exchange answers nothing.
    assert users == {"core/asof.py", "core/adjust.py", "testing/exchange/scenarios.py"}


def test_row_numbers_can_be_had_alone():
    assert asof_rows(frame([5, 0]), frame([4], x=[1])).to_list() == [0, None]
