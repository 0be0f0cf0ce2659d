"""Rows of feature sets as users and functions pass them."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import polars as pl
import pytest

from ticklake.core.feature_rows import rows_at, split_by_symbol, values_of
from ticklake.core.features import FeatureSet
from ticklake.core.kinds import TIME
from ticklake.core.time import parse_time
from ticklake.errors import InvalidData, InvalidName

T = parse_time("2024-01-31")
ALL = FeatureSet.of("m", 1, {"x": "float64", "n": "int64", "b": "bool", "s": "string", "t": "time"})
ONE = FeatureSet.of("m", 2, {"x": "float64"})


def frame(**columns):
    return pl.DataFrame({"symbol": ["A"], "ts": [T], **columns})


def split(features, rows, **where):
    ((dataset, part),) = split_by_symbol(features, rows, **where)
    return str(dataset), part


def test_rows_are_split_by_symbol_and_exchange():
    rows = pl.DataFrame({"symbol": ["A", "B", "A"], "exchange": ["x", "x", "X"], "ts": [T, T, T + 1], "x": [1, 2, 3]})
    parts = split_by_symbol(ONE, rows)
    assert [str(dataset) for dataset, _ in parts] == ["x:m@v2:A", "x:m@v2:B"]
    assert parts[0][1]["x"].to_list() == [1.0, 3.0]


def test_without_an_exchange_values_belong_to_the_symbol_alone():
    assert split(ONE, frame(x=[1.0]))[0] == "any:m@v2:A"
    keyed = FeatureSet.of("m", 3, "x", keys=("exchange", "symbol"))
    with pytest.raises(InvalidData, match="say exchange="):
        split(keyed, frame(x=[1.0]))


def test_a_value_is_known_at_its_instant_unless_it_says_otherwise():
    assert split(ONE, frame(x=[1.0]))[1]["known_at"].to_physical().to_list() == [T]
    assert split(ONE, frame(x=[1.0], known_at=[T + 5]))[1]["known_at"].to_physical().to_list() == [T + 5]
    with pytest.raises(InvalidData, match="known_at before their ts"):
        split(ONE, frame(x=[1.0], known_at=[T - 1]))


def test_null_and_nan_are_null_and_absent_columns_too():
    rows = pl.DataFrame({"symbol": ["A"] * 3, "ts": [T, T + 1, T + 2], "x": [None, math.nan, 0.0]})
    part = split(ALL, rows)[1]
    assert part["x"].to_list() == [None, None, 0.0]
    assert part["s"].null_count() == 3


def test_every_wrong_type_is_in_one_error():
    wrong = frame(x=["1.5"], n=[True], b=[1], s=[2.5], t=["2024"])
    with pytest.raises(InvalidData) as error:
        split(ALL, wrong)
    assert all(f"'{name}' is" in str(error.value) for name in "xnbst")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "columns",
    [
        {"n": pl.Series([2**64 - 1], dtype=pl.UInt64)},
        {"n": [1.5]},
        {"t": [dt.datetime(2024, 1, 1)]},
        {"ts": [dt.datetime(2024, 1, 31)]},
        {"ts": [T // 10**9]},
        {"ts": [T // 1000]},
        {"y": [1.0]},
        {"symbol": [None]},
        {"symbol": [1]},
    ],
)
def test_values_that_do_not_fit_are_refused(columns):
    with pytest.raises(InvalidData):
        split(ALL, frame(**columns))


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_times_of_any_unit_are_nanoseconds(unit):
    at = pl.Series([dt.datetime(2024, 1, 31)]).cast(pl.Datetime(unit, "UTC"))
    assert split(ONE, frame(ts=at, x=[1.0]))[1]["ts"].to_physical().to_list() == [T]


def test_a_symbol_that_could_leave_its_folder_is_refused():
    with pytest.raises(InvalidName):
        split(ONE, frame(symbol=["../x"], x=[1.0]))


def test_a_named_symbol_must_be_that_of_the_rows():
    assert split(ONE, frame(x=[1.0]).drop("symbol"), symbol="B")[0] == "any:m@v2:B"
    with pytest.raises(InvalidData, match="not that of all rows"):
        split(ONE, frame(x=[1.0]), symbol="B")
    with pytest.raises(InvalidData, match="belong to nothing"):
        split(ONE, frame(x=[1.0]).drop("symbol"))


def test_a_function_returns_a_mapping_a_value_or_none():
    assert values_of(ONE, None) is None
    assert values_of(ONE, 2) == {"x": 2.0}
    assert values_of(ONE, {"x": math.nan}) == {"x": None}
    assert values_of(ALL, {"n": 3}) == {"x": None, "n": 3, "b": None, "s": None, "t": None}


def test_scalars_of_numpy_are_values():
    returned = {"x": np.float32(0.5), "n": np.int8(3), "b": np.bool_(True), "s": np.str_("a"), "t": T}
    assert values_of(ALL, returned) == {"x": 0.5, "n": 3, "b": True, "s": "a", "t": T}
    assert values_of(ONE, np.array(2.0)) == {"x": 2.0}


@pytest.mark.parametrize(
    "returned",
    [
        *(3.0, {"z": 1}, {"x": "1"}, {"x": True}, {"x": 10**400}, {"n": 2**63}, {"n": 1.5}, {"b": 1}, {"s": 1}),
        *({"t": dt.datetime(2024, 1, 1)}, {"x": [1.0]}, {"x": np.array([1.0, 2.0])}),
    ],
)
def test_a_function_that_returns_something_else_is_refused(returned):
    with pytest.raises(InvalidData, match="the function returned"):
        values_of(ALL, returned)


def test_rows_of_a_function_are_known_at_their_instant():
    rows = rows_at(ALL, [T, T + 1, T + 2], [values_of(ALL, {"x": 1, "t": T}), None, values_of(ALL, {})])
    assert rows.schema == ALL.kind.schema
    assert rows["ts"].to_list() == rows["known_at"].to_list()
    assert rows["ts"].to_physical().to_list() == [T, T + 2]
    assert rows["t"].to_list() == [pl.Series([T]).cast(TIME).item(), None]
