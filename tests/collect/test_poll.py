"""Streams by calls: datasets are kept up to now, and nothing is missing in between."""

from __future__ import annotations

import threading
import time

import pytest

from ticklake.core.time import MINUTE, parse_time
from ticklake.errors import BadInput, Cancelled
from ticklake.testing.exchange.faults import Faults

from .test_backfill import same, truth

BEGIN, NOW = "2024-01-02", "2024-01-02T01:00:30"
BARS, TRADES = "binance:ohlcv:1m:BTC/USDT", "binance:trades:BTC/USDT"


def wait_until(true, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


@pytest.fixture
def begun(market, serve, lake_at):
    """A lake that holds bars and trades up to now, and the exchange they are of."""
    exchange = serve(market, NOW)
    lake = lake_at(exchange)
    lake.backfill("binance", "BTC/USDT", "1m", start=BEGIN)
    lake.backfill("binance", "BTC/USDT", kind="trades", start=BEGIN)
    return lake, exchange


@pytest.mark.parametrize("text", [BARS, TRADES])
def test_what_is_new_arrives_until_the_job_is_cancelled(text, begun, market):
    lake, exchange = begun
    before = lake.load(text).height
    job = lake.jobs.create("poll", text, every="1s")
    worker = threading.Thread(target=lake.jobs.start, args=[job.id])
    worker.start()
    for minutes in (7, 3):
        exchange.clock.advance(minutes * MINUTE)
        held = before
        wait_until(lambda held=held: lake.load(text).height > held)
        before = lake.load(text).height
    wait_until(lambda: (lake.last_timestamp(text) or 0) > parse_time("2024-01-02T01:08"))
    lake.jobs.cancel(job.id)
    worker.join(30)
    assert lake.jobs.get(job.id).state == "cancelled"
    (run,) = lake.runs.list(job=job.id)
    assert (run.operation, run.state) == ("poll", "cancelled")
    rows = lake.load(text)
    last = lake.last_timestamp(text)
    want = truth(market, text, BEGIN, last + 1)
    assert same(rows, want, [name for name in want.columns if want[name].null_count() == 0])
    assert [gap.reason for gap in lake.gaps(text, BEGIN, last) if gap.reason != "no_trades"] == []


def test_it_outlives_an_exchange_that_is_away_for_a_while(begun):
    lake, exchange = begun
    failed = []

    def watch(progress) -> None:
        if progress.failures:
            failed.append(dict(progress.failures))
            exchange.faults = Faults()
        if progress.counts["new"]:
            raise Cancelled

    exchange.faults = Faults(error_every=1)
    exchange.clock.advance(5 * MINUTE)
    with pytest.raises(Cancelled):
        lake.poll(TRADES, every="1s", watch=watch)
    assert failed
    assert lake.last_timestamp(TRADES) > parse_time(NOW)
    assert lake.gaps(TRADES, BEGIN, NOW) == []


def test_it_is_given_up_after_three_rounds_that_failed(begun):
    lake, exchange = begun
    exchange.faults = Faults(error_every=1)
    exchange.clock.advance(5 * MINUTE)
    run = lake.poll(TRADES, every="1s")
    assert run.state == "failed"
    assert "503 Service Unavailable" in run.outcome


@pytest.mark.parametrize(
    ("datasets", "words"),
    [
        ("binance:trades:ETH/USDT", "no binance:trades:ETH/USDT: did you mean binance:trades:BTC/USDT"),
        ([], "these are of none"),
    ],
)
def test_what_was_never_begun_is_refused(datasets, words, begun):
    lake, _ = begun
    with pytest.raises(BadInput, match=words):
        lake.poll(datasets)


def test_a_stream_is_of_one_exchange(begun):
    lake, _ = begun
    lake.backfill("kraken", "BTC/USD", kind="trades", start="2024-01-02T00:50")
    with pytest.raises(BadInput, match="binance, kraken"):
        lake.poll([TRADES, "kraken:trades:BTC/USD"])
