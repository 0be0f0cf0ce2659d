"""What does a live commit cost? ``python -m benchmarks.live_flush``: CPU of flushes over 500 datasets, and of taking messages."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import polars as pl

import ticklake
from benchmarks import data
from ticklake.collect.live import LiveService
from ticklake.core.batch import from_rows
from ticklake.core.coverage import Covered
from ticklake.core.dataset import Dataset
from ticklake.core.provenance import Provenance
from ticklake.core.span import Span
from ticklake.core.streams import LiveOptions
from ticklake.sources.live.base import Control, Feed, LiveMessage, Sink, Subscription
from ticklake.sources.wire.rows import Row

DATASETS = 500
ROWS = (2, 20, 200)
"""Rows of each dataset in a flush."""
FLUSHES = 10
SECOND = 10**9
ORIGIN = Provenance("live", "bench socket", "bench")
Item = tuple[Dataset, list[tuple[object, ...]]]


@dataclass(frozen=True)
class Flushes:
    """CPU and wall milliseconds of flushes of so many rows a dataset, by one way in."""

    way: str
    rows: int
    cpu: tuple[float, ...]
    wall: tuple[float, ...]

    def figures(self) -> dict[str, float]:
        """Return the medians, by way and rows in a flush."""
        name = f"{self.way}_{self.rows * DATASETS}"
        return {f"{name}_cpu_ms": statistics.median(self.cpu), f"{name}_wall_ms": statistics.median(self.wall)}


class _Script(Feed):
    """A feed whose messages are put by hand."""

    def __init__(self, datasets: Sequence[Dataset]) -> None:
        self.exchange = "bench"
        self.datasets = {("trades", str(dataset.symbol), ""): dataset for dataset in datasets}
        self.subscriptions = tuple(Subscription(dataset) for dataset in datasets)

    async def run(self, sink: Sink) -> None:
        await asyncio.Event().wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print medians."""
    options = _parser().parse_args(arguments)
    logging.disable(logging.WARNING)
    names = tuple(Dataset.parse(f"bench:trades:C{number:03}/USDT") for number in range(DATASETS))
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as folder:
        for rows in options.rows:
            for way in options.ways:
                flushes = WAYS[way](names, rows, options.flushes, Path(folder) / f"{way}-{rows}")
                figures |= flushes.figures()
        if options.messages:
            figures["messages_per_cpu_second"] = _put_rate(names, options.messages, Path(folder) / "put")
    print(json.dumps(figures, indent=1))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live_flush", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS, help="rows of each dataset (default: 2 20 200)")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=["service"], help=", ".join(WAYS))
    parser.add_argument("--flushes", type=int, default=FLUSHES, help="default: %(default)s")
    parser.add_argument(
        "--messages", type=int, default=0, help="also take so many messages of one row, without a flush"
    )
    parser.add_argument("--folder", type=Path, help="where to store; must be a real disk (default: the system's temp)")
    return parser


def _items(names: Sequence[Dataset], rows: int, flush: int) -> list[Item]:
    """Return the rows of one flush as exchanges send them: numbers as text, ids that ascend."""
    items: list[Item] = []
    step = SECOND // rows
    for place, dataset in enumerate(names):
        values: list[tuple[object, ...]] = []
        for row in range(flush * rows, (flush + 1) * rows):
            ts = data.START + row * step + place * 1000
            price = f"{100 + (row * 7 + place) % 100 / 100:.2f}"
            values.append(
                (ts, ts + 1_000_000, str(10_000_000 + row), price, f"{row % 9 + 1}.5", ("buy", "sell")[row % 2])
            )
        items.append((dataset, values))
    return items


def _timed(steps: Sequence[Callable[[], object]], way: str, rows: int) -> Flushes:
    """Call each step; the first one, which creates the datasets, is not counted."""
    cpu: list[float] = []
    wall: list[float] = []
    for step in steps:
        started, clock = time.process_time(), time.perf_counter()
        step()
        cpu.append((time.process_time() - started) * 1000)
        wall.append((time.perf_counter() - clock) * 1000)
    return Flushes(way, rows, tuple(cpu[1:]), tuple(wall[1:]))


