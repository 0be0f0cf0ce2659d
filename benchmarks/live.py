"""Live: from sockets on loopback to durable commits: ``python -m benchmarks.live``. The sender is a process of its own.

Measured: events a second over 500 trade streams until the last one is committed, and the processor time they took. If events come at a
steady pace, also the time from the exchange's clock to the cache and to the commit, and a read of newest rows from the cache meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import ticklake
from benchmarks import data
from benchmarks.frames import INDICATORS
from ticklake.collect.broadcast import Broadcast
from ticklake.collect.live import LiveService
from ticklake.core.dataset import Dataset
from ticklake.core.frame_request import FrameRequest
from ticklake.core.instrument import Instrument
from ticklake.core.streams import LiveOptions
from ticklake.interfaces.cli.long_running import collect_garbage_seldom
from ticklake.query.frames import FrameReader
from ticklake.query.hot_cache import HotCache
from ticklake.sources.live.base import Subscription
from ticklake.sources.live.feeds import live_feeds
from ticklake.sources.live.options import FeedOptions

STREAMS = 500
EVENTS = 1_000_000
SAMPLED = 7
"""Of so many messages one is timed, so that the clock takes no part of what is measured."""
MOST_UNSENT = 2**20
"""Bytes that wait to be sent at most."""
READ = 100
"""Rows of a read from the cache."""
FRAMES_OF = 20
"""Frames are made of so many symbols."""
READ_EVERY = 0.002
"""Seconds between two reads."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print events a second; if they come at a pace, also the delays and the time of a read."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--pace", type=int, default=0, help="events a second (default: as fast as they can be sent)")
    parser.add_argument("--frames", choices=("bars", "trades"), help="make frames of these, not reads of the cache")
    parser.add_argument("--apart", action="store_true", help="make frames in a process of their own")
    parser.add_argument("--folder", type=Path, help="where to store (default: the system's temp)")
    options = parser.parse_args(arguments)
    collect_garbage_seldom()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as folder:
        collecting = collect(Path(folder), options.events, options.pace, frames=options.frames, apart=options.apart)
        print(json.dumps(asyncio.run(collecting), indent=1))
    return 0


class Delays(Broadcast):
    """Notes how long after the exchange's time rows reach the cache, and when all have come."""

    def __init__(self, cache: HotCache, events: int) -> None:
        super().__init__(cache)
        self.messages = 0
        self.seconds: list[float] = []
        self.begun = asyncio.Event()
        self.has_all = asyncio.Event()
        self._events = events
        """Each is a message of one row."""

    def rows(self, dataset: Dataset, rows: Sequence[Sequence[Any]], received_at: int) -> None:
        """Pass rows on, and note the delay of the first."""
        self.begun.set()
        super().rows(dataset, rows, received_at)
        self.messages += 1
        if self.messages % SAMPLED == 0:
            self.seconds.append((time.time_ns() - rows[0][0]) / 1e9)
        if self.messages == self._events:
            self.has_all.set()


