"""Reads of a remote lake against local ones: ``python -m benchmarks.remote``. The server is a process of its own.

A day of trades is read whole, by turns from the lake at hand and through the client, each from a lake that was just opened or connected to, so
that neither has anything in memory. Then the same rows as Arrow, and what the server's memory grew by at most while clients read the stored files.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl

import ticklake
from benchmarks import data
from ticklake.app import open_lake
from ticklake.config import ServerSettings
from ticklake.interfaces.api.run import run_server

TRADES = "binance:trades:BTC/USDT"
TURNS = 7
_MB = 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.remote", description=__doc__)
    parser.add_argument("--trades", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where to store (default: the system's temp)")
    parser.add_argument("--serve", type=Path, help="serve this lake, and do nothing else")
    options = parser.parse_args(arguments)
    if options.serve is not None:
        with open_lake(options.serve) as lake:
            run_server(lake, ServerSettings(port=0), lambda url: print(url, flush=True))
        return 0
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as folder:
        print(json.dumps(measured(Path(folder) / "lake", options.trades), indent=1))
    return 0


def measured(folder: Path, count: int) -> dict[str, float]:
    """Return the figures: milliseconds, the best of some turns; a share of the speed; megabytes."""
    with ticklake.open(folder) as lake:
        lake.save(TRADES, next(data.days_of_trades(count)))
        lake.compact()
        expected = lake.load(TRADES)
    with _served(folder) as (url, process):
        local, remote = _by_turns(expected, lambda: ticklake.open(folder), lambda: ticklake.connect(url))
        grew = _growth(process, lambda: _read(lambda: ticklake.connect(url), expected))
        arrow = min(_as_arrow(url, expected) for _ in range(3))
    return {
        "local_ms": round(local, 2),
        "remote_ms": round(remote, 2),
        "share_of_local": round(local / remote, 3),
        "arrow_ms": round(arrow, 2),
        "server_growth_mb": grew,
    }


def _by_turns(expected: pl.DataFrame, *opens: Callable[[], ticklake.Lake]) -> list[float]:
    """Return the best time of each, measured by turns: whatever else the machine does meets all."""
    times: list[list[float]] = [[] for _ in opens]
    for _ in range(TURNS):
        for taken, opened in zip(times, opens, strict=True):
            taken.append(_read(opened, expected))
    return list(map(min, times))


def _read(opened: Callable[[], ticklake.Lake], expected: pl.DataFrame) -> float:
    with opened() as lake:
        # Both have found the dataset; no block of rows was read yet.
        assert lake.load(TRADES, "2200-01-01").height == 0
        start = time.perf_counter()
        rows = lake.load(TRADES)
        taken = (time.perf_counter() - start) * 1e3
    assert rows.equals(expected)
    return taken


def _as_arrow(url: str, expected: pl.DataFrame) -> float:
    from ticklake.core.dataset import Dataset
    from ticklake.interfaces.client.connection import Connection
    from ticklake.interfaces.client.rows import load_rows

    connection = Connection(url)
    start = time.perf_counter()
    rows = load_rows(connection, Dataset.parse(TRADES), {})
    taken = (time.perf_counter() - start) * 1e3
    connection.close()
    assert rows.equals(expected)
    return taken


def _growth(process: int, work: Callable[[], object]) -> float:
    """Return by how many megabytes the memory of a process grew at its peak; never 0, as it is compared."""
    # Forgets the peak so far.
    Path(f"/proc/{process}/clear_refs").write_text("5")
    before = _memory(process, "VmRSS")
    for _ in range(3):
        work()
    return max(round(_memory(process, "VmHWM") - before, 1), 0.1)


def _memory(process: int, name: str) -> float:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"{name}:")]
    return int(line.split()[1]) / _MB


@contextmanager
def _served(folder: Path) -> Iterator[tuple[str, int]]:
    """Serve a lake from a process of its own; the value is its address and the process."""
    command = [sys.executable, "-m", "benchmarks.remote", "--serve", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip(), server.pid
        finally:
            server.terminate()


if __name__ == "__main__":
    sys.exit(main())
