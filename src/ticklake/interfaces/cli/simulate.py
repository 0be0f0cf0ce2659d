"""Commands that use the simulated exchange: simulate, demo."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ticklake.interfaces.cli.output import say

if TYPE_CHECKING:
    from ticklake.testing.exchange.server import SimulatedExchange

__all__ = ["demo", "simulate"]

Data = Annotated[
    Path | None, typer.Option("--data", help="Folder of recorded data to replay. [default: a generated market]")
]
Now = Annotated[
    str | None, typer.Option("--now", help="The exchange's time at the start. [default: the end of its data]")
]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="Listen here on loopback; 0 picks a free port.")]
Speed = Annotated[
    float | None,
    typer.Option(
        "--speed", min=0, help="How fast its clock runs: 0 stands still, 1 is real time. [default: 0, with --live 1]"
    ),
]
Live = Annotated[
    bool,
    typer.Option(
        "--live", help="Let the market go on: a generated one at the real time, recorded data from its trades."
    ),
]
FaultOption = Annotated[
    list[str] | None,
    typer.Option(
        "--fault", metavar="NAME=VALUE", help="Switch on a fault, like rate_limit_every=7; 'all' for every one."
    ),
]
MoodOption = Annotated[
    list[str] | None,
    typer.Option("--mood", metavar="NAME=...", help="Be in a mood, like outage=2024-01-03T10:00/2024-01-03T12:00."),
]


def simulate(
    data: Data = None,
    now: Now = None,
    port: Port = 8471,
    speed: Speed = None,
    live: Live = False,
    fault: FaultOption = None,
    mood: MoodOption = None,
) -> None:
    """Run an exchange on this machine that speaks Binance's and Kraken's REST and WebSocket protocols.

    Unmodified ccxt and ccxt.pro work against it; --exchange-url makes ticklake use it.
    """
    import asyncio

    from ticklake.app import simulated_exchange

    if speed is None:
        speed = 1.0 if live else 0.0
    exchange = simulated_exchange(
        data, now=now, speed=speed, port=port, faults=fault or (), moods=mood or (), live=live
    )
    asyncio.run(_serve(exchange))


def demo(
    data: Data = None,
    lake: Annotated[
        str, typer.Option("--lake", metavar="PATH", help="The folder for the demo's lake; made anew.")
    ] = "demo-lake",
) -> None:
    """Show the whole way: exchange, ccxt, lake, answers. Needs no network."""
    from ticklake.interfaces.cli.demo import run_demo

    run_demo(data, Path(lake))


async def _serve(exchange: SimulatedExchange) -> None:
    import asyncio

    from ticklake.core.time import format_time
    from ticklake.testing.exchange.sockets import HOSTS

    await exchange.start()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    say(f"listening on {exchange.url}, where it is {format_time(exchange.clock.now())}; Ctrl-C stops it")
    for name in exchange.market.exchanges():
        say(f"  {name}: {', '.join(map(str, exchange.market.symbols(name)))}")
    say(f"use it:  export TICKLAKE_EXCHANGE_URL={exchange.url}")
    if exchange.clock.speed:
        for host, (name, _) in HOSTS.items():
            if name in exchange.market.exchanges():
                say(f"  WebSocket: {exchange.socket_url}/{host}")
        symbol, name = _streamed(exchange)
        say(f"then:    ticklake stream {name} {symbol}")
    await stop.wait()
    await exchange.stop()


def _streamed(exchange: SimulatedExchange) -> tuple[str, str]:
    """Return a symbol of which trades will come, and its exchange."""
    now = exchange.clock.now()
    for dataset in exchange.market.series:
        if dataset.kind == "trades":
            ts = exchange.market.rows(dataset.exchange, dataset.symbol, "trades")["ts"].to_physical()
            if ts.len() and ts[-1] > now:
                return str(dataset.symbol), dataset.exchange
    return "BTC/USDT", "binance"