def _by_service(names: Sequence[Dataset], rows: int, flushes: int, folder: Path) -> Flushes:
    """Flush what a service has taken."""
    with closing(ticklake.open(folder)) as lake:
        return asyncio.run(_flush_service(lake, names, rows, flushes))


async def _flush_service(lake: ticklake.Lake, names: Sequence[Dataset], rows: int, flushes: int) -> Flushes:
    feed = _Script(names)
    service = await _service(lake, feed)
    cpu: list[float] = []
    wall: list[float] = []
    for flush in range(flushes + 1):
        for dataset, values in _items(names, rows, flush):
            await service.put(feed, _message(dataset, values))
        started, clock = time.process_time(), time.perf_counter()
        await service.flush()
        cpu.append((time.process_time() - started) * 1000)
        wall.append((time.perf_counter() - clock) * 1000)
    stored = sum(status.stored for status in service.status())
    if stored != (flushes + 1) * len(names) * rows:
        raise AssertionError(f"{stored:,} rows were stored")
    return Flushes("service", rows, tuple(cpu[1:]), tuple(wall[1:]))


async def _service(lake: ticklake.Lake, feed: Feed) -> LiveService:
    async def fill(dataset: Dataset, span: Span) -> None:
        del dataset, span

    options = LiveOptions(flush_rows=10**9, most_rows=10**9)
    service = LiveService(lake.engine, fill, options, clock=lambda: data.START)
    # Attached without its loop of flushes: each flush is made by hand.
    await service._attach(feed)
    await service.put(feed, LiveMessage(data.START, controls=[Control("subscribed", data.START)]))
    return service


def _message(dataset: Dataset, values: Sequence[tuple[object, ...]]) -> LiveMessage:
    symbol = str(dataset.symbol)
    # Received when its last row was, as messages are: rows that are ahead of the clock are looked at one by one.
    return LiveMessage(int(str(values[-1][1])), [Row("trades", symbol, row) for row in values])


def _by_append_each(names: Sequence[Dataset], rows: int, flushes: int, folder: Path) -> Flushes:
    """Append frames with their coverage."""
    kind = names[0].spec
    batches = []
    for flush in range(flushes + 1):
        batch = []
        for dataset, values in _items(names, rows, flush):
            covered = Covered(Span(int(str(values[0][0])), int(str(values[-1][0]))))
            batch.append((dataset, from_rows(values, kind), ORIGIN, [covered]))
        batches.append(batch)
    with closing(ticklake.open(folder)) as lake:
        return _timed([lambda batch=batch: lake.engine.append_each(batch) for batch in batches], "append_each", rows)  # type: ignore[misc]


def _by_save_all(names: Sequence[Dataset], rows: int, flushes: int, folder: Path) -> Flushes:
    """Save frames as users do."""
    batches = [_frames(names, rows, flush) for flush in range(flushes + 1)]
    with closing(ticklake.open(folder)) as lake:
        return _timed([lambda batch=batch: lake.save_all(batch) for batch in batches], "save_all", rows)  # type: ignore[misc]


def _frames(names: Sequence[Dataset], rows: int, flush: int) -> list[tuple[Dataset, pl.DataFrame]]:
    return [(name, from_rows(values, name.spec)) for name, values in _items(names, rows, flush)]


WAYS: dict[str, Callable[[Sequence[Dataset], int, int, Path], Flushes]] = {
    "service": _by_service,
    "append_each": _by_append_each,
    "save_all": _by_save_all,
}


def _put_rate(names: Sequence[Dataset], count: int, folder: Path) -> float:
    """Return how many messages of one row a service takes in a second of CPU."""
    feed = _Script(names)
    messages: list[LiveMessage] = []
    for dataset, values in _items(names, count // len(names), 0):
        messages += [_message(dataset, [row]) for row in values]

    async def take(service: LiveService) -> None:
        for message in messages:
            await service.put(feed, message)

    async def go(lake: ticklake.Lake) -> float:
        service = await _service(lake, feed)
        started = time.process_time()
        await take(service)
        return len(messages) / (time.process_time() - started)

    with closing(ticklake.open(folder)) as lake:
        return asyncio.run(go(lake))


if __name__ == "__main__":
    sys.exit(main())
