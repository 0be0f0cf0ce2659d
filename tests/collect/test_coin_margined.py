"""COIN-M futures of the simulated exchange: what its streams send is what its calls return."""

from __future__ import annotations

import threading
import time

import polars as pl
import pytest

from ticklake import StreamRequest
from ticklake.app import open_lake
from ticklake.config import LiveSettings
from ticklake.core.time import MINUTE, SECOND, parse_time
from ticklake.errors import Cancelled
from ticklake.testing.exchange.clock import SimulatedClock
from ticklake.testing.exchange.generated import generated_market, live_market
from ticklake.testing.exchange.server import SimulatedExchange

from ..conftest import settings_for

SYMBOL = "BTC/USD:BTC"
KINDS = (
    "trades",
    "book",
    "quotes",
    "ohlcv",
    "mark_ohlcv",
    "index_ohlcv",
    "predicted_funding",
    "liquidations",
    "open_interest",
)
QUICK = LiveSettings(flush_rows=50, flush_seconds=0.1, fill_delay=0.05, recheck_seconds=1000)


@pytest.fixture(scope="module")
def exchange():
    start = parse_time("2024-01-04")
    market = generated_market(start, start + 86_400 * SECOND, coin_margined=True)
    simulated = SimulatedExchange(market, SimulatedClock(parse_time("2024-01-04T12:00:30Z")))
    with simulated.running():
        yield simulated


@pytest.fixture(scope="module")
def lake(exchange, tmp_path_factory):
    """A lake that has collected some minutes live."""
    settings = settings_for(exchange.url).model_copy(update={"live": QUICK})
    with open_lake(tmp_path_factory.mktemp("coin") / "lake", settings=settings) as opened:
        is_live, is_told = threading.Event(), threading.Event()

        def watch(status):
            if status and all(each.state == "live" for each in status):
                is_live.set()
            if is_told.is_set():
                raise Cancelled("told to stop")

        def run():
            with pytest.raises(Cancelled):
                opened.streams.run(StreamRequest.of("binance", SYMBOL, KINDS), watch=watch)

        thread = threading.Thread(target=run)
        thread.start()
        assert is_live.wait(20)
        for _ in range(60):
            exchange.clock.advance(15 * SECOND)
            time.sleep(0.05)
        time.sleep(1.0)
        is_told.set()
        thread.join(20)
        yield opened


@pytest.mark.parametrize("kind", ["trades", "ohlcv", "mark_ohlcv", "index_ohlcv"])
def test_streams_and_calls_bring_the_same_rows(lake, exchange, tmp_path, kind):
    name = f"binance:{kind}:{'1m:' if 'ohlcv' in kind else ''}{SYMBOL}"
    live = lake.load(name)
    assert live.height > 8
    with open_lake(tmp_path / "called", settings=settings_for(exchange.url)) as other:
        options = {"timeframe": "1m"} if "ohlcv" in kind else {}
        exchange.clock.advance(2 * MINUTE)
        other.backfill("binance", SYMBOL, kind=kind, start="2024-01-04T12:00Z", end="2024-01-04T12:30Z", **options)
        called = other.load(name).filter(pl.col("ts").is_between(live["ts"][0], live["ts"][-1]))
    assert live.drop("received_at", strict=False).equals(called.drop("received_at", strict=False))


def test_amounts_are_contracts_and_volumes_are_coins(lake):
    trades, bars = lake.trades("binance", SYMBOL), lake.ohlcv("binance", SYMBOL, "1m")
    assert (trades["amount"] % 1 == 0).all()
    bar = bars.row(3, named=True)
    inside = trades.filter(pl.col("ts").is_between(bar["ts"], bar["ts"] + pl.duration(minutes=1), closed="left"))
    coins = (inside["amount"] * 100 / inside["price"]).sum()
    assert bar["volume"] == pytest.approx(coins, abs=1e-4)
    assert bar["quote_volume"] is None


def test_books_and_quotes_come_and_never_cross(lake):
    quotes = lake.load(f"binance:quotes:{SYMBOL}")
    assert quotes.height > 100
    assert (quotes["bid_price"] < quotes["ask_price"]).all()
    book = lake.book("binance", SYMBOL)
    assert book.height > 100
    assert (book["amount"] % 1 == 0).all()
    assert lake.gaps(f"binance:book:{SYMBOL}") == []


def test_open_interest_is_asked_for_by_calls(lake):
    name = f"binance:open_interest:{SYMBOL}"
    rows = lake.load(name)
    # The value of this minute and the one before it; the next call is a minute of real time away.
    assert rows.height >= 1
    assert {origin.endpoint for origin in lake.provenance(name)} == {"binance calls"}
    assert {origin.endpoint for origin in lake.provenance(f"binance:quotes:{SYMBOL}")} == {"binance socket"}


def test_a_live_simulation_lists_them():
    listed = [str(symbol) for symbol in live_market(parse_time("2024-01-04")).symbols("binance")]
    assert {"BTC/USD:BTC", "ETH/USD:ETH"} <= set(listed)
