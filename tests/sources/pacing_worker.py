"""A process that calls a simulated exchange as often as it may."""

import asyncio
from multiprocessing.connection import Connection

from ticklake.core.retry import RetryPolicy
from ticklake.errors import TicklakeError
from ticklake.sources.ccxt.client import ExchangeClient, ExchangeOptions
from ticklake.sources.pacing.pace import Pace


def work(pipe: Connection, *arguments) -> None:
    """Say when this process is ready, wait until it may begin, and tell how it ended."""
    asyncio.run(_work(pipe, *arguments))


async def _work(pipe: Connection, url, ledger, calls, milliseconds) -> None:
    retry = RetryPolicy(attempts=20, first_wait=0.001, longest_wait=0.002)
    pace = Pace("binance", "binance@here", ledger)
    client = ExchangeClient("binance", ExchangeOptions(f"{url}/binance", milliseconds, 5.0, retry, pace=pace))
    pipe.send("ready")
    pipe.recv()
    told = "done"
    try:
        for _ in range(calls):
            await client.call("publicGetKlines", {"symbol": "BTCUSDT", "interval": "1m", "limit": 1})
    except TicklakeError as error:
        told = f"{type(error).__name__}: {error}"
    await client.close()
    pipe.send(told)
