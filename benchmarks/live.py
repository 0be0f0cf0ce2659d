"""Live: from sockets on loopback to durable commits: ``python -m benchmarks.live``. The sender is a process of its own.

Measured: events a second over 500 trade streams until the last one is committed, and the processor time they took; the time from the
exchange's clock to the cache and to the commit at 1,000 events a second; a read of the newest 1,000 rows from the cache.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ticklake
from ticklake.collect.broadcast import Broadcast
from ticklake.collect.live import LiveService
from ticklake.core.dataset import Dataset
from ticklake.core.instrument import Instrument
from ticklake.core.streams import LiveOptions
from ticklake.query.hot_cache import HotCache
from ticklake.sources.live.base import Control, Subscription
from ticklake.sources.live.feeds import live_feeds
from ticklake.sources.live.options import FeedOptions

STREAMS = 500
EVENTS = 1_000_000
PACED, PACE = 10_000, 1_000
SAMPLED = 7
"""Of so many messages one is timed, so that the clock takes no part of what is measured."""
MOST_UNSENT = 2**20
"""Bytes that wait to be sent at most."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print events a second, the delays, and the time of a read."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--paced", type=int, default=PACED, help="events for the delays")
    parser.add_argument("--folder", type=Path, help="where to store (default: the system's temp)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as folder:
        fast = asyncio.run(collect(Path(folder) / "fast", options.events, 0))
        paced = asyncio.run(collect(Path(folder) / "paced", options.paced, PACE))
    print(json.dumps({"fast": fast, "paced": paced}, indent=2))
    return 0


class Delays:
    """Notes how long after the exchange's time rows reach the cache."""

    def __init__(self, live: Broadcast) -> None:
        self.live = live
        self.messages = 0
        self.seconds: list[float] = []
        self.begun = asyncio.Event()

    def rows(self, dataset: Dataset, rows: Sequence[Sequence[Any]], received_at: int) -> None:
        """Pass rows on, and note the delay of the first."""
        self.begun.set()
        self.live.rows(dataset, rows, received_at)
        self.messages += 1
        if self.messages % SAMPLED == 0:
            self.seconds.append((time.time_ns() - rows[0][0]) / 1e9)

    def control(self, dataset: Dataset, control: Control) -> None:
        """Pass an event on."""
        self.live.control(dataset, control)


async def collect(folder: Path, events: int, pace: int) -> dict[str, float]:
    """Collect so many events, as fast as they come or at a *pace* a second, and return what it took."""
    receiving, sending = multiprocessing.Pipe(duplex=False)
    sender = multiprocessing.Process(target=send, args=(sending, events, pace), daemon=True)
    sender.start()
    url = f"http://127.0.0.1:{await asyncio.to_thread(receiving.recv)}"
    names = [f"S{number:03}" for number in range(STREAMS)]
    subscriptions = [Subscription(Dataset.parse(f"binance:trades:{name}/USDT")) for name in names]
    instruments = [Instrument("binance", f"{name}/USDT", f"{name}USDT", "spot") for name in names]
    cache = HotCache(time.time_ns)
    delays = Delays(Broadcast(cache))
    committed: list[float] = []
    with ticklake.open(folder) as lake:

        async def leave(_dataset: object, _span: object) -> None:
            return

        service = LiveService(lake.engine, leave, LiveOptions(), listeners=[delays])
        feeds = live_feeds("binance", subscriptions, instruments, FeedOptions(url))
        task = asyncio.create_task(service.run(feeds))
        await delays.begun.wait()
        began, cpu = time.perf_counter(), time.process_time()
        while sum(status.stored for status in service.status()) < events:
            await asyncio.sleep(0.5)
            committed += [status.lag for status in service.status()[:20] if status.lag is not None]
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        reads = [_read(cache, subscriptions[number % STREAMS].dataset) for number in range(2_000)]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    sender.kill()
    return {
        "events_per_second": round(events / seconds),
        "cpu_us_per_event": round(cpu / events * 1e6, 2),
        "cache_delay_p50_ms": _percentile(delays.seconds, 50) * 1e3,
        "cache_delay_p99_ms": _percentile(delays.seconds, 99) * 1e3,
        "commit_delay_p50_s": _percentile(committed, 50),
        "commit_delay_p99_s": _percentile(committed, 99),
        "hot_read_p50_us": _percentile(reads, 50) * 1e6,
        "hot_read_p99_us": _percentile(reads, 99) * 1e6,
    }


def _read(cache: HotCache, dataset: Dataset) -> float:
    began = time.perf_counter()
    cache.newest(dataset, 1_000)
    return time.perf_counter() - began


def _percentile(values: Sequence[float], percent: int) -> float:
    if not values:
        return float("nan")
    return round(sorted(values)[min(len(values) * percent // 100, len(values) - 1)], 9)


def send(port: Any, events: int, pace: int, streams: int = STREAMS) -> None:
    """Speak as much of Binance's protocol as a feed needs, then send the trades of all streams by turns."""
    asyncio.run(_serve(port, events, pace, streams))


async def _serve(port: Any, events: int, pace: int, streams: int) -> None:
    from aiohttp import web

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        channels: list[str] = []
        while len(channels) < streams:
            message = json.loads((await socket.receive()).data)
            if message["method"] == "SUBSCRIBE":
                channels += message["params"]
            await socket.send_str(json.dumps({"result": None, "id": message["id"]}))
        natives = [channel.partition("@")[0].upper() for channel in channels]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_answer(socket, channels))
            tasks.create_task(_send_trades(request.transport, natives, events, pace))
        return socket

    application = web.Application()
    application.add_routes([web.get("/{path:.*}", handle)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port.send(runner.addresses[0][1])
    await asyncio.sleep(3600)


async def _answer(socket: Any, channels: list[str]) -> None:
    """Answer what a feed asks while trades are sent: the list of its subscriptions."""
    async for received in socket:
        message = json.loads(received.data)
        if message.get("method") == "LIST_SUBSCRIPTIONS":
            await socket.send_str(json.dumps({"result": channels, "id": message["id"]}))


async def _send_trades(transport: Any, natives: Sequence[str], events: int, pace: int) -> None:
    """Send trades, a few at once as networks deliver them: a busy sender would measure itself."""
    began, together = time.time(), 10
    if not pace:
        together = 100
    for first in range(0, events, together):
        if pace:
            await asyncio.sleep(max(began + first / pace - time.time(), 0))
        # A transport tells nobody but its own protocol that it has room again.
        while transport.get_write_buffer_size() > MOST_UNSENT:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        ms = int(time.time() * 1000)
        frames = [_trade(natives, number, ms) for number in range(first, min(first + together, events))]
        transport.write(b"".join(frames))


def _trade(natives: Sequence[str], number: int, ms: int) -> bytes:
    """Return the frame of a trade as a server sends it: a text, not masked (RFC 6455, 5.2)."""
    native, ident = natives[number % len(natives)], number // len(natives)
    text = (
        f'{{"stream":"{native.lower()}@aggTrade","data":{{"e":"aggTrade","E":{ms},"s":"{native}","a":{ident},"p":"100.5","q":"0.25",'
        f'"f":{ident},"l":{ident},"T":{ms},"m":true,"M":true}}}}'
    )
    return b"\x81\x7e" + len(text).to_bytes(2, "big") + text.encode()


if __name__ == "__main__":
    raise SystemExit(main())
