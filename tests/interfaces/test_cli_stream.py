"""The command ``stream`` as a process: how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from ticklake.app import open_lake
from ticklake.core.dataset import Dataset
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


def test_sigterm_commits_what_was_received(exchange, tmp_path):
    command = [sys.executable, "-m", "ticklake", "stream", "binance", "BTC/USDT", "--exchange-url", exchange.url]
    # No commit comes before the end by itself.
    environment = {**os.environ, "TICKLAKE_LIVE__FLUSH_SECONDS": "600", "TICKLAKE_LIVE__FLUSH_ROWS": "100000"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment)
    end = time.monotonic() + 30
    while len(served(exchange)) < 5:
        assert time.monotonic() < end
        exchange.clock.advance(10 * SECOND)
        time.sleep(0.05)
    time.sleep(1.0)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert output.startswith("run 1 cancelled: ")
    with open_lake(tmp_path / "data") as lake:
        assert [int(ident) for ident in lake.load(TRADES)["id"]] == served(exchange)
