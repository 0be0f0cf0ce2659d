"""Estimates of reads are near what the reads bring."""

from __future__ import annotations

import polars as pl
import pytest

from ticklake.app import open_lake
from ticklake.core.kinds import TIME
from ticklake.core.time import MINUTE, parse_time

START = parse_time("2024-01-01")
BARS = "binance:ohlcv:1m:BTC/USDT"
COUNT = 50_000


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    numbers = pl.int_range(COUNT, eager=True)
    price = (numbers % 977).cast(pl.Float64) / 10 + 40_000
    frame = pl.DataFrame(
        {"ts": (numbers * MINUTE + START).cast(TIME), "open": price, "close": price, "volume": price / 7}
    )
    with open_lake(tmp_path_factory.mktemp("estimate") / "lake") as lake:
        lake.save(BARS, frame.with_columns(high=pl.col("open"), low=pl.col("open")))
        lake.compact()
        yield lake


def test_whole_segments_are_counted(lake):
    estimate = lake.estimate(BARS)
    assert (estimate.rows, estimate.is_exact, estimate.files) == (COUNT, True, 1)


@pytest.mark.parametrize("end", ["2024-01-02", "2024-01-15", "2024-01-31T12:00:00Z"])
def test_a_part_is_near_what_it_holds(lake, end):
    estimate, rows = lake.estimate(BARS, end=end), lake.load(BARS, end=end).height
    assert not estimate.is_exact
    assert estimate.rows == pytest.approx(rows, rel=0.02)


def test_sizes_are_of_the_order_of_the_real_ones(lake):
    columns = ["ts", "open", "close"]
    estimate, rows = lake.estimate(BARS, columns=columns), lake.load(BARS, columns=columns)
    assert estimate.bytes["arrow"] == rows.estimated_size()
    assert estimate.bytes["csv"] == pytest.approx(len(rows.write_csv()), rel=0.5)
    assert estimate.bytes["json"] == pytest.approx(len(rows.write_json()), rel=0.5)