class TimedEngine:
    """Notes how long after the exchange's time rows are committed."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.seconds: list[float] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def append_each(self, items: Any) -> Any:
        """Commit rows, and note the delay of each."""
        receipts = self._engine.append_each(items)
        now = time.time_ns()
        for _, frame, *_ in items:
            self.seconds += [(now - ts) / 1e9 for ts in frame["ts"].to_physical()]
        return receipts


class Reader(threading.Thread):
    """Reads the newest rows of one dataset after the other from the cache, as users do from their own thread."""

    def __init__(self, cache: HotCache, datasets: Sequence[Dataset]) -> None:
        super().__init__(daemon=True)
        self._cache = cache
        self._datasets = datasets
        self.has_to_end = threading.Event()
        self.seconds: list[float] = []
        """The times of reads that found all rows."""
        self.cpu: list[float] = []
        """The processor time of frames: a busy machine adds nothing to it."""

    def end(self) -> None:
        """Stop reading."""
        self.has_to_end.set()
        self.join()

    def run(self) -> None:
        """Read until told to end."""
        for dataset in itertools.cycle(self._datasets):
            if self.has_to_end.wait(READ_EVERY):
                return
            began = time.perf_counter()
            rows = self._cache.newest(dataset, READ)
            if rows is not None:
                self.seconds.append(time.perf_counter() - began)


class FrameTimer(Reader):
    """Makes frames of now of one symbol after the other: 60 bars and 16 indicators, or also the trades of the hour, those of the last seconds from the cache."""

    def __init__(self, lake: ticklake.Lake, cache: HotCache, datasets: Sequence[Dataset], kinds: str) -> None:
        super().__init__(cache, datasets[:FRAMES_OF])
        self._kinds = () if kinds == "bars" else (kinds,)
        self._frames = FrameReader(lake.engine, cache.rows)
        self._clock = lake.engine.now

    def run(self) -> None:
        """Make frames until told to end. The first of each symbol imports and reads what later ones need."""
        for dataset in self._datasets:
            self._time(dataset)
        self.seconds, self.cpu = [], []
        for dataset in itertools.cycle(self._datasets):
            if self.has_to_end.wait(READ_EVERY):
                return
            self._time(dataset)

    def _time(self, dataset: Dataset) -> None:
        request = FrameRequest.of("binance", str(dataset.symbol), kinds=self._kinds, indicators=INDICATORS)
        began, cpu = time.perf_counter(), time.thread_time()
        frame = self._frames.read(request, np.array([self._clock()])).frame(0)
        if frame.bars["1m"].height and frame.indicators and (frame.trades.height or not self._kinds):
            self.seconds.append(time.perf_counter() - began)
            self.cpu.append(time.thread_time() - cpu)


class FrameTimerApart:
    """A :class:`FrameTimer` in a process of its own, which sees rows once they are committed."""

    def __init__(self, folder: Path, datasets: Sequence[Dataset], kinds: str) -> None:
        # Not forked: threads that this process has by now would be missing, and their locks held for ever.
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(
            target=_time_frames, args=(other, folder, datasets[:FRAMES_OF], kinds), daemon=True
        )
        self._process.start()
        # Else it would be waited for even if it has died.
        other.close()
        self._pipe.recv()

    def start(self) -> None:
        """Begin to make frames."""
        self._pipe.send("begin")

    def end(self) -> None:
        """Stop, and fetch how long each frame took."""
        self._pipe.send("end")
        self.seconds, self.cpu = self._pipe.recv()
        self._process.join()


def _time_frames(pipe: Any, folder: Path, datasets: Sequence[Dataset], kinds: str) -> None:
    with ticklake.open(folder) as lake:
        timer = FrameTimer(lake, HotCache(lake.engine.now), datasets, kinds)
        pipe.send("ready")
        pipe.recv()
        timer.start()
        pipe.recv()
        timer.end()
        pipe.send((timer.seconds, timer.cpu))


def _save_bars(lake: ticklake.Lake, datasets: Sequence[Dataset]) -> None:
    """Save bars up to now of the symbols that frames are made of."""
    minute = time.time_ns() // data.MINUTE * data.MINUTE
    bars = data.bars(1_000, minute - 1_000 * data.MINUTE)
    lake.save_all([(f"binance:ohlcv:1m:{dataset.symbol}", bars) for dataset in datasets[:FRAMES_OF]])


async def collect(
    folder: Path, events: int, pace: int, *, frames: str | None = None, apart: bool = False
) -> dict[str, float]:
    """Collect so many events, as fast as they come or at a *pace* a second, and return what it took."""
    receiving, sending = multiprocessing.Pipe(duplex=False)
    sender = multiprocessing.Process(target=send, args=(sending, events, pace), daemon=True)
    sender.start()
    url = f"http://127.0.0.1:{await asyncio.to_thread(receiving.recv)}"
    names = [f"S{number:03}" for number in range(STREAMS)]
    subscriptions = [Subscription(Dataset.parse(f"binance:trades:{name}/USDT")) for name in names]
    instruments = [Instrument("binance", f"{name}/USDT", f"{name}USDT", "spot") for name in names]
    cache = HotCache(time.time_ns)
    delays = Delays(cache, events)
    with ticklake.open(folder) as lake:

        async def leave(_dataset: object, _span: object) -> None:
            return

        engine: Any = TimedEngine(lake.engine) if pace else lake.engine
        service = LiveService(engine, leave, LiveOptions(), listeners=[delays])
        feeds = live_feeds("binance", subscriptions, instruments, FeedOptions(url))
        datasets = [subscription.dataset for subscription in subscriptions]
        reader: Reader | FrameTimerApart = Reader(cache, datasets)
        if frames:
            _save_bars(lake, datasets)
            reader = FrameTimer(lake, cache, datasets, frames)
        if frames and apart:
            reader = FrameTimerApart(folder, datasets, frames)
        task = asyncio.create_task(service.run(feeds))
        await delays.begun.wait()
        began, cpu = time.perf_counter(), time.process_time()
        if pace:
            reader.start()
        await asyncio.wait([task, asyncio.create_task(delays.has_all.wait())], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        came = time.perf_counter() - began
        # The last rows are too few for a commit of their own: they would wait for seconds.
        await service.flush()
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        stored = sum(status.stored for status in service.status())
        if pace:
            reader.end()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    sender.kill()
    if stored != events:
        raise AssertionError(f"{stored:,} events were stored, not {events:,}")
    figures = {
        "events_per_second": events / seconds,
        "cpu_us_per_event": cpu / events * 1e6,
        "came_per_second": events / came,
    }
    if pace:
        delays_of: dict[str, list[float]] = {
            "cache": delays.seconds,
            "commit": engine.seconds,
            "frame" if frames else "read": reader.seconds,
        }
        if frames:
            delays_of["frame_cpu"] = reader.cpu
        for name, values in delays_of.items():
            figures |= {f"{name}_p{percent}_ms": _percentile(values, percent) * 1e3 for percent in (50, 99) if values}
    return figures


def _percentile(values: Sequence[float], percent: int) -> float:
    return sorted(values)[min(len(values) * percent // 100, len(values) - 1)]


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
