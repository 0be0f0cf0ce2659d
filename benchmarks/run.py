"""Run the table: ``python -m benchmarks.run --quick``."""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import contenders
from benchmarks.contenders.base import Contender
from benchmarks.figures import OURS, Result
from benchmarks.machine import describe, one_line
from benchmarks.measuring import measure
from benchmarks.table import markdown_table, reasons, replace_block, text_table
from benchmarks.workload import FULL, QUICK, Market, Scale
from benchmarks.workloads import workloads


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, write what was asked for; 1 if anybody broke."""
    options = _parser().parse_args(arguments)
    logging.disable(logging.WARNING)
    kinds, missing = _present(options.contenders.split(","))
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as folder:
        results = _measure_all(QUICK if options.quick else FULL, options.only, kinds, Path(folder))
        machine = describe((name for kind in kinds.values() for name in kind.packages), Path(folder))
    tables = _tables(results, kinds, text_table)
    print("\n".join(["", one_line(machine), "", tables, "", *_notes(results, kinds, missing)]))
    if options.json:
        options.json.write_text(json.dumps(_document(machine, results, kinds, quick=options.quick), indent=1) + "\n")
    if options.readme:
        tables = _tables(results, kinds, markdown_table)
        block = f"{tables}\n\n{one_line(machine)}; medians, `-` is what a peer cannot do."
        options.readme.write_text(replace_block(options.readme.read_text(), block))
    return int(any(figure.failed for result in results for figure in result.figures.values()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    names = [workload.name for workload in workloads(QUICK)]
    parser.add_argument("--quick", action="store_true", help="smaller data, fewer repetitions: some minutes")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--contenders", default=",".join(contenders.NAMES), metavar="A,B", help="default: %(default)s")
    parser.add_argument("--folder", type=Path, help="where to store; must be a real disk (default: the system's temp)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write samples, versions and machine")
    parser.add_argument("--readme", type=Path, metavar="FILE", help="put a table between the markers in this document")
    return parser


def _present(names: Sequence[str]) -> tuple[dict[str, type[Contender]], list[str]]:
    """Import who is installed; say who is not."""
    kinds, missing = {}, []
    for name in names:
        try:
            kinds[name] = contenders.contender_class(name)
        except ImportError as error:
            missing.append(f"{name} is not installed: {error}")
    return kinds, missing


def _measure_all(scale: Scale, only: Sequence[str], kinds: dict[str, type[Contender]], folder: Path) -> list[Result]:
    market = Market(scale, folder / "year")
    results = []
    for workload in workloads(scale):
        if workload.name in only:
            start = time.monotonic()
            results.append(measure(workload, kinds, folder / workload.name, market))
            print(f"{workload.name} took {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
            shutil.rmtree(folder / workload.name, ignore_errors=True)
    return results


def _tables(
    results: Sequence[Result], names: Iterable[str], table: Callable[[Sequence[Result], Sequence[str]], str]
) -> str:
    """Return a table of what others do, too, and below it one of what only ours does."""
    shared = [result for result in results if set(result.figures) != {OURS}]
    alone = [result for result in results if set(result.figures) == {OURS}]
    parts = [table(rows, among) for rows, among in [(shared, list(names)), (alone, [OURS])] if rows]
    return "\n\n".join(parts)


def _notes(results: Sequence[Result], kinds: dict[str, type[Contender]], missing: Sequence[str]) -> list[str]:
    durable = [f"{name} before a write returns: {kind.durability}" for name, kind in kinds.items()]
    return ["In brackets: how many times ours. Durability:", *durable, "", *reasons(results), *missing]


def _document(
    machine: dict[str, Any], results: Sequence[Result], kinds: dict[str, type[Contender]], *, quick: bool
) -> dict[str, Any]:
    rows = [
        {
            "name": result.name,
            "title": result.title,
            "unit": result.unit,
            "figures": {name: asdict(figure) | {"median": figure.median} for name, figure in result.figures.items()},
            "targets": [asdict(verdict) for verdict in result.verdicts()],
        }
        for result in results
    ]
    durability = {name: kind.durability for name, kind in kinds.items()}
    return {"quick": quick, "machine": machine, "durability": durability, "workloads": rows}


if __name__ == "__main__":
    sys.exit(main())
