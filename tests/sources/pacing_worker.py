"""A process that calls a simulated exchange as often as it may: ``pacing_worker.py URL LEDGER CALLS MILLISECONDS``."""

import asyncio
import json
import sys
from pathlib import Path

from ticklake.core.retry import RetryPolicy
from ticklake.errors import TicklakeError
from ticklake.sources.ccxt.client import ExchangeClient, ExchangeOptions
from ticklake.sources.pacing.pace import Pace


async def main(url: str, ledger: str, calls: int, milliseconds: float) -> None:
    retry = RetryPolicy(attempts=20, first_wait=0.001, longest_wait=0.002)
    pace = Pace("binance", "binance@here", Path(ledger))
    client = ExchangeClient("binance", ExchangeOptions(f"{url}/binance", milliseconds, 5.0, retry, pace=pace))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    told = "done"
    try:
        for _ in range(calls):
            await client.call("publicGetKlines", {"symbol": "BTCUSDT", "interval": "1m", "limit": 1})
    except TicklakeError as error:
        told = f"{type(error).__name__}: {error}"
    await client.close()
    sys.stdout.write(json.dumps(told))


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
