"""Joins and events of derived datasets: bars that end with a trade have no grid, and may be of any length."""

from __future__ import annotations

import polars as pl
import pytest

from ticklake.app import memory_lake
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.provenance import Provenance
from ticklake.core.time import DAY, SECOND
from ticklake.testing.rows import START, trades

TEN = "x:bars@ten:BTC/USDT"
TRADES = "x:trades:BTC/USDT"


def times(*seconds: int) -> pl.Series:
    return pl.Series([START + second * SECOND for second in seconds], dtype=pl.Int64).cast(TIME)


@pytest.fixture
def lake():
    """Three bars that end with a trade: two open at one instant, and one is open for days."""
    bars = pl.DataFrame(
        {
            "ts": times(0, 10, 10),
            "close_time": times(10, 10, 3 * 86_400),
            "number": [0, 1, 2],
            "close": [1.0, 2.0, 3.0],
            "known_at": times(10, 11, 3 * 86_400),
        }
    )
    with memory_lake() as lake:
        lake.save(TRADES, trades(0, 20))
        lake.engine.append(Dataset.parse(TEN), bars, Provenance("derived"))
        yield lake


def test_a_bar_is_joined_from_when_it_says_that_it_was_known(lake):
    left = pl.DataFrame({"ts": times(9, 10, 11, 12, 3 * 86_400)})
    assert lake.asof(left, TEN)["number"].to_list() == [None, 0, 1, 1, 2]
    assert lake.asof(left, TEN, knowledge="event")["number"].to_list() == [None, 1, 1, 1, 2]


def test_the_age_of_a_bar_that_was_open_for_days_counts_from_its_close(lake):
    left = pl.DataFrame({"ts": times(3 * 86_400 + 5, 3 * 86_400 + 6)})
    assert lake.asof(left, TEN, max_age="5s")["number"].to_list() == [2, None]


def test_bars_of_any_length_are_events_when_they_close(lake):
    for by, expected in [("exchange", [10, 10, 3 * 86_400]), ("received", [10, 11, 3 * 86_400])]:
        events = list(lake.iterate(TEN, by=by))
        assert [(event.time - START) // SECOND for event in events] == expected
    # It began days before the first event that is asked for.
    assert [event.row.number for event in lake.iterate([TEN, TRADES], START + 2 * DAY)] == [2]
    assert [event.row.number for event in lake.iterate([TEN], START + 2 * DAY, by="received")] == [2]


def test_the_reference_of_a_markout_is_the_close_of_the_last_bar(lake):
    frame = pl.DataFrame({"ts": times(9, 10, 2 * 86_400, 3 * 86_400)}).with_columns(price=0.0, side=pl.lit("buy"))
    assert lake.markout(frame, TEN, offsets="0s")["markout_0s"].to_list() == [None, 2.0, 2.0, 3.0]


def test_a_panel_of_a_variant(lake):
    panel = lake.panel("x", "*", kind="bars@ten", column="close")
    # Of bars that open at one instant the last one stands for it.
    assert panel["BTC/USDT"].to_list() == [1.0, 3.0]
