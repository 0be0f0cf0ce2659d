"""A backfill through unmodified ccxt brings exactly what was recorded."""

from __future__ import annotations

import random
import signal
import time

import polars as pl
import pytest

from tests.forked import start_command
from ticklake.core.dataset import Dataset
from ticklake.core.span import Span
from ticklake.core.time import format_time
from ticklake.lake import Lake
from ticklake.testing.exchange.recorded import FILES
from ticklake.testing.exchange.server import SimulatedExchange

BINANCE_BARS = [(name, text, read) for name, text, read in FILES if text.startswith("binance") and ":ohlcv:" in text]
NOW = "2025-08-01"


def bounds(dataset: Dataset, rows: pl.DataFrame) -> Span:
    ts = rows["ts"].to_physical()
    end = int(ts[-1])
    return Span(int(ts[0]), dataset.timeframe.next(end, dataset.anchor) if dataset.timeframe else end + 1)


def assert_equal(lake: Lake, dataset: Dataset, rows: pl.DataFrame) -> None:
    span = bounds(dataset, rows)
    loaded = lake.load(dataset, span.start, span.end)
    assert loaded.height == rows.height
    assert loaded.select(rows.columns).equals(rows)


def backfill(lake: Lake, dataset: Dataset, span: Span):
    timeframe = str(dataset.timeframe) if dataset.timeframe else None
    symbol = str(dataset.symbol)
    return lake.backfill(dataset.exchange, symbol, timeframe, kind=dataset.kind, start=span.start, end=span.end)


@pytest.mark.parametrize(
    ("name", "text", "read"), BINANCE_BARS, ids=[f"{name}:{text}" for name, text, _ in BINANCE_BARS]
)
def test_every_recorded_binance_bar_arrives_exactly(name, text, read, recorded, recorded_market_, serve, lake_at):
    dataset, rows = Dataset.parse(text), read(recorded / name)
    exchange = serve(recorded_market_, NOW)
    lake = lake_at(exchange)

    run = backfill(lake, dataset, bounds(dataset, rows))

    assert_equal(lake, dataset, rows)
    assert run["new"] == rows.height
    holes = sum(gap.missing or 0 for gap in lake.gaps(dataset, *_times(dataset, rows)))
    assert holes == dataset.timeframe.count_in(bounds(dataset, rows), dataset.anchor) - rows.height


@pytest.mark.parametrize(
    "name", ["binance_BTCUSDT_aggTrades_20201101T09", "binance_XRPETH_aggTrades_201910", "kraken_XRP_EUR_trades_2022"]
)
def test_recorded_trades_arrive_exactly(name, recorded, recorded_market_, serve, lake_at):
    file, text, read = next(entry for entry in FILES if name in entry[0])
    dataset, rows = Dataset.parse(text), read(recorded / file).head(30_000)
    lake = lake_at(serve(recorded_market_, NOW))

    backfill(lake, dataset, bounds(dataset, rows))

    kept = ["ts", "price", "amount", "side"] if dataset.exchange == "kraken" else rows.columns
    loaded = lake.load(dataset)
    assert loaded.select(kept).equals(rows.select(kept))
    assert lake.gaps(dataset, *_times(dataset, rows)) == []


@pytest.mark.parametrize("symbol", ["BTC", "LAYER", "XRP"])
def test_recorded_funding_arrives_exactly(symbol, recorded, recorded_market_, serve, lake_at):
    file, text, read = next(entry for entry in FILES if f"funding:{symbol}/" in entry[1])
    dataset, rows = Dataset.parse(text), read(recorded / file)
    lake = lake_at(serve(recorded_market_, NOW))

    backfill(lake, dataset, bounds(dataset, rows))

    assert lake.load(dataset).select("ts", "rate").equals(rows.select("ts", "rate"))


def test_trades_rebuild_the_recorded_bars(recorded, recorded_market_, serve, lake_at):
    """Oracle: XRP/ETH aggregated trades of October 2019 give the recorded 1m bars."""
    from ticklake.core.resample import bars_from_trades
    from ticklake.core.timeframe import Timeframe

    dataset = Dataset.parse("binance:trades:XRP/ETH")
    lake = lake_at(serve(recorded_market_, NOW))
    backfill(lake, dataset, Span.parse("2019-10-11", "2019-10-14"))

    bars = bars_from_trades(lake.scan(dataset), Timeframe.parse("1m")).collect()

    want = recorded_market_.rows("binance", dataset.symbol, "ohlcv", Timeframe.parse("1m"))
    prices = ["ts", "open", "high", "low", "close"]
    assert bars.select(prices).equals(want.select(prices))
    assert (bars["volume"] - want["volume"]).abs().max() < 1e-6


def test_the_second_backfill_writes_nothing_and_says_so(recorded, recorded_market_, serve, lake_at):
    exchange = serve(recorded_market_, NOW)
    lake = lake_at(exchange)
    asked = ("binance", "BTC/USDT", "1m")
    lake.backfill(*asked, start="2024-08-01", end="2024-08-10")
    version, requests = lake.engine.catalog.version(), len(_pages(exchange))

    again = lake.backfill(*asked, start="2024-08-01", end="2024-08-10")

    assert (again["new"], again["changed"]) == (0, 0)
    assert again.state == "succeeded"
    assert again.outcome.startswith("0 new, 0 changed")
    assert lake.engine.catalog.version() == version
    assert len(_pages(exchange)) == requests


