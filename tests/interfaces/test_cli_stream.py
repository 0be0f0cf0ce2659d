"""The command ``stream`` as a process: how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from ticklake.app import open_lake
from ticklake.catalog.database import Database
from ticklake.core.dataset import Dataset
from ticklake.core.runs import RunState
from ticklake.core.time import SECOND, parse_time
from ticklake.testing.exchange.clock import SimulatedClock
from ticklake.testing.exchange.server import SimulatedExchange

TRADES = "binance:trades:BTC/USDT"


@pytest.fixture
def exchange(market):
    simulated = SimulatedExchange(market, SimulatedClock(parse_time("2024-01-05T12:00:30Z")))
    with simulated.running():
        yield simulated


def served(exchange):
    journal = exchange.served.get(Dataset.parse(TRADES))
    return sorted(journal.ids()) if journal else []


@contextmanager
def streaming(exchange, folder, **settings):
    """Run ``ticklake stream`` until some trades were served, without a commit by itself."""
    command = [sys.executable, "-m", "ticklake", "stream", "binance", "BTC/USDT", "--exchange-url", exchange.url]
    environment = {**os.environ, "TICKLAKE_LIVE__FLUSH_SECONDS": "600", "TICKLAKE_LIVE__FLUSH_ROWS": "100000"}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, cwd=folder, env={**environment, **settings}
    ) as process:
        end = time.monotonic() + 30
        while len(served(exchange)) < 5:
            assert time.monotonic() < end
            exchange.clock.advance(10 * SECOND)
            time.sleep(0.05)
        time.sleep(1.0)
        yield process


def test_sigterm_shows_the_own_run(exchange, tmp_path):
    with streaming(exchange, tmp_path) as process, open_lake(tmp_path / "data") as lake:
        other = lake.runs.create("stream", "of another process", {})
        lake.runs.finish(other.id, RunState.CANCELLED, {}, "ended")
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)
    assert output.startswith("run 1 cancelled: ")


@pytest.mark.slow
def test_sigterm_while_the_lake_cannot_be_written_ends_soon_and_says_what_is_lost(exchange, tmp_path):
    with streaming(exchange, tmp_path, TICKLAKE_LIVE__END_RETRY="1") as process:
        database = Database.in_file(tmp_path / "data" / "catalog.db")
        with database.write():
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=40)
        assert time.monotonic() - began < 15
        database.close()
    assert process.returncode == 1
    assert "rows of 1 streams were received and are lost" in said
    assert f"held by process {os.getpid()}" in said


def test_a_second_sigterm_ends_at_once(exchange, tmp_path):
    with streaming(exchange, tmp_path, TICKLAKE_LIVE__END_RETRY="60") as process:
        database = Database.in_file(tmp_path / "data" / "catalog.db")
        with database.write():
            process.send_signal(signal.SIGTERM)
            time.sleep(2.0)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=5)
        database.close()
    assert process.returncode == -signal.SIGTERM


def test_sigterm_commits_what_was_received(exchange, tmp_path):
    with streaming(exchange, tmp_path) as process:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert output.startswith("run 1 cancelled: ")
    with open_lake(tmp_path / "data") as lake:
        assert [int(ident) for ident in lake.load(TRADES)["id"]] == served(exchange)
