"""Commands that run jobs: worker, daemon."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.long_running import collect_garbage_seldom
from ticklake.interfaces.cli.output import errors, print_error, print_json
from ticklake.interfaces.collection import Collection

if TYPE_CHECKING:
    from collections.abc import Callable

    from ticklake.core.jobs import Job

__all__ = ["daemon", "worker"]

Once = Annotated[bool, typer.Option("--once", help="Stop when no job is due. Exit code 1: one failed; 3: incomplete.")]
Processes = Annotated[int, typer.Option("--processes", min=1, max=64, help="So many workers, each a process.")]
RESTART_AFTER = 1.0
"""Seconds until a worker that died is replaced."""


def worker(
    once: Once = False,
    processes: Processes = 1,
    lake_path: o.LakePath = None,
    exchange_url: o.ExchangeUrl = None,
    as_json: o.AsJson = False,
) -> None:
    """Do the jobs of the queue until told to stop.

    SIGTERM or Ctrl-C lets it finish its page and give its job back; any worker goes on from there.
    """
    if processes > 1:
        command = [sys.executable, "-m", "ticklake", "worker"]
        if once:
            command.append("--once")
        if lake_path:
            command += ["--lake", lake_path]
        if exchange_url:
            command += ["--exchange-url", exchange_url]
        if as_json:
            command.append("--json")
        raise typer.Exit(_supervise(command, processes, once=once, as_json=as_json))
    ended: Counter[str] = Counter()
    with o.opened(lake_path, create=True, exchange_url=exchange_url) as lake:
        this_worker = lake.jobs.worker(lambda job: _report(job, ended, as_json=as_json))
        on_stop(this_worker.stop)
        count = this_worker.run(once=once)
    if as_json:
        print_json({"taken": count, **ended})
    if once and ended["failed"]:
        raise typer.Exit(1)
    if once and ended["incomplete"]:
        raise typer.Exit(3)


def daemon(lake_path: o.LakePath = None, exchange_url: o.ExchangeUrl = None, as_json: o.AsJson = False) -> None:
    """Make jobs of schedules whenever their time has come, and do the jobs of the queue, until told to stop.

    Times that were missed while no daemon ran make one job each schedule. Further workers may run beside it. Streams are collected
    beside all other jobs.
    """
    from ticklake.interfaces.logs import log_lost_threads

    ended: Counter[str] = Counter()
    # Without a log, the line that is printed is all there is.
    log_lost_threads(print_error)
    with o.opened(lake_path, create=True, exchange_url=exchange_url) as lake:
        collection = Collection(lake, lambda job: _report(job, ended, as_json=as_json), print_error)
        # A signal reaches the main thread only, where the first worker runs.
        on_stop(collection.stop)
        collect_garbage_seldom()
        count = collection.run()
    if as_json:
        print_json({"taken": count, **ended})


def on_stop(stop: Callable[[], None]) -> None:
    """Call *stop* at SIGTERM and at the first Ctrl-C; a second Ctrl-C interrupts at once."""

    def handle(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)


def _report(job: Job, ended: Counter[str], *, as_json: bool) -> None:
    """Count a job that ended, and print each change of its state."""
    if job.state != "running":
        ended[job.state] += 1
    if not as_json:
        text = f"job {job.id} {job.state}: {job.operation} {job.subject}"
        if job.outcome:
            text += f": {job.outcome}"
        print_error(text)


def _supervise(command: list[str], count: int, *, once: bool, as_json: bool) -> int:
    """Keep *count* workers running until stopped; return the largest of their exit codes."""
    stopping = threading.Event()
    on_stop(stopping.set)
    # With --json each worker prints its counts at the end: they are summed up here.
    answers = subprocess.PIPE if as_json else None
    workers = [subprocess.Popen(command, stdout=answers) for _ in range(count)]  # noqa: S603
    while any(process.poll() is None for process in workers) and not stopping.wait(0.1):
        for place, process in enumerate(workers):
            code = process.poll()
            if code is not None and code > 0 and not once:
                # It ended with an error, like that of a lake which cannot be opened: another one would, too.
                stopping.set()
            elif code is not None and code < 0:
                # Killed by a signal, as by the kernel when memory is short: its job goes on in any other worker.
                errors().print(f"a worker was killed (signal {-code}): another one takes its place")
                # A worker that dies at once, again and again, must not keep the machine busy with starting it.
                time.sleep(RESTART_AFTER)
                workers[place] = subprocess.Popen(command, stdout=answers)  # noqa: S603
    for process in workers:
        process.terminate()
    if as_json:
        counts: Counter[str] = Counter()
        for process in workers:
            output, _ = process.communicate()
            counts.update(json.loads(output or "{}"))
        print_json({"taken": 0, **counts})
    # Negative: a worker that was stopped before it listened to signals, or was killed, which is no failure of a job.
    return max(0, *(process.wait() for process in workers))
