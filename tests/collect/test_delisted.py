"""Field note: delisted symbols vanish from load_markets; keep our own history with validity dates."""

from __future__ import annotations

import polars as pl
import pytest

from ticklake.core.dataset import Dataset
from ticklake.core.time import MS, parse_time
from ticklake.errors import InvalidName, UnknownSymbol

ETH = "binance:ohlcv:1m:ETH/USDT"


@pytest.fixture
def exchange(market, serve):
    return serve(market, "2024-01-03")


@pytest.fixture
def lake(exchange, lake_at):
    return lake_at(exchange)


def held(exchange, text):
    dataset = Dataset.parse(text)
    return exchange.market.rows(dataset.exchange, dataset.symbol, dataset.kind, dataset.timeframe)


def move(exchange, now, *moods):
    exchange.be(*moods)
    exchange.clock.set(parse_time(now))


def test_a_backfill_looks_at_the_list_once_a_day(exchange, lake):
    looks = []
    for now in ("2024-01-03T10:00", "2024-01-03T20:00", "2024-01-04T01:00"):
        exchange.clock.set(parse_time(now))
        lake.backfill("binance", "BTC/USDT", "1h", start="2024-01-02", end="2024-01-03")
        looks.append(lake._collector.instruments.checked_at("binance"))
    assert looks == [parse_time(now) for now in ("2024-01-03T10:00", "2024-01-03T10:00", "2024-01-04T01:00")]


def test_terms_and_ids_are_known(lake):
    lake.refresh_instruments("binance")
    (row,) = lake.instruments("binance", "BTC/USDT:USDT").rows(named=True)
    assert (row["native_id"], row["market_type"], row["settle"], row["contract_size"]) == (
        "BTCUSDT",
        "swap",
        "USDT",
        1.0,
    )
    assert row["tick_size"] == row["lot_size"] == 1e-8


def test_a_delisted_symbol_is_backfilled_by_its_native_id_up_to_its_end(exchange, lake):
    lake.backfill("binance", "ETH/USDT", "1m", start="2024-01-02", end="2024-01-03")
    move(exchange, "2024-01-05", "delist=ETH/USDT@2024-01-04T12:00")

    run = lake.backfill("binance", "ETH/USDT", "1m", start="2024-01-02")

    assert run.state == "succeeded"
    assert run["new"] > 0
    want = held(exchange, ETH).filter(pl.col("ts").dt.date() >= pl.date(2024, 1, 2))
    assert lake.load(ETH).select("ts", "close", "volume").equals(want.select("ts", "close", "volume"))
    (row,) = lake.instruments("binance", "ETH/USDT").filter(pl.col("market_type") == "spot").rows(named=True)
    assert row["delisted_at"].timestamp() == parse_time("2024-01-03") / 1e9
    assert "lists no longer ETH/USDT" in " ".join(line.message for line in lake.runs.tail(run.id))


def test_time_after_the_delisting_was_noticed_is_no_gap(exchange, lake):
    lake.backfill("binance", "ETH/USDT", "1m", start="2024-01-02", end="2024-01-03")
    move(exchange, "2024-01-04T12:00", "delist=ETH/USDT@2024-01-04T12:00")
    lake.backfill("binance", "ETH/USDT", "1m", start="2024-01-02")
    exchange.clock.set(parse_time("2024-01-06"))
    asked = len(exchange.requests)
    lake.backfill("binance", "ETH/USDT", "1m", start="2024-01-02")
    assert {gap.reason for gap in lake.gaps(ETH, "2024-01-02", "2024-01-05T23:00")} == {"no_trades"}
    assert all(gap.span.end <= parse_time("2024-01-04T12:00") for gap in lake.gaps(ETH))
    bars = [request.query for request in exchange.requests[asked:] if request.path.endswith("klines")]
    assert all(int(query["startTime"]) * MS < parse_time("2024-01-04T12:00") for query in bars)


def test_one_that_is_gone_altogether_fails_with_since_when_and_stays_readable(exchange, lake):
    lake.backfill("binance", "ETH/USDT", "1m", start="2024-01-02", end="2024-01-03")
    before = lake.load(ETH)
    move(exchange, "2024-01-05", "erase=ETH/USDT@2024-01-04")
    run = lake.backfill("binance", "ETH/USDT", "1m", start="2024-01-02")
    assert run.state == "failed"
    assert "binance listed ETH/USDT, until 2024-01-03T00:00:00Z and serves nothing of it any more" in run.outcome
    assert lake.load(ETH).equals(before)


