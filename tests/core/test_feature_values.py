"""Which value is known at an instant, statistics of days, and differences."""

from __future__ import annotations

import random

import polars as pl
import pytest

from ticklake.core.asof import take
from ticklake.core.feature_values import Steps, compare, day_statistics, newest_per_instant, rows_as_of, with_known
from ticklake.core.features import FeatureSet
from ticklake.core.kinds import TIME
from ticklake.core.time import DAY, parse_time

T = parse_time("2024-01-31")
FEATURES = FeatureSet.of("m", 1, {"x": "float64", "s": "string"})
DATASET = FEATURES.dataset("any", "A")


def rows(*values):
    schema = {"ts": pl.Int64, "known_at": pl.Int64, "x": pl.Float64}
    frame = pl.DataFrame([(T + ts, T + known, x) for ts, known, x in values], schema=schema, orient="row")
    return frame.with_columns(pl.col("ts", "known_at").cast(TIME), s=pl.lit("s"))


def brute_force(values, instant, max_age, knowledge):
    """The value by the words of the rule."""
    known = [value for value in values if (value[0] if knowledge == "event" else value[1]) <= instant]
    best = max(known, key=lambda value: value[:2], default=None)
    if best is None or (max_age is not None and instant - best[0] > max_age):
        return None
    return best[2]


@pytest.mark.parametrize("knowledge", ["default", "received", "event"])
def test_steps_and_joins_equal_brute_force(knowledge):
    rnd = random.Random(7)
    for _ in range(25):
        made = {(ts := rnd.randrange(8), ts + rnd.choice([0, 0, 1, 3, 9])): float(i) for i in range(rnd.randrange(25))}
        values = [(ts, known, x) for (ts, known), x in made.items()]
        rnd.shuffle(values)
        frame, instants = rows(*values), [rnd.randrange(-2, 20) for _ in range(30)]
        at = pl.Series("at", [T + instant for instant in instants])
        known = with_known(frame, DATASET, knowledge)
        steps = Steps.of(known)
        for max_age in (None, 0, 2, 5):
            expected = [brute_force(values, instant, max_age, knowledge) for instant in instants]
            joined = take(known, rows_as_of(at.to_frame(), known, "at", max_age=max_age))
            assert steps.at(at, max_age)["x"].to_list() == expected
            assert joined["x"].to_list() == expected


def test_a_late_value_of_an_earlier_instant_replaces_none_of_a_later_one():
    steps = Steps.of(with_known(rows((1, 9, 1.0), (2, 2, 2.0)), DATASET))
    assert steps.at(pl.Series([T + 1, T + 2, T + 9]))["x"].to_list() == [None, 2.0, 2.0]


def test_one_instant_and_many_give_the_same():
    steps = Steps.of(with_known(rows((0, 0, -0.0), (3, 4, 0.1)), DATASET))
    instants = pl.Series([T + 5, T, T + 3, T - 1])
    single = [steps.at(instants.slice(place, 1)) for place in range(4)]
    assert pl.concat(single).equals(steps.at(instants))


def test_no_rows_and_null_instants_give_nulls():
    assert Steps.of(with_known(rows(), DATASET)).at(pl.Series([T, T + 1])).rows() == [(None,) * 4] * 2
    assert Steps.of(with_known(rows((0, 0, 1.0)), DATASET)).at(pl.Series([None, T], dtype=pl.Int64))["x"].to_list() == [
        None,
        1.0,
    ]


def test_the_newest_value_of_each_instant_is_the_one_known_last():
    assert newest_per_instant(rows((1, 5, 1.0), (1, 3, 2.0), (2, 2, 3.0)))["x"].to_list() == [1.0, 3.0]


def test_statistics_of_days_count_nulls_apart():
    frame = rows((0, 0, 1.0), (1, 1, None), (2, 2, 4.0), (DAY, DAY, 7.0))
    days = day_statistics(frame, FEATURES).with_columns(pl.col("day").dt.day())
    assert days.rows() == [
        (31, "x", 3, 1, 2.5, 1.0, 4.0),
        (31, "s", 3, 0, None, None, None),
        (1, "x", 1, 0, 7.0, 7.0, 7.0),
        (1, "s", 1, 0, None, None, None),
    ]


def named(frame):
    return frame.select(pl.lit("any").alias("exchange"), pl.lit("A").alias("symbol"), pl.all())


def test_a_diff_counts_rows_and_columns():
    before = named(rows((0, 0, 1.0), (1, 1, None), (2, 2, 3.0)))
    after = named(rows((1, 1, 0.0), (2, 9, 3.0), (3, 3, None)).with_columns(s=pl.lit("t"), y=pl.lit(1)))
    diff = compare(("a", "b"), before, after)
    assert (diff.added, diff.removed, diff.changed, diff.equal) == (1, 1, 2, 0)
    assert (diff.columns, diff.only_before, diff.only_after) == ({"x": 1, "s": 2}, (), ("y",))
    assert diff.rows["change"].to_list() == ["removed", "changed", "changed", "added"]
    assert not diff.is_empty
    assert compare(("a", "a"), before, before).is_empty


def test_a_column_of_another_type_is_not_compared():
    before = named(rows((0, 0, 1.0)))
    diff = compare(("a", "b"), before, before.with_columns(pl.col("x").cast(pl.Int64)))
    assert (diff.only_before, diff.only_after, diff.changed) == (("x",), ("x",), 0)
    assert not diff.is_empty
