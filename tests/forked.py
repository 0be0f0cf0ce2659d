"""Processes that cost no start of Python: a warm process is forked for each."""

from __future__ import annotations

import os
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(["pytest", "ccxt.async_support", "ticklake.app", "ticklake.interfaces.cli.main"])


def start_command(*arguments: str, output: Path | None = None) -> BaseProcess:
    """Start ``ticklake`` with these arguments in the environment of now; what it prints is appended to a file, or lost."""
    process = FORKS.Process(target=_run, args=(arguments, dict(os.environ), output or os.devnull))
    process.start()
    return process


def _run(arguments: tuple[str, ...], environment: dict[str, str], output: Path | str) -> None:
    from ticklake.interfaces.cli.main import app

    os.environ.clear()
    os.environ.update(environment)
    printed = os.open(output, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    for source, descriptor in ((os.open(os.devnull, os.O_RDWR), 0), (printed, 1), (printed, 2)):
        os.dup2(source, descriptor)
    app(list(arguments))