def test_others_are_fetched_beside_one_that_is_gone(exchange, lake):
    lake.refresh_instruments("binance")
    move(exchange, "2024-01-05", "erase=ETH/USDT@2024-01-04")
    run = lake.backfill("binance", ["ETH/USDT", "BTC/USDT"], "1h", start="2024-01-02", end="2024-01-03")
    assert run.state == "incomplete"
    assert lake.load("binance:ohlcv:1h:BTC/USDT").height == 24


def test_a_symbol_nobody_ever_saw_is_refused_as_before(exchange, lake):
    with pytest.raises(UnknownSymbol, match="does not list"):
        lake.backfill("binance", "DOGE/USDT", "1h", start="2024-01-02")


def test_a_rename_is_a_link_and_never_a_merge(exchange, lake):
    """Field note: a rename is a link, never a merge."""
    lake.backfill("binance", "ETH/USDT", "1m", start="2024-01-02", end="2024-01-03")
    move(exchange, "2024-01-07", "rename=ETH/USDT>ETC/USDT@2024-01-04")
    lake.backfill("binance", ["ETH/USDT", "ETC/USDT"], "1m", start="2024-01-02")
    lake.rename_instrument("binance", "ETH/USDT", "ETC/USDT", "2024-01-04")
    old, new = lake.load(ETH), lake.load("binance:ohlcv:1m:ETC/USDT")
    whole = pl.concat([held(exchange, ETH), held(exchange, "binance:ohlcv:1m:ETC/USDT")])
    assert pl.concat([old, new])["ts"].equals(whole.filter(pl.col("ts").dt.date() >= pl.date(2024, 1, 2))["ts"])
    assert old["ts"].to_physical()[-1] < parse_time("2024-01-04") <= new["ts"].to_physical()[0]
    found = lake.instruments("binance", "ETC").select("symbol", "renamed_from", "renamed_to").rows()
    assert found == [("ETC/USDT", "ETH/USDT", None), ("ETH/USDT", None, "ETC/USDT")]


def test_a_rename_needs_names(lake):
    with pytest.raises(InvalidName):
        lake.rename_instrument("binance", "", "POL/USDT", "2024-01-04")


class TestRecentOnly:
    def test_what_is_older_than_served_is_unavailable_not_silent(self, exchange, lake):
        """Field note: history may be recent-only; record why older data is unavailable."""
        exchange.clock.set(parse_time("2024-01-06"))
        exchange.be("recent_only=2d")
        run = lake.backfill("binance", "BTC/USDT", "1m", start="2024-01-02", end="2024-01-05")
        (gap,) = [gap for gap in lake.gaps("binance:ohlcv:1m:BTC/USDT") if gap.reason != "no_trades"]
        assert (gap.span.start, gap.span.end) == (parse_time("2024-01-02"), parse_time("2024-01-04"))
        assert gap.reason == "unavailable"
        assert "serves nothing older than 2024-01-04" in gap.detail
        assert run.state == "incomplete"

    @pytest.mark.parametrize("dataset", ["binance:trades:BTC/USDT", "kraken:trades:BTC/USD"])
    def test_trades_too(self, dataset, exchange, lake):
        exchange.clock.set(parse_time("2024-01-06"))
        exchange.be("recent_only=2d")
        name, _, symbol = dataset.split(":")
        lake.backfill(name, symbol, start="2024-01-02", end="2024-01-05")
        first = lake.load(dataset)["ts"].to_physical()[0]
        assert first >= parse_time("2024-01-04")
        words = [(gap.span.start, gap.span.end, gap.reason) for gap in lake.gaps(dataset)]
        assert words == [(parse_time("2024-01-02"), first, "unavailable")]

    def test_it_is_asked_once(self, exchange, lake):
        exchange.clock.set(parse_time("2024-01-06"))
        exchange.be("recent_only=2d")
        for _ in range(2):
            asked = len(exchange.requests)
            lake.backfill("binance", "BTC/USDT", "1m", start="2024-01-02", end="2024-01-05")
        assert not [request for request in exchange.requests[asked:] if request.path.endswith("klines")]

    def test_the_day_of_the_listing_is_no_proof(self, exchange, lake):
        """Its daily bar opens before its first trade."""
        move(exchange, "2024-01-06", "rename=ETH/USDT>ETC/USDT@2024-01-04T12:00")
        run = lake.backfill("binance", "ETC/USDT", "1m", start="2024-01-03", end="2024-01-05")
        assert {gap.reason for gap in lake.gaps("binance:ohlcv:1m:ETC/USDT")} == {"no_trades"}
        assert run.state == "succeeded"
