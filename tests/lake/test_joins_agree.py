"""A replay, a join and a resumed replay agree, also about rows that came late and were corrected again and again."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest

from ticklake.app import memory_lake
from ticklake.core.kinds import TIME
from ticklake.core.time import HOUR, MINUTE, SECOND
from ticklake.lake import Lake
from ticklake.testing.clocks import ManualClock
from ticklake.testing.rows import START, bars, trades

TRADES = "x:trades:BTC/USDT"
BARS = "x:ohlcv:1m:BTC/USDT"


@pytest.fixture(scope="module")
def lake() -> Iterator[Lake]:
    """Trades of which some are late, and bars: both come six times, each time a part of them with other values."""
    rng = random.Random(1)
    clock = ManualClock(START + HOUR)
    with memory_lake(clock=clock) as lake:
        for turn in range(6):
            clock.now = START + HOUR + turn * 10 * MINUTE
            rows = trades(0, 300, interval=7 * SECOND)
            delays = [rng.choice([0, SECOND, 400 * SECOND, -SECOND]) for _ in range(rows.height)]
            received = (rows["ts"].to_physical() + pl.Series(delays)).cast(TIME)
            rows = rows.with_columns(received_at=received, price=pl.col("price") + turn)
            lake.save(TRADES, rows.filter(pl.Series([rng.random() < 0.4 for _ in delays])))
            lake.save(BARS, bars(0, 40, bump=float(turn)).filter(pl.Series([rng.random() < 0.5 for _ in range(40)])))
        assert len(lake.revisions(TRADES)) > 100
        yield lake


def replay(lake: Lake, *bounds: int | None) -> list[tuple[int, str, Any]]:
    events = lake.iterate("x:*", *bounds, by="received")
    return [(event.time, str(event.dataset), event.row) for event in events]


def test_a_replay_goes_on_where_another_ended(lake):
    rng = random.Random(2)
    whole = replay(lake)
    for _ in range(15):
        cut = rng.choice(whole)[0] + rng.choice([0, 1, -1])
        assert replay(lake, None, cut) + replay(lake, cut) == whole


@pytest.mark.parametrize(("name", "column"), [(TRADES, "price"), (BARS, "close")])
def test_a_join_gives_the_newest_row_that_a_replay_had_seen(lake, name, column):
    rng = random.Random(3)
    whole = replay(lake)
    times = [rng.choice(whole)[0] + rng.choice([0, 1, -1, 5 * SECOND]) for _ in range(150)]
    expected = []
    for time in times:
        seen = [row for when, dataset, row in whole if dataset == name and when <= time]
        # The last one that happened; of its values the one that came last.
        newest = max(enumerate(seen), key=lambda numbered: (numbered[1].ts, numbered[0]), default=None)
        expected.append(getattr(newest[1], column) if newest else None)
    left = pl.DataFrame({"ts": pl.Series(times, dtype=pl.Int64).cast(TIME)})
    assert lake.asof(left, name, columns=[column])[column].to_list() == expected
