"""Moods of the simulated exchange: what really happened then, and what of it is served."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request

import polars as pl
import pytest

from ticklake.core.symbol import Symbol
from ticklake.core.time import DAY, HOUR, parse_time
from ticklake.core.timeframe import Timeframe
from ticklake.errors import BadInput
from ticklake.testing.exchange.scenarios import MoodyMarket, parse_moods

ETH, BTC, PERPETUAL = Symbol("ETH/USDT"), Symbol("BTC/USDT"), Symbol("BTC/USDT:USDT")
NOW = "2024-01-06"
M1, H1 = Timeframe.parse("1m"), Timeframe.parse("1h")


def moody(market, *texts):
    return MoodyMarket(market, parse_moods(texts))


def between(rows, start, end):
    ts = rows["ts"].to_physical()
    return rows.filter((ts >= parse_time(start)) & (ts < parse_time(end)))


def ids(rows):
    return rows["id"].cast(pl.Int64)


def test_in_an_outage_nobody_trades_and_ids_go_on(market):
    out = moody(market, "outage=2024-01-03T10:00/2024-01-03T12:00")
    for symbol in (BTC, ETH):
        trades = out.rows("binance", symbol, "trades")
        assert between(trades, "2024-01-03T10:00", "2024-01-03T12:00").height == 0
        assert between(out.rows("binance", symbol, "ohlcv", M1), "2024-01-03T10:00", "2024-01-03T12:00").height == 0
        assert (ids(trades).diff().drop_nulls() == 1).all()
    hours = out.rows("binance", BTC, "ohlcv", H1)
    assert between(hours, "2024-01-03T09:00", "2024-01-03T13:00").height == 2


def test_a_halt_is_one_symbols(market):
    halted = moody(market, "halt=ETH/USDT@2024-01-03T10:00/2024-01-03T12:00")
    rows = [halted.rows("binance", symbol, "ohlcv", M1) for symbol in (ETH, BTC)]
    assert [between(one, "2024-01-03T10:00", "2024-01-03T12:00").height > 0 for one in rows] == [False, True]


@pytest.mark.parametrize(("mood", "kept"), [("delist", True), ("erase", False)])
def test_a_delisted_symbol_vanishes_from_the_list(mood, kept, market):
    gone = moody(market, f"{mood}=ETH/USDT@2024-01-04")
    assert ETH in gone.listed("binance", parse_time("2024-01-03T23:59"))
    assert ETH not in gone.listed("binance", parse_time("2024-01-04"))
    assert gone.knows(ETH, parse_time("2024-01-05")) is kept
    assert between(gone.rows("binance", ETH, "trades"), "2024-01-04", NOW).height == 0
    assert between(gone.rows("binance", ETH, "trades"), "2024-01-03", "2024-01-04").height > 0


def test_a_renamed_symbol_goes_on_under_the_new_name_only(market):
    renamed = moody(market, "rename=ETH/USDT>ETC/USDT@2024-01-04")
    new, at = Symbol("ETC/USDT"), parse_time("2024-01-04")
    assert [ETH in renamed.listed("binance", at + step) for step in (-1, 0)] == [True, False]
    assert [new in renamed.listed("binance", at + step) for step in (-1, 0)] == [False, True]
    old_bars, new_bars = (renamed.rows("binance", symbol, "ohlcv", M1) for symbol in (ETH, new))
    assert pl.concat([old_bars, new_bars]).equals(market.rows("binance", ETH, "ohlcv", M1))
    assert ids(renamed.rows("binance", new, "trades"))[0] == 1


def test_trade_ids_begin_anew(market):
    reset = moody(market, "id_reset=BTC/USDT@2024-01-03").rows("binance", BTC, "trades")
    numbers = ids(reset)
    at = between(reset, "2024-01-01", "2024-01-03").height
    assert (numbers[at - 1], numbers[at], numbers[at + 1]) == (at, 1, 2)
    assert reset.drop("id").equals(market.rows("binance", BTC, "trades").drop("id"))


def test_the_funding_interval_changes_and_jitters(market):
    """Field note: intervals change per symbol, times jitter by milliseconds."""
    changed = moody(market, "funding_interval=BTC/USDT:USDT@2024-01-03=4h").rows("binance", PERPETUAL, "funding")
    ts = changed["ts"].to_physical()
    steps = (ts.diff().drop_nulls() / HOUR).round().cast(pl.Int64).to_list()
    assert steps[:6] == [8] * 6
    assert set(steps[6:]) == {4}
    assert any(int(time) % HOUR for time in ts)


def test_only_recent_history_is_served_but_days_are(market):
    recent = moody(market, "recent_only=2d")
    now = parse_time(NOW)
    for kind, frame in (("trades", None), ("ohlcv", M1)):
        served = recent.served("binance", BTC, kind, frame, now=now)
        assert served.height > 0
        assert served["ts"].to_physical()[0] >= now - 2 * DAY
    assert recent.served("binance", BTC, "ohlcv", Timeframe.parse("1d"), now=now).height == 5
    assert recent.rows("binance", BTC, "trades").height == market.rows("binance", BTC, "trades").height


def test_withheld_trades_are_numbered_all_the_same(market):
    held = moody(market, "withhold=BTC/USDT@2024-01-03/2024-01-04")
    served = held.served("binance", BTC, "trades", now=parse_time(NOW))
    assert served.height < held.rows("binance", BTC, "trades").height
    assert ids(served).diff().max() > 1


@pytest.mark.parametrize(
    "text",
    [
        "rain=2024-01-03/2024-01-04",
        "outage=2024-01-03",
        "outage=BTC/USDT@2024-01-03/2024-01-04",
        "halt=2024-01-03/2024-01-04",
        "delist=ETH/USDT@2024-01-03/2024-01-04",
        "rename=ETH/USDT@2024-01-03",
        "funding_interval=BTC/USDT:USDT@2024-01-03",
        "outage=2024-01-03T10:00:30/2024-01-03T12:00",
    ],
)
def test_a_mood_that_is_none_is_refused(text):
    with pytest.raises(BadInput):
        parse_moods([text])


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def test_moods_are_set_over_http_and_said(market, serve):
    exchange = serve(market, NOW)
    post(f"{exchange.url}/_sim/moods", {"moods": ["delist=ETH/USDT@2024-01-04"]})
    with urllib.request.urlopen(f"{exchange.url}/_sim") as answer:
        told = json.load(answer)
    assert "ETH/USDT" not in told["exchanges"]["binance"]
    assert told["moods"][0].startswith("delist=ETH/USDT@")
    with pytest.raises(urllib.error.HTTPError):
        post(f"{exchange.url}/_sim/moods", {"moods": ["rain"]})
    post(f"{exchange.url}/_sim/moods", {"moods": []})
    assert exchange.market is market


def test_ccxt_sees_the_shorter_list(market, serve):
    import ccxt.async_support as ccxt

    from ticklake.sources.ccxt.client import ExchangeClient, ExchangeOptions

    exchange = serve(market, NOW)
    exchange.be("delist=ETH/USDT@2024-01-04")
    assert ccxt

    async def listed():
        client = ExchangeClient("binance", ExchangeOptions(url=f"{exchange.url}/binance", rate_limit_ms=1))
        try:
            return set(await client.call("load_markets"))
        finally:
            await client.close()

    assert asyncio.run(listed()) == {"BTC/USDT", "BTC/USDT:USDT", "ETH/USDT:USDT"}
