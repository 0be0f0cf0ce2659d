"""Processes that collect live, two at once, under faults of the sockets and killed at random moments; then a repair."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from random import Random

import pytest

from ticklake.app import open_lake
from ticklake.core.dataset import Dataset
from ticklake.core.time import MINUTE, parse_time
from ticklake.testing.exchange.clock import SimulatedClock
from ticklake.testing.exchange.faults import Faults
from ticklake.testing.exchange.server import SimulatedExchange

from ..conftest import settings_for
from ..forked import start_command

pytestmark = pytest.mark.slow
STREAMS = ("binance:trades:BTC/USDT", "binance:trades:ETH/USDT")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    settings = {"FLUSH_SECONDS": "0.2", "FLUSH_ROWS": "20", "FILL_DELAY": "0.1"}
    for name, value in settings.items():
        monkeypatch.setenv(f"TICKLAKE_LIVE__{name}", value)
    monkeypatch.setenv("TICKLAKE_ARCHIVES", "false")


def collector(folder, exchange):
    """Begin ``ticklake stream`` in a process of its own."""
    symbols = [str(Dataset.parse(name).symbol) for name in STREAMS]
    command = ["stream", "binance", *symbols, "--lake", str(folder), "--exchange-url", exchange.url]
    return start_command(*command, output=folder.parent / "collectors.txt")


def let_pass(exchange, rng, seconds):
    """Let the market go on, about a minute of it in half a second."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        exchange.clock.advance(rng.randrange(MINUTE // 4))
        time.sleep(0.05)


def ended(process, how):
    with suppress(ProcessLookupError):
        os.kill(process.pid, how)
    process.join(30)
    assert process.exitcode is not None, "it goes on"


def processes_of(seed, folder, market):
    """Collect by two processes at once under faults, end them at random moments, begin again, and repair."""
    rng = Random(seed)
    lake_folder = folder / "lake"
    exchange = SimulatedExchange(market, SimulatedClock(parse_time("2024-01-05T12:00:30Z")))
    share = 0.02
    faults = Faults(seed=seed, socket_drop=share / 4, socket_gap=share, socket_duplicate=share, socket_reorder=share)
    with exchange.running():
        running = [collector(lake_folder, exchange), collector(lake_folder, exchange)]
        try:
            end = time.monotonic() + 60
            while len(exchange.served) < len(STREAMS) and time.monotonic() < end:
                let_pass(exchange, rng, 0.2)
            let_pass(exchange, rng, 2)
            exchange.faults = faults
            for _ in range(3):
                let_pass(exchange, rng, rng.uniform(0.5, 2))
                place = rng.randrange(2)
                ended(running[place], rng.choice((signal.SIGKILL, signal.SIGTERM)))
                running[place] = collector(lake_folder, exchange)
            let_pass(exchange, rng, 6)
            exchange.faults = Faults()
            let_pass(exchange, rng, 2)
        finally:
            for process in running:
                ended(process, signal.SIGTERM)
        with open_lake(lake_folder, settings=settings_for(exchange.url)) as lake:
            # Calls serve what is a little older than now.
            exchange.clock.advance(MINUTE)
            lake.repair()
            for name in STREAMS:
                # What came after the newest row shows nowhere until somebody asks for it.
                newest = lake.load(name, columns=["ts"], last=1)["ts"][0]
                symbol = str(Dataset.parse(name).symbol)
                lake.backfill("binance", symbol, kind="trades", start=newest, end="2024-01-05T20:00Z")
            return [problem for name in STREAMS for problem in hidden(lake, exchange, name)]


def hidden(lake, exchange, name):
    """Yield what was served of a stream and is neither stored once nor inside a gap."""
    rows = lake.load(name, columns=["ts", "id"])
    stored = [int(number) for number in rows["id"]]
    if len(set(stored)) != len(stored):
        yield f"{name}: rows are doubled"
    dataset = Dataset.parse(name)
    happened = exchange.market.rows("binance", str(dataset.symbol), "trades", None)
    times = dict(zip(map(int, happened["id"]), happened["ts"].to_physical(), strict=True))
    gaps = lake.gap_report(name).gaps
    for number in sorted(set(exchange.served[dataset].ids()) - set(stored)):
        if not any(times[number] in gap.span for gap in gaps):
            yield f"{name}: {number} at {times[number]} was served and is neither stored nor inside a gap"


def test_processes_that_are_killed(tmp_path, market):
    """Four lakes at once, as most of the time is waiting."""
    folders = [tmp_path / str(seed) for seed in range(4)]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor(len(folders)) as pool:
        found = pool.map(lambda folder: processes_of(int(folder.name), folder, market), folders)
    assert list(found) == [[]] * len(folders)


def test_a_subscriber_gets_what_this_process_and_another_one_collect(tmp_path, market):
    exchange = SimulatedExchange(market, SimulatedClock(parse_time("2024-01-05T12:00:30Z")))
    folder = tmp_path / "lake"
    found = {name: [] for name in STREAMS}

    def read(subscriber):
        for batch in subscriber:
            if batch.dataset.kind == "trades":
                found[str(batch.dataset)] += [int(ident) for ident in batch.frame()["id"].to_list()]

    with exchange.running(), open_lake(folder, settings=settings_for(exchange.url)) as lake:
        subscriber = lake.subscribe("binance:trades:*")
        reader = threading.Thread(target=read, args=(subscriber,))
        reader.start()
        # Both collect the first symbol, the other process alone the second one.
        process = collector(folder, exchange)
        lake.streams.start("binance", "BTC/USDT")
        try:
            end = time.monotonic() + 30
            while any(len(ids) < 12 for ids in found.values()) and time.monotonic() < end:
                let_pass(exchange, Random(1), 0.2)
        finally:
            ended(process, signal.SIGTERM)
        lake.streams.stop()
        time.sleep(1.0)
        subscriber.close()
        reader.join(10)
        for name in STREAMS:
            stored = [int(ident) for ident in lake.load(name)["id"]]
            assert len(stored) >= 12
            assert sorted(found[name]) == stored
        assert found[STREAMS[1]] == sorted(found[STREAMS[1]])


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(4, 104))
def test_many_processes_that_are_killed(seed, tmp_path, market):
    assert processes_of(seed, tmp_path, market) == []
