"""Open interest in other timeframes than the usual one, through a whole lake."""

from __future__ import annotations

from ticklake.core.time import HOUR, parse_time

HOURLY = "binance:open_interest:1h:BTC/USDT:USDT"


def test_it_is_a_dataset_of_its_own_and_whole(market, serve, lake_at):
    lake = lake_at(serve(market, "2024-01-06"))

    run = lake.backfill("binance", "BTC/USDT:USDT", "1h", kind="open_interest", start="2024-01-01", end="2024-01-04")

    start, end = parse_time("2024-01-01"), parse_time("2024-01-04")
    assert run.state == "succeeded", run.outcome
    assert lake.load(HOURLY)["ts"].to_physical().to_list() == list(range(start, end, HOUR))
    assert [str(piece.found) for piece in lake.coverage(HOURLY).pieces] == ["data"]


def test_a_row_that_is_missing_on_its_grid_is_a_gap(market, serve, lake_at):
    lake = lake_at(serve(market, "2024-01-06"))
    lake.backfill("binance", "BTC/USDT:USDT", "1h", kind="open_interest", start="2024-01-01", end="2024-01-04")

    lake.delete(HOURLY, start="2024-01-02", end="2024-01-02T03:00")

    assert [gap.missing for gap in lake.gaps(HOURLY)] == [3]
