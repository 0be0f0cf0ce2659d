"""Checking a function of one's own: what the report says, and which functions cannot be checked."""

from __future__ import annotations

import itertools

import pandas as pd
import polars as pl
import pytest

from ticklake.app import memory_lake
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.time import HOUR, MINUTE
from ticklake.errors import BadInput, LooksAhead, ReadOnlyLake, UnknownDataset
from ticklake.testing import check_no_lookahead
from ticklake.testing.clocks import ManualClock
from ticklake.testing.rows import START, bars

BARS = "x:ohlcv:1m:BTC/USDT"
AT = START + HOUR
INSTANTS = [AT, AT + MINUTE]
LATER = START + 1000 * HOUR


@pytest.fixture
def lake():
    with memory_lake(clock=ManualClock(LATER)) as opened:
        opened.save(BARS, bars(0, 100))
        yield opened


def check(fn, lake, **options):
    return check_no_lookahead(fn, lake, exchange="x", symbol="BTC/USDT", **{"instants": INSTANTS, **options})


def forming(lake, at):
    """The close of the bar that has just opened."""
    return lake.load(BARS, at - MINUTE, at + 1)["close"][-1]


def test_the_error_has_the_instant_the_row_and_both_values(lake):
    with pytest.raises(LooksAhead) as caught:
        check(forming, lake)
    leak = caught.value.leak
    assert (leak.at, leak.change, str(leak.dataset)) == (AT, "removed", BARS)
    assert leak.rows.drop("known_at").equals(lake.load(BARS, AT, AT + 1))
    assert (leak.before, leak.after) == (bars(60, 61)["close"].item(), bars(59, 60)["close"].item())
    assert "at 2024-01-01T01:00:00Z the value is" in str(caught.value)
    assert "which are known from 2024-01-01 01:01:00" in str(caught.value)


def test_the_report_has_every_instant(lake):
    report = check(forming, lake, raises=False)
    assert not report
    assert [leak.at for leak in report.leaks] == INSTANTS
    assert repr(report) == "LookAheadReport(compared=2, leaks=2)"


def test_a_function_of_what_was_known_passes(lake):
    report = check(lambda lake, at: lake.frame("x", "BTC/USDT", at, indicators="sma_20").indicators, lake)
    assert report
    assert report.compared == 6


def test_the_function_sees_the_rows_as_they_are_and_it_is_now(lake):
    def first_look(view, at):
        assert view.load(BARS).equals(lake.load(BARS))
        assert view.load(BARS, last=3).equals(lake.load(BARS, last=3))
        assert view.last_timestamp(BARS) == lake.last_timestamp(BARS)
        assert view.scan(BARS).collect().equals(lake.load(BARS))
        assert view.inventory()["rows"].to_list() == [100]
        return view.engine.now() == at

    first = itertools.count()
    assert (
        check(lambda view, at: next(first) > 0 or first_look(view, at), lake, instants=[AT], raises=False).leaks == ()
    )


def test_nothing_is_written(lake):
    version = lake.engine.catalog.version()
    with pytest.raises(ReadOnlyLake):
        check(lambda view, _: view.engine.delete(Dataset.parse(BARS), view.engine.known(Dataset.parse(BARS))), lake)
    check(lambda view, at: view.frame("x", "BTC/USDT", at), lake)
    assert lake.engine.catalog.version() == version
    assert lake.load(BARS).height == 100


def test_rows_of_other_symbols_are_changed_if_they_are_named(lake):
    other = "x:ohlcv:1m:ETH/USDT"
    lake.save(other, bars(0, 100))

    def leads(view, at):
        return view.load(other, at, at + 1)["close"].to_list()

    assert check(leads, lake)
    with pytest.raises(LooksAhead, match="rows of x:ohlcv:1m:ETH/USDT"):
        check(leads, lake, datasets=[BARS, "x:*:ETH/USDT"])


def test_a_function_with_another_value_each_time_is_refused(lake):
    numbers = itertools.count()
    with pytest.raises(BadInput, match="returns other values for the same rows at 2024-01-01T01:00:00Z"):
        check(lambda *_: next(numbers), lake)


def test_an_error_of_the_function_comes_through(lake):
    with pytest.raises(ZeroDivisionError):
        check(lambda *_: 1 / 0, lake)


def test_an_error_only_over_changed_rows_is_a_leak(lake):
    with pytest.raises(LooksAhead, match="IndexError"):
        check(lambda view, at: view.load(BARS, at, at + 1)["close"][0], lake)


@pytest.mark.parametrize(
    "value", [float("nan"), {"a": [1.0, None]}, pl.Series([1.0]), pl.LazyFrame({"a": [1]}), pd.Series([1]), "text"]
)
def test_values_of_many_types_are_compared(lake, value):
    assert check(lambda *_: value, lake)


def test_what_cannot_be_checked_is_refused(lake):
    with pytest.raises(BadInput, match="instants is empty"):
        check(forming, lake, instants=[])
    with pytest.raises(UnknownDataset, match="no dataset of BTC/EUR on x"):
        check_no_lookahead(forming, lake, exchange="x", symbol="BTC/EUR", instants=INSTANTS)


@pytest.mark.parametrize(
    "value_at",
    [
        lambda view, at: view.features.read("flow@v1", end=at + 1)["value"][-1],
        lambda view, at: view.features.join(
            instants_of(at), ["flow@v1"], symbol="BTC/USDT", exchange="x", knowledge="event"
        )["value"][0],
    ],
    ids=["read", "join"],
)
def test_values_of_features_that_are_known_later_are_changed_too(lake, value_at):
    lake.features.register("flow", "v1", {"value": "float64"})
    ts = pl.col("ts").cast(TIME)
    values = pl.DataFrame({"ts": [AT - MINUTE, AT], "symbol": "BTC/USDT", "value": [1.0, 2.0]}).with_columns(
        ts, known_at=ts + pl.duration(seconds=30)
    )
    lake.features.write("flow", "v1", values, exchange="x")
    with pytest.raises(LooksAhead, match="flow@v1"):
        check(value_at, lake)


def instants_of(*times):
    return pl.DataFrame({"ts": times}).with_columns(pl.col("ts").cast(TIME))
