"""Clients that read over HTTP: ``python -m benchmarks.http``. Server and clients are processes of their own.

So many clients each send a request, read the answer and send the next one: a random day of one-minute bars as JSON, 1,440 rows. Two server processes
answer. The same rows are served by Ticklake or by Datasette, which reads them from SQLite.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import data

PROCESSES = 2
ROWS = 1_440
NAME = "binance:ohlcv:1m:BTC/USDT"
LONGEST_START = 60


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures of one server."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http", description=__doc__)
    parser.add_argument("server", choices=["ticklake", "datasette"])
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--warm", type=float, default=4, help="seconds before what is measured")
    parser.add_argument("--folder", type=Path, help="where the rows are stored for the run")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="http-") as folder:
        figures = measure(options.server, Path(folder), options.clients, options.warm, options.seconds)
    print(json.dumps(figures, indent=1))
    if figures["errors"]:
        print(f"{figures['errors']:,} answers were errors", file=sys.stderr)
        return 1
    return 0


def measure(server: str, folder: Path, clients: int, warm: float, seconds: float) -> dict[str, float]:
    """Return how one server does: requests a second, milliseconds of half and of 99 in 100, errors, and its memory."""
    starts = {"ticklake": _ticklake, "datasette": _datasette}
    with starts[server](folder) as (ports, paths, processes):
        run = asyncio.run(_load(ports, paths, clients, warm, seconds, processes))
    return run.figures()


@dataclass
class _Run:
    """What the clients of a run have seen."""

    seconds: float
    latencies: list[float] = field(default_factory=list)
    errors: int = 0
    memory: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def look_at(self, processes: Sequence[int]) -> None:
        """Note the memory of the servers, and the time that they took of the processors."""
        self.memory.append(_resident(processes))
        self.cpu.append(_cpu_seconds(processes))

    def figures(self) -> dict[str, float]:
        cuts = statistics.quantiles(self.latencies, n=100)
        return {
            "requests_per_second": round(len(self.latencies) / self.seconds, 1),
            "p50_ms": round(cuts[49] * 1e3, 2),
            "p99_ms": round(cuts[98] * 1e3, 2),
            "cpu_ms_per_request": round((self.cpu[-1] - self.cpu[0]) / len(self.latencies) * 1e3, 3),
            "errors": self.errors,
            "memory_mb": round(self.memory[-1], 1),
            # Never 0: it is compared.
            "memory_growth_mb": max(round(self.memory[-1] - self.memory[0], 1), 0.1),
        }


async def _load(
    ports: Sequence[int], paths: Sequence[str], clients: int, warm: float, seconds: float, processes: Sequence[int]
) -> _Run:
    run = _Run(seconds)
    loop = asyncio.get_running_loop()
    begin = loop.time() + warm
    tasks = [
        asyncio.create_task(_client(ports[number % len(ports)], paths, number, begin, seconds, run))
        for number in range(clients)
    ]
    await asyncio.sleep(warm)
    run.look_at(processes)
    await asyncio.gather(*tasks)
    run.look_at(processes)
    return run


async def _client(port: int, paths: Sequence[str], seed: int, begin: float, seconds: float, run: _Run) -> None:
    """Read random days, one after another, over one connection."""
    choose = random.Random(seed)
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while loop.time() < begin + seconds:
        start = loop.time()
        head = f"GET {choose.choice(paths)} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
        writer.write(head.encode())
        status, body = await _answer(reader)
        took = loop.time() - start
        if start >= begin:
            run.latencies.append(took)
            # Rows are counted, not parsed: the clients share the processors with the servers.
            if status != 200 or body.count(b'"close"') != ROWS:
                run.errors += 1
    writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines if line)
    status = int(first.split()[1])
    if "content-length" in headers:
        return status, await reader.readexactly(int(headers["content-length"]))
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return status, body


def _resident(processes: Sequence[int]) -> float:
    """Return the megabytes that processes have in memory."""
    pages = 0
    for number in processes:
        pages += int(Path(f"/proc/{number}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _cpu_seconds(processes: Sequence[int]) -> float:
    """Return the seconds of processor time that processes took."""
    ticks = 0
    for number in processes:
        # After the name, which may have spaces, times are the 12th and 13th.
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


_Started = Iterator[tuple[list[int], list[str], list[int]]]


@contextmanager
def _ticklake(folder: Path) -> _Started:
    """Serve a year of bars by processes that share a socket."""
    import ticklake

    lake = folder / "lake"
    with ticklake.open(lake) as opened:
        opened.save(NAME, data.bars())
        opened.compact()
    port = _free_port()
    serve = ["serve", "--processes", str(PROCESSES), "--port", str(port), "--lake", str(lake)]
    name = NAME.replace("/", "%2F")
    paths = [f"/api/v1/datasets/{name}/rows?start={day}&end={day + data.DAY}" for day in _days()]
    # One machine is all callers here.
    os.environ["TICKLAKE_SERVER__RATE"] = "1000000"
    with _running([[sys.executable, "-m", "ticklake", *serve]]) as (parent,):
        _wait(port, paths[0])
        yield [port], paths, _children(parent)


def _children(process: int) -> list[int]:
    """Return the processes that a process has started."""
    return list(map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()))


@contextmanager
def _datasette(folder: Path) -> _Started:
    """Serve the same rows from SQLite by two Datasettes: it has no way to share a socket."""
    frame = data.bars().with_columns(ts=data.bars()["ts"].to_physical())
    database = folder / "bars.db"
    connection = sqlite3.connect(database)
    columns = ", ".join(f"{name} {'INTEGER PRIMARY KEY' if name == 'ts' else 'REAL'}" for name in frame.columns)
    connection.execute(f"CREATE TABLE bars ({columns})")
    connection.executemany(f"INSERT INTO bars VALUES ({', '.join('?' * frame.width)})", frame.iter_rows())
    connection.commit()
    connection.close()
    ports = [_free_port() for _ in range(PROCESSES)]
    commands = []
    for port in ports:
        settings = ["--setting", "max_returned_rows", "2000", "--setting", "sql_time_limit_ms", "60000"]
        commands.append([_program("datasette"), "serve", "-i", str(database), "-p", str(port), *settings])
    paths = [
        f"/bars/bars.json?ts__gte={day}&ts__lt={day + data.DAY}&_size={ROWS}&_shape=array&_nocount=1&_nofacet=1"
        for day in _days()
    ]
    with _running(commands) as processes:
        for port in ports:
            _wait(port, paths[0])
        yield ports, paths, processes


def _program(name: str) -> str:
    """Return the path of a program of this environment."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    found = shutil.which(name, path=places)
    if found is None:
        raise FileNotFoundError(f"{name} is not installed")
    return found


def _days() -> list[int]:
    first = int(data.bars()["ts"].to_physical()[0])
    return [first + number * data.DAY for number in range(365)]


@contextmanager
def _running(commands: Sequence[Sequence[str]]) -> Iterator[list[int]]:
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for command in commands]
    try:
        yield [process.pid for process in running]
    finally:
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            process.wait(30)


def _wait(port: int, path: str) -> None:
    """Wait until a server answers."""
    import urllib.request

    deadline = time.monotonic() + LONGEST_START
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


if __name__ == "__main__":
    raise SystemExit(main())