@pytest.mark.slow
def test_killed_at_twenty_moments_it_goes_on_and_never_asks_twice(
    recorded, recorded_market_, serve, lake_at, tmp_path, monkeypatch
):
    """kill -9 at random moments: the lake equals the file, and no covered page is fetched again."""
    # At the pace of the real exchange each start would wait half a second to list the markets.
    monkeypatch.setenv("TICKLAKE_EXCHANGES__BINANCE__RATE_LIMIT_MS", "1")
    file, text, read = FILES[0]
    dataset, rows = Dataset.parse(text), read(recorded / file)
    exchange = serve(recorded_market_, NOW)
    span = bounds(dataset, rows)
    command = [
        *("ingest", "binance", "BTC/USDT", "--timeframe", "1m", "--json"),
        *("--start", format_time(span.start), "--end", format_time(span.end)),
        *("--lake", str(tmp_path / "lake"), "--exchange-url", exchange.url, "--no-archives"),
    ]
    dice = random.Random(20)

    killed = _kill_often(command, exchange, dice, rounds=20)

    lake = lake_at(exchange)
    covered = lake.coverage(dataset).spans()
    before = len(exchange.requests)
    backfill(lake, dataset, span)
    assert_equal(lake, dataset, rows)
    assert lake.verify(deep=True) == []
    assert killed == 20
    for request in _pages(exchange)[_pages_before(exchange, before) :]:
        start = int(request.query["startTime"]) * 1_000_000 + 60_000_000_000
        end = (int(request.query["endTime"]) + 1) * 1_000_000
        assert not any(piece.start <= start and end <= piece.end for piece in covered)
    states = [run.state for run in lake.runs.list(limit=100)]
    assert set(states) <= {"killed", "succeeded"}


def _kill_often(command: list[str], exchange: SimulatedExchange, dice: random.Random, rounds: int) -> int:
    """Start the command and kill it after a random number of further pages, again and again."""
    exchange.faults = exchange.faults.changed({"timeout_every": 1, "timeout_seconds": 0.03})
    killed = 0
    for _ in range(rounds):
        process = start_command(*command)
        first, deadline = len(_pages(exchange)), time.monotonic() + 30
        target = first + dice.randint(1, 2)
        while len(_pages(exchange)) < target and process.is_alive() and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(dice.uniform(0, 0.03))
        process.kill()
        process.join()
        killed += process.exitcode == -signal.SIGKILL
    exchange.faults = exchange.faults.changed({"timeout_every": 0})
    return killed


def _pages(exchange: SimulatedExchange):
    return [
        request
        for request in exchange.requests
        if request.path.endswith("klines") and request.query.get("interval") not in {"1d", "1w"}
    ]


def _pages_before(exchange: SimulatedExchange, count: int) -> int:
    seen = exchange.requests[:count]
    return len([r for r in seen if r.path.endswith("klines") and r.query.get("interval") not in {"1d", "1w"}])


def _times(dataset: Dataset, rows: pl.DataFrame) -> tuple[int, int]:
    span = bounds(dataset, rows)
    return span.start, span.end


class TestKrakenIsRecentOnly:
    """Field note: history may be recent-only; collect forward before it ages out."""

    SYMBOL = "BTC/USD"

    def truth(self, market) -> pl.DataFrame:
        return market.rows("kraken", Dataset.parse("kraken:ohlcv:1h:BTC/USD").symbol, "ohlcv", _hour())

    def test_what_is_served_arrives_exactly_and_the_rest_is_unavailable(self, recorded_market_, serve, lake_at):
        exchange = serve(recorded_market_, "2022-05-30T00:00:20")
        lake = lake_at(exchange)

        run = lake.backfill("kraken", self.SYMBOL, "1h", start="2022-01-01")

        rows = lake.ohlcv("kraken", self.SYMBOL, "1h")
        past = self.truth(recorded_market_).filter(pl.col("ts") < pl.lit("2022-05-30").str.to_datetime(time_zone="UTC"))
        served = past.tail(719)
        assert rows.select("ts", "open", "close", "volume", "trades").equals(
            served.select("ts", "open", "close", "volume", "trades")
        )
        (gap,) = lake.gaps("kraken:ohlcv:1h:BTC/USD", "2022-01-01", "2022-04-20")
        assert (gap.reason, gap.missing) == ("unavailable", 109 * 24)
        assert "720" in gap.detail
        assert run.state == "incomplete"

    def test_it_grows_without_a_hole_as_the_clock_advances(self, recorded_market_, serve, lake_at):
        exchange = serve(recorded_market_, "2022-05-30T00:00:20")
        lake = lake_at(exchange)
        lake.backfill("kraken", self.SYMBOL, "1h", start="2022-05-15")
        for _ in range(4):
            exchange.clock.advance(9 * 24 * 3600 * 10**9)
            lake.backfill("kraken", self.SYMBOL, "1h", start="2022-05-15")

        rows = lake.ohlcv("kraken", self.SYMBOL, "1h", "2022-05-15", "2022-07-05")
        day = pl.col("ts").dt.date()
        want = self.truth(recorded_market_).filter((day >= pl.date(2022, 5, 15)) & (day < pl.date(2022, 7, 5)))
        assert rows.select("ts", "close", "volume").equals(want.select("ts", "close", "volume"))
        assert {gap.reason for gap in lake.gaps("kraken:ohlcv:1h:BTC/USD", "2022-05-15", "2022-07-05")} <= {"no_trades"}


def _hour():
    from ticklake.core.timeframe import Timeframe

    return Timeframe.parse("1h")
