"""The workloads of live collection. Each runs a benchmark in a process of its own, which prints its figures as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache, partial
from itertools import count
from pathlib import Path

from benchmarks.contenders.base import Cannot
from benchmarks.figures import OURS, Target
from benchmarks.workload import Kind, Market, Prepare, Scale, Step, Steps, Workload

__all__ = ["live_workloads"]

SLOWEST = 0.9
"""What is measured at a pace counts if the events came at least at this part of it."""
LONGEST = 900
"""Seconds after which a benchmark is given up."""
MANY = (Target(100_000, at_least=True),)
FLUSHES = {1_000: 70, 10_000: 80, 100_000: 150}
"""Milliseconds of CPU that a flush of so many events may take."""


def live_workloads(scale: Scale) -> list[Workload]:
    """Return the workloads of a scale. Ours alone takes part: no peer collects from sockets into a durable store."""
    row = partial(Workload, repeats=scale.few, returns=True, only=(OURS,), warm_up=False)
    rate = ("live", "--events", scale.events)
    stored = "socket to durable commit, 500 datasets"
    rows = [
        row("live-rate", stored, printed("events_per_second", *rate), MANY, unit="events/s"),
        row("live-cpu", f"{stored}: the collector", printed("cpu_us_per_event", *rate), (), unit="us of CPU an event"),
    ]
    for events, limit in FLUSHES.items():
        flush = printed(f"service_{events}_cpu_ms", "live_flush", "--flushes", scale.flushes)
        title = f"flush of {events:,} events over 500 datasets"
        rows.append(row(f"live-flush-{events}", title, flush, (Target(limit),), unit="ms of CPU"))
    for end, percent in [("cache", 50), ("cache", 99), ("commit", 50), ("commit", 99)]:
        title = f"from the exchange's clock to the {end} at 1,000 events/s, p{percent}"
        rows.append(row(f"live-{end}-p{percent}", title, paced(f"{end}_p{percent}_ms", 1_000, scale), ()))
    read = "read the newest 100 rows from the cache while 30,000 events/s come, p99"
    rows.append(row("live-read", read, paced("read_p99_ms", 30_000, scale), (Target(1),)))
    for way, title in [("native", "trades read from a socket by a native feed"), ("ccxt", "the same through ccxt.pro")]:
        taken = printed("messages_per_cpu_second", "live_socket", way, "--messages", scale.messages)
        rows.append(row(f"live-{way}", title, taken, (), unit="messages/s of CPU"))
    return rows


def paced(figure: str, pace: int, scale: Scale) -> Prepare:
    """Return the steps of a *figure* of events that come at a pace."""
    return printed(figure, "live", "--events", pace * scale.seconds, "--pace", pace, pace=pace)


def printed(figure: str, module: str, *arguments: object, pace: int = 0, named: bool = False) -> Prepare:
    """Return the steps of one *figure* that a benchmark prints. Rows with the same benchmark and arguments share its runs.

    With *named*, the name of the contender is the first argument.
    """

    def prepare(kind: Kind, folder: Path, market: Market) -> Steps:
        del market
        words = [*([kind.name] if named else []), *map(str, arguments)]
        for turn in count():
            yield Step(partial(_figure, figure, pace, turn, folder.parents[1], module, *words))

    return prepare


def _figure(figure: str, pace: int, *run: object) -> float:
    figures = _run(*run)
    if pace and figures["came_per_second"] < SLOWEST * pace:
        came = figures["came_per_second"]
        raise Cannot(f"only {came:,.0f} events a second came, not {pace:,}: the machine is too busy")
    return figures[figure]


@cache
def _run(turn: int, folder: Path, module: str, *arguments: str) -> dict[str, float]:
    """Run a benchmark for the *turn*-th time."""
    del turn
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    place = os.environ | {"TMPDIR": str(folder)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LONGEST, env=place)
    if done.returncode:
        raise RuntimeError(f"{module} ended with {done.returncode}: {done.stderr.strip().splitlines()[-1:]}")
    figures: dict[str, float] = json.loads(done.stdout)
    return figures
