"""The demo: an exchange on this machine, ccxt, a lake, a table, a gap report and live data."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from ticklake.app import open_lake, simulated_exchange
from ticklake.config import load_settings
from ticklake.core.dataset import Dataset
from ticklake.core.streams import StreamRequest
from ticklake.core.time import DAY, HOUR, format_time
from ticklake.core.timeframe import Timeframe
from ticklake.errors import BadInput
from ticklake.interfaces.cli.formats import write_rows
from ticklake.interfaces.cli.output import print_table, say
from ticklake.interfaces.cli.progress import watching
from ticklake.lake import Lake
from ticklake.testing.exchange.market import Market

__all__ = ["run_demo"]

WISHES = {
    "binance:ohlcv:1m:BTC/USDT": 30,
    "binance:ohlcv:1m:XRP/ETH": 30,
    "binance:trades:BTC/USDT": 30,
    "binance:funding:BTC/USDT:USDT": 30,
    "kraken:ohlcv:1h:BTC/USD": 45,
}
"""What the demo collects, if the market has it, and the newest days of it: of Kraken more than it serves, to show a gap."""
LIVE = ("binance", "ETH/USDT", ("trades", "quotes", "book", "ohlcv"))
LIVE_SECONDS, LIVE_SPEED = 5.0, 30.0
"""What is collected live, for how long, and how many times as fast as real time that market goes on."""
_MARK = "made-by-the-demo"
"""An empty file in each folder that the demo made, for only such a folder may be removed without a question."""


@dataclass(frozen=True, slots=True)
class _Wish:
    dataset: Dataset
    start: int
    end: int


def run_demo(data: Path | None, folder: Path) -> None:
    """Collect from a simulated exchange into a new lake, and print each step."""
    _clear(folder)
    exchange = simulated_exchange(data)
    wishes = _wishes(exchange.market)
    with exchange.running():
        market = "a generated market"
        if data:
            market = f"recorded data from {data}"
        say(f"1. an exchange on {exchange.url} replays {market}")
        # The exchange is on this machine: the pace of the real ones would only make the demo slow.
        pace = {name: {"rate_limit_ms": 5} for name in exchange.market.exchanges()}
        settings = load_settings(exchange_url=exchange.url, exchanges=pace)
        with open_lake(folder, settings=settings) as lake:
            # Not before: a lake is made in an empty folder only. Not at the end: a demo that was stopped may be run again.
            (folder / _MARK).touch()
            say(f"2. a lake in {folder}")
            for wish in wishes:
                _collect(lake, wish)
            lake.admin.compact()
            _answer(lake, wishes)
    _stream(folder)
    _next(folder, wishes)


def _clear(folder: Path) -> None:
    """Remove an older demo's lake, and nothing else."""
    if folder.exists() and any(folder.iterdir()) and not (folder / _MARK).is_file():
        raise BadInput(f"{folder} was not made by the demo and is not empty: name another folder with --lake")
    shutil.rmtree(folder, ignore_errors=True)


def _wishes(market: Market) -> list[_Wish]:
    """Return those of the demo's datasets that the market has, with their newest days."""
    wishes: list[_Wish] = []
    for name, days in WISHES.items():
        dataset = Dataset.parse(name)
        rows = market.rows(dataset.exchange, dataset.symbol, dataset.kind, dataset.timeframe)
        if rows.height:
            ts = rows["ts"].to_physical()
            end = dataset.row_end(int(ts[-1]))
            wishes.append(_Wish(dataset, max(int(ts[0]), end - days * DAY), end))
    return wishes


def _collect(lake: Lake, wish: _Wish) -> None:
    dataset, began = wish.dataset, time.monotonic()
    with watching(str(dataset), quiet=False) as watch:
        run = lake.backfill(
            dataset.exchange,
            str(dataset.symbol),
            dataset.timeframe_text,
            kind=dataset.kind,
            start=wish.start,
            end=wish.end,
            watch=watch,
        )
    say(f"   {dataset}: {run.outcome} ({run['requests']:,} requests, {time.monotonic() - began:.1f} s)")


def _answer(lake: Lake, wishes: list[_Wish]) -> None:
    first = wishes[0].dataset
    say(f"\n3. the newest bars of {first}:")
    write_rows(lake.load(first, last=5), "table", None, 0)
    say("\n4. what is missing, and why:")
    table = []
    for wish in wishes:
        holes: Counter[str] = Counter()
        missing: Counter[str] = Counter()
        for gap in lake.gaps(wish.dataset, wish.start, wish.end):
            holes[gap.reason] += 1
            missing[gap.reason] += gap.missing or 0
        for reason, count in holes.items():
            table.append((str(wish.dataset), reason, count, f"{missing[reason]:,}"))
        if not holes:
            table.append((str(wish.dataset), "nothing", 0, "0"))
    print_table(["dataset", "reason", "holes", "bars"], table, numbers=("holes", "bars"))
    rows = sum(lake.inventory()["rows"].to_list())
    problems = lake.admin.verify(deep=True)
    say(f"\n5. {rows:,} rows in the lake; verify found {len(problems)} problems")


def _stream(folder: Path) -> None:
    """Collect live for some seconds, from an exchange whose market goes on."""
    with simulated_exchange(live=True, speed=LIVE_SPEED).running() as exchange:
        settings = load_settings(exchange_url=exchange.url)
        with open_lake(folder, settings=settings) as lake:
            say(
                f"\n6. live for {LIVE_SECONDS:g} seconds, over the sockets of an exchange whose time goes {LIVE_SPEED:g} times as fast:"
            )
            run = lake.streams.run(StreamRequest.of(*LIVE), seconds=LIVE_SECONDS)
            columns = ["dataset", "stored", "holes"]
            rows = map(itemgetter("dataset", "stored", "gaps"), run.progress["streams"])
            print_table(columns, rows, numbers=("stored", "holes"))


def _next(folder: Path, wishes: list[_Wish]) -> None:
    first = wishes[0].dataset
    frame = Timeframe.parse(first.timeframe or "1m")
    where = f"{first.exchange} {first.symbol} --timeframe {frame} --lake {folder}"
    say("\nnext:")
    say(f"  ticklake list --lake {folder}")
    say(f"  ticklake read {where} --start {format_time(wishes[0].end - HOUR)}")
    say(f"  ticklake gaps {where}")
    say("  ticklake simulate --live     # the exchange by itself, for your own experiments")
