"""Commands of the shell in processes of their own that cost no start of Python: a warm process is forked for each."""

from __future__ import annotations

import os
from multiprocessing import get_context
from multiprocessing.process import BaseProcess

_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload(["pytest", "ccxt.async_support", "ticklake.app", "ticklake.interfaces.cli.main"])


def start_command(*arguments: str) -> BaseProcess:
    """Start ``ticklake`` with these arguments, silently, in the environment of now."""
    process = _FORKS.Process(target=_run, args=(arguments, dict(os.environ)))
    process.start()
    return process


def _run(arguments: tuple[str, ...], environment: dict[str, str]) -> None:
    from ticklake.interfaces.cli.main import app

    os.environ.clear()
    os.environ.update(environment)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    app(list(arguments))
