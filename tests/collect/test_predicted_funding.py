"""Snapshots of the coming funding rate: a prediction is never a settled rate."""

from __future__ import annotations

from typing import Any

import pytest

from ticklake.core.time import HOUR, MS, parse_time
from ticklake.errors import Unsupported
from ticklake.sources.ccxt import mapping

NOW = parse_time("2025-05-01T03:00")
NEXT = parse_time("2025-05-01T08:00")
LATER = parse_time("2025-05-01T16:00")


def row_of(**told: Any) -> dict[str, Any] | None:
    frame, _ = mapping.predicted_funding({"symbol": "BTC/USDT:USDT", "timestamp": NOW // MS, **told}, NOW)
    return frame.row(0, named=True) if frame.height else None


def test_it_has_the_rate_its_time_the_mark_price_and_the_interval():
    row = row_of(fundingRate=0.0002, fundingTimestamp=NEXT // MS, markPrice=65_000.5, interval="8h")

    assert row is not None
    assert (row["predicted_rate"], row["mark_price"]) == (0.0002, 65_000.5)
    assert [parse_time(row[name]) for name in ("ts", "received_at", "next_ts")] == [NOW, NOW, NEXT]
    assert row["interval"].total_seconds() * 10**9 == 8 * HOUR


def test_a_rate_whose_time_has_passed_is_settled_and_the_next_one_counts():
    past = (NOW - HOUR) // MS
    row = row_of(fundingRate=0.0009, fundingTimestamp=past, nextFundingRate=0.0003, nextFundingTimestamp=NEXT // MS)

    assert row is not None
    assert (row["predicted_rate"], parse_time(row["next_ts"])) == (0.0003, NEXT)
    assert row_of(fundingRate=0.0009, fundingTimestamp=past) is None


def test_of_two_coming_rates_the_nearer_one_counts():
    row = row_of(
        fundingRate=0.0001, fundingTimestamp=NEXT // MS, nextFundingRate=0.0005, nextFundingTimestamp=LATER // MS
    )

    assert row is not None
    assert (row["predicted_rate"], parse_time(row["next_ts"])) == (0.0001, NEXT)


def test_an_exchange_that_tells_no_rate_predicts_nothing():
    assert row_of(markPrice=1.0) is None


class TestInALake:
    def test_a_snapshot_is_a_dataset_beside_the_settled_rates(self, market, serve, lake_at):
        lake = lake_at(serve(market, "2024-01-03T03:00"))
        symbol = "BTC/USDT:USDT"
        lake.backfill("binance", symbol, kind="funding", start="2024-01-01")
        settled = lake.load(f"binance:funding:{symbol}")

        run = lake.backfill("binance", symbol, kind="predicted_funding")

        assert (run.state, run.outcome) == ("succeeded", "1 rates")
        row = lake.load(f"binance:predicted_funding:{symbol}").row(0, named=True)
        assert parse_time(row["next_ts"]) == parse_time("2024-01-03T08:00")
        assert row["predicted_rate"] is not None
        assert lake.load(f"binance:funding:{symbol}").equals(settled)

    def test_a_spot_market_has_none(self, market, serve, lake_at):
        lake = lake_at(serve(market, "2024-01-03"))

        with pytest.raises(Unsupported, match="BTC/USDT is a spot market and has no predicted_funding"):
            lake.backfill("binance", "BTC/USDT", kind="predicted_funding")
