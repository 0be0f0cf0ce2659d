"""Values of features that were corrected: until the commit that corrected them, they were what they were."""

from __future__ import annotations

import polars as pl
import pytest

from ticklake.app import memory_lake
from ticklake.core.kinds import TIME
from ticklake.core.time import DAY, MINUTE, parse_time
from ticklake.testing.clocks import ManualClock

T = parse_time("2024-01-31")
NAME = "momentum@v1"


def values(*rows):
    """Rows of (minute, known after so many minutes, value)."""
    frame = pl.DataFrame(
        {
            "ts": [T + minute * MINUTE for minute, _, _ in rows],
            "known_at": [T + (minute + after) * MINUTE for minute, after, _ in rows],
            "x": [value for *_, value in rows],
        }
    )
    return frame.with_columns(pl.col("ts", "known_at").cast(TIME), symbol=pl.lit("A"))


@pytest.fixture
def lake():
    """A lake with the value 1.0 of an instant, which is 2.0 since a day later and 3.0 since another day later."""
    clock = ManualClock(T + 30 * DAY)
    with memory_lake(clock=clock) as made:
        prices = dict.fromkeys(("open", "high", "low", "close", "volume"), 1.0)
        made.save("binance:ohlcv:1m:A", pl.DataFrame([{"ts": T, **prices}]))
        made.features.register("momentum", 1, "x")
        for value in (1.0, 2.0, 3.0):
            made.features.write(NAME, None, values((0, 0, value)), exchange="binance")
            clock.now += DAY
        yield made


INSTANTS = [T - 1, T, T + 30 * DAY, T + 31 * DAY - 1, T + 31 * DAY, T + 32 * DAY, T + 33 * DAY]
SEEN = [None, 1.0, 1.0, 1.0, 2.0, 3.0, 3.0]


def test_a_correction_is_known_from_its_commit_on(lake):
    left = pl.DataFrame({"at": pl.Series(INSTANTS).cast(TIME), "symbol": "A"})
    assert lake.features.join(left, [NAME], at="at")["x"].to_list() == SEEN
    assert lake.features.at(NAME, "binance", "A", INSTANTS)["momentum@v1:x"].to_list() == SEEN
    assert [lake.features.latest(NAME, None, "A", at)["x"].item() for at in INSTANTS] == SEEN
    assert lake.asof(left, f"binance:{NAME}:A", at="at", columns=["x"])["x"].to_list() == SEEN
    frames = lake.frames("binance", "A", INSTANTS, features=[NAME])
    assert [frame.features["momentum@v1:x"] for frame in frames] == SEEN


def test_by_the_time_of_events_a_correction_holds_from_the_first(lake):
    left = pl.DataFrame({"at": pl.Series(INSTANTS).cast(TIME), "symbol": "A"})
    joined = lake.features.join(left, [NAME], at="at", knowledge="event")
    assert joined["x"].to_list() == [None] + [3.0] * 6


def test_a_correction_of_a_value_that_was_replaced_replaces_nothing(lake):
    lake.features.write(NAME, None, values((0, 5, 7.0)), exchange="binance")
    lake.features.write(NAME, None, values((0, 0, 4.0)), exchange="binance")
    assert lake.features.latest(NAME, None, "A", T + 33 * DAY)["x"].item() == 7.0
    assert lake.features.latest(NAME, None, "A", T + 4 * MINUTE)["x"].item() == 1.0
