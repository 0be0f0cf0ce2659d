"""Does cost grow with what is stored? ``python -m benchmarks.growth``: appends and latest reads at 10^5 .. 10^7 rows."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import contenders, data
from benchmarks.contenders.base import Cannot, Contender
from benchmarks.figures import Figure, Result
from benchmarks.machine import describe, one_line
from benchmarks.measuring import timed
from benchmarks.table import curve_table, number
from benchmarks.workload import Step

SIZES = (100_000, 1_000_000, 10_000_000)
MOST = {"dccd": 1_000_000}
"""Ten million record objects would fill the memory before anything is stored."""
REPEATS = 9
ROWS = 100
BUSY = 23 * 60 * data.MINUTE
"""The part of a day in which its million trades lie."""
FLAT = 1.5
"""A curve is flat if the largest size costs at most this many times the smallest."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the curves, print them, write them if asked to."""
    options = _parser().parse_args(arguments)
    logging.disable(logging.WARNING)
    sizes = SIZES[:2] if options.quick else SIZES
    names = [name for name in options.contenders.split(",") if not (options.quick and name in MOST)]
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as folder:
        kinds = {name: contenders.contender_class(name) for name in names}
        for name, kind in kinds.items():
            results += _curves(kind, [size for size in sizes if size <= MOST.get(name, size)], Path(folder) / name)
        machine = describe((package for kind in kinds.values() for package in kind.packages), Path(folder))
    print("\n".join(["", one_line(machine), "", curve_table(results, [f"{size:,}" for size in sizes])]))
    print("\n".join(_flatness(result) for result in results))
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "curves": _document(results)}, indent=1) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="up to a million rows, without those who hold records")
    parser.add_argument("--contenders", default="ticklake,arcticdb,dccd", metavar="A,B", help="default: %(default)s")
    parser.add_argument("--folder", type=Path, help="where to store; must be a real disk (default: the system's temp)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write samples, versions and machine")
    return parser


def _curves(kind: type[Contender], sizes: Sequence[int], folder: Path) -> list[Result]:
    """Return two curves of one contender, a figure a size; the sizes take turns, so that noise hits all alike."""
    with ExitStack() as stack:
        filled = {size: stack.enter_context(closing(_filled(kind, size, folder / str(size)))) for size in sizes}
        appends = _take_turns({size: _appends(contender, size) for size, contender in filled.items()})
        reads = {size: [partial(contender.latest_trades, ROWS)] * (REPEATS + 1) for size, contender in filled.items()}
        latest = _take_turns(reads)
    return [
        Result("append", f"{kind.name}: append {ROWS} trades", "ms", appends),
        Result("latest", f"{kind.name}: read the last {ROWS}", "ms", latest),
    ]


def _filled(kind: type[Contender], size: int, folder: Path) -> Contender:
    """Return a contender that holds that many trades, compacted. The last hour of every day is free."""
    print(f"{kind.name} at {size:,} ...", file=sys.stderr, flush=True)
    contender = kind(folder)
    for day in data.days_of_trades(size, length=BUSY):
        contender.load_trades(contender.trades(day))
    contender.compact()
    return contender


def _appends(contender: Contender, size: int) -> list[Callable[[], Any]]:
    """Return the appends that follow: newer trades of the same day."""
    days, rest = divmod(size - 1, data.TRADES_A_DAY)
    start = data.START + data.DAY * days + BUSY * (rest + 1) // data.TRADES_A_DAY
    later = data.trades(ROWS * (REPEATS + 1), start, data.MINUTE, size)
    parts = data.batches(later, REPEATS + 1)
    return [partial(contender.append_trades, contender.trades(part)) for part in parts]


def _take_turns(runs: Mapping[int, Sequence[Callable[[], Any]]]) -> dict[str, Figure]:
    """Time every run of every size; the first of each is the warm-up."""
    samples: dict[int, list[float]] = {size: [] for size in runs}
    try:
        for turn in range(REPEATS + 1):
            for size in runs:
                samples[size].append(timed(Step(runs[size][turn]))[0])
    except Cannot as cannot:
        return {f"{size:,}": Figure((), str(cannot)) for size in runs}
    return {f"{size:,}": Figure(tuple(taken[1:])) for size, taken in samples.items()}


def _flatness(result: Result) -> str:
    known = [figure.median for figure in result.figures.values() if figure.median is not None]
    if len(known) < 2:
        return f"{result.title}: no curve"
    growth = known[-1] / known[0]
    return f"{result.title}: {number(growth)}x from the first to the last size{'' if growth <= FLAT else ': NOT FLAT'}"


def _document(results: Sequence[Result]) -> list[dict[str, Any]]:
    return [
        {"title": result.title, "samples": {size: figure.samples for size, figure in result.figures.items()}}
        for result in results
    ]


if __name__ == "__main__":
    sys.exit(main())
