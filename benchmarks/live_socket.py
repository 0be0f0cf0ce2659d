"""From sockets on loopback to rows, without a lake: ``python -m benchmarks.live_socket``. The sender is a process of its own.

Measured: messages a second, and a second of processor time, that one process takes from one connection with the trades of one market of Binance: through
the native feed or through ccxt.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.live import send
from ticklake.core.dataset import Dataset
from ticklake.core.instrument import Instrument
from ticklake.sources.live.base import Feed, LiveMessage, Subscription
from ticklake.sources.live.feeds import live_feeds
from ticklake.sources.live.options import FeedOptions

STREAMS = 1
MESSAGES = {"native": 200_000, "ccxt": 40_000}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print messages a second through a feed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live_socket", description=__doc__)
    parser.add_argument("way", choices=list(MESSAGES), help="the native feed, or the one through ccxt")
    parser.add_argument("--messages", type=int, help="default: 200,000 native, 40,000 through ccxt")
    options = parser.parse_args(arguments)
    print(json.dumps(asyncio.run(take(options.way, options.messages or MESSAGES[options.way])), indent=1))
    return 0


class Counting:
    """A sink that counts rows, from the first on."""

    def __init__(self, wanted: int) -> None:
        self.rows = 0
        self.wanted = wanted
        self.began = self.cpu_began = 0.0
        self.has_all = asyncio.Event()

    async def put(self, feed: Feed, message: LiveMessage) -> None:
        """Count the rows of a message."""
        del feed
        if not self.rows and message.rows:
            self.began, self.cpu_began = time.perf_counter(), time.process_time()
        self.rows += len(message.rows)
        if self.rows >= self.wanted:
            self.has_all.set()


async def take(name: str, messages: int) -> dict[str, float]:
    """Take so many messages of one trade each, and return how fast that went."""
    receiving, sending = multiprocessing.Pipe(duplex=False)
    sender = multiprocessing.Process(target=send, args=(sending, messages, 0, STREAMS), daemon=True)
    sender.start()
    url = f"http://127.0.0.1:{await asyncio.to_thread(receiving.recv)}"
    natives = [f"S{number:03}" for number in range(STREAMS)]
    details = {"quote": "USDT", "settle": None}
    instruments = [
        Instrument("binance", f"{native}/USDT", f"{native}USDT", "spot", details={"base": native, **details})
        for native in natives
    ]
    if name == "ccxt":
        _list_in_ccxt(instruments)
    subscriptions = [Subscription(Dataset.parse(f"binance:trades:{entry.symbol}")) for entry in instruments]
    (feed,) = live_feeds("binance", subscriptions, instruments, FeedOptions(url, native=name == "native"))
    sink = Counting(messages)
    task = asyncio.create_task(feed.run(sink))
    await asyncio.wait([task, asyncio.create_task(sink.has_all.wait())], return_when=asyncio.FIRST_COMPLETED)
    seconds, cpu = time.perf_counter() - sink.began, time.process_time() - sink.cpu_began
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    sender.kill()
    return {
        "messages_per_second": round(sink.rows / seconds),
        "messages_per_cpu_second": round(sink.rows / cpu),
        "cpu_us_per_message": round(cpu / sink.rows * 1e6, 2),
    }


def _list_in_ccxt(instruments: Sequence[Instrument]) -> None:
    """Let ccxt know the markets without a call."""
    import ccxt.pro

    async def load_markets(self: Any, *_arguments: Any, **_more: Any) -> Any:
        if not self.markets:
            self.open()
            names = {"type": "spot", "spot": True, "active": True, "quote": "USDT"}
            self.set_markets(
                [
                    self.safe_market_structure(
                        {
                            "id": entry.native_id,
                            "lowercaseId": entry.native_id.lower(),
                            "symbol": entry.symbol,
                            "base": entry.base,
                            **names,
                        }
                    )
                    for entry in instruments
                ]
            )
        return self.markets

    ccxt.pro.binance.load_markets = load_markets


if __name__ == "__main__":
    raise SystemExit(main())
