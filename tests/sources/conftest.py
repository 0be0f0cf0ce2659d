"""What the tests of the sources share: sources that reach a simulated exchange, and plain HTTP."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from ticklake.core.retry import RetryPolicy
from ticklake.sources.ccxt.client import ExchangeOptions
from ticklake.sources.ccxt.source import CcxtSource
from ticklake.testing.exchange.server import SimulatedExchange

QUICK = RetryPolicy(attempts=4, first_wait=0.01, longest_wait=0.05)
OUR_CLOCK = 1_700_000_000_000_000_000


@dataclass(frozen=True)
class Answered:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text)


@pytest.fixture
def http() -> Callable[..., Answered]:
    """GET a URL, or POST *data* to it (anything, as JSON; bytes as they are)."""

    def ask(url: str, data: Any = None) -> Answered:
        sent = data if data is None or isinstance(data, bytes) else json.dumps(data).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(url, sent), timeout=5) as reply:
                return Answered(reply.status, dict(reply.headers), reply.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Answered(error.code, dict(error.headers), error.read().decode())

    return ask


@pytest.fixture
def visit() -> Callable[..., Any]:
    """Let a coroutine function use a source that reaches *server*, and close the source after."""

    def run(
        server: SimulatedExchange,
        exchange: str,
        use: Callable[[CcxtSource], Awaitable[Any]],
        timeout: float = 2.0,
        attempts: int = QUICK.attempts,
    ) -> Any:
        retry = RetryPolicy(attempts, QUICK.first_wait, QUICK.longest_wait)
        options = ExchangeOptions(url=f"{server.url}/{exchange}", rate_limit_ms=1, timeout=timeout, retry=retry)

        async def main() -> Any:
            source = CcxtSource(exchange, options, clock=lambda: OUR_CLOCK)
            try:
                return await use(source)
            finally:
                await source.close()

        return asyncio.run(main())

    return run
