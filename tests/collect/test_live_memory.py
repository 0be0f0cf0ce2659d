"""A collector keeps nothing of what it has committed, but for its cache: memory is flat for as long as it runs."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import statistics
import time
import tracemalloc
from pathlib import Path

import pytest

from benchmarks.live import send
from ticklake.app import memory_lake, open_lake
from ticklake.collect.broadcast import Broadcast
from ticklake.collect.live import LiveService
from ticklake.core.dataset import Dataset
from ticklake.core.instrument import Instrument
from ticklake.core.streams import LiveOptions
from ticklake.core.time import MS
from ticklake.query.hot_cache import HotCache
from ticklake.sources.live.base import Control, Feed, LiveMessage, Sink, Subscription
from ticklake.sources.live.feeds import live_feeds
from ticklake.sources.live.options import FeedOptions
from ticklake.sources.wire.rows import Row
from ticklake.testing.rows import START

STREAMS = 300
PACE = 1_000
"""Events a second, of all streams together."""
SECONDS = 600
CACHE = 16 * 1024**2
"""Bytes of the hot cache: full long before memory is looked at."""
GROWTH = 1.05
"""What the last minute may take of what the fourth one took, about 200 MB: 30 bytes kept of each event between them are noticed."""

NOW = START + 3_600_000 * MS


class Rounds(Feed):
    """Sends rounds of trades of ten streams, has each round committed, and notes how much memory is held after it."""

    def __init__(self, rounds: int, trades: int) -> None:
        datasets = [Dataset.parse(f"x:trades:S{number}/USD") for number in range(10)]
        self.exchange = "x"
        self.datasets = {("trades", str(dataset.symbol), ""): dataset for dataset in datasets}
        self.subscriptions = tuple(Subscription(dataset) for dataset in datasets)
        self.rounds, self.trades = rounds, trades
        self.held: list[int] = []

    async def run(self, sink: Sink) -> None:
        assert isinstance(sink, LiveService)
        await sink.put(self, LiveMessage(NOW, controls=[Control("subscribed", NOW)]))
        for first in range(0, self.rounds * self.trades, self.trades):
            for number in range(first, first + self.trades):
                ts = START + number * MS
                row = Row("trades", f"S{number % 10}/USD", (ts, ts, str(number), "1.5", "2", "buy"))
                await sink.put(self, LiveMessage(ts, [row]))
            await sink.flush()
            gc.collect()
            self.held.append(tracemalloc.get_traced_memory()[0])


def test_nothing_is_kept_of_what_was_committed():
    feed = Rounds(12, 1_000)
    with memory_lake(clock=lambda: NOW) as lake:
        live = Broadcast(HotCache(lambda: NOW, budget=1024**2))
        service = LiveService(lake.engine, None, LiveOptions(flush_rows=10**6), listeners=[live])
        tracemalloc.start()
        try:
            asyncio.run(service.run([feed]))
        finally:
            tracemalloc.stop()
        assert sum(status.stored for status in service.status()) == 12_000
    # When the cache is full, 8,000 trades more leave less than two pointers each.
    assert feed.held[-1] - feed.held[3] < 8_000 * 16


class Counting(Broadcast):
    """Tells when all rows have come."""

    def __init__(self, cache: HotCache, events: int) -> None:
        super().__init__(cache)
        self.has_all = asyncio.Event()
        self._missing = events

    def rows(self, dataset, rows, received_at):
        super().rows(dataset, rows, received_at)
        self._missing -= len(rows)
        if self._missing <= 0:
            self.has_all.set()


def collect(folder: Path, port: int, events: int, results) -> None:
    """Collect so many events in this process, and say what became of them."""
    results.send(asyncio.run(_collect(folder, f"http://127.0.0.1:{port}", events)))


async def _collect(folder: Path, url: str, events: int) -> list[dict[str, int]]:
    names = [f"S{number:03}" for number in range(STREAMS)]
    subscriptions = [Subscription(Dataset.parse(f"binance:trades:{name}/USDT")) for name in names]
    instruments = [Instrument("binance", f"{name}/USDT", f"{name}USDT", "spot") for name in names]
    live = Counting(HotCache(time.time_ns, budget=CACHE), events)
    with open_lake(folder) as lake:
        service = LiveService(lake.engine, None, listeners=[live])
        task = asyncio.create_task(service.run(live_feeds("binance", subscriptions, instruments, FeedOptions(url))))
        await asyncio.wait([task, asyncio.create_task(live.has_all.wait())], return_when=asyncio.FIRST_COMPLETED)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        names = ("received", "stored", "duplicate", "quarantined", "waiting", "gaps", "reconnects")
        return [{name: getattr(status, name) for name in names} for status in service.status()]


def resident(pid: int) -> int:
    """Return the bytes of memory that a process has now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.soak
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system does not tell the memory of a process")
def test_memory_is_flat_over_ten_minutes(tmp_path):
    events = PACE * SECONDS
    # Fresh processes: what this one has already loaded is not theirs.
    fresh = multiprocessing.get_context("spawn")
    ports, port = fresh.Pipe(duplex=False)
    results, result = fresh.Pipe(duplex=False)
    sender = fresh.Process(target=send, args=(port, events, PACE, STREAMS), daemon=True)
    sender.start()
    collector = fresh.Process(target=collect, args=(tmp_path / "lake", ports.recv(), events, result), daemon=True)
    collector.start()
    taken = []
    end = time.monotonic() + 2 * SECONDS
    try:
        while not results.poll(1) and collector.is_alive() and time.monotonic() < end:
            taken.append(resident(collector.pid))
        assert results.poll(), "the collector has not taken all events"
        statuses = results.recv()
    finally:
        collector.kill()
        sender.kill()
    tenth = len(taken) // 10
    early, late = statistics.median(taken[3 * tenth : 4 * tenth]), statistics.median(taken[-tenth:])
    assert len(statuses) == STREAMS
    for status in statuses:
        assert status["received"] == status["stored"] + status["duplicate"] + status["quarantined"]
        assert status["waiting"] == 0
    assert sum(status["stored"] for status in statuses) == events
    assert late <= early * GROWTH, taken[::tenth]
