"""Processes that cost no start of Python: a warm process is forked for each."""

from __future__ import annotations

import os
import sys
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory

FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(["pytest", "ccxt.async_support", "ticklake.app", "ticklake.interfaces.cli.main"])


def start_command(*arguments: str, output: Path | None = None) -> BaseProcess:
    """Start ``ticklake`` with these arguments in the environment of now; what it prints is appended to a file, or lost."""
    printed = str(output or os.devnull)
    process = FORKS.Process(target=_run_command, args=(arguments, dict(os.environ), printed))
    process.start()
    return process


def run_script(script: str, *words: str, folder: Path) -> tuple[int | None, str, str]:
    """Run a Python text that may import the modules of *folder*; return its exit code, and what it printed and complained of."""
    with TemporaryDirectory() as scratch:
        printed, complained = Path(scratch, "out"), Path(scratch, "err")
        outputs = (str(printed), str(complained))
        process = FORKS.Process(target=_run_script, args=(script, words, str(folder), dict(os.environ), outputs))
        process.start()
        process.join(120)
        process.kill()
        process.join()
        return process.exitcode, printed.read_text(), complained.read_text()


def _run_command(arguments: tuple[str, ...], environment: dict[str, str], output: str) -> None:
    from ticklake.interfaces.cli.main import app

    _become(environment, output, output)
    app(list(arguments))


def _run_script(
    script: str, words: tuple[str, ...], folder: str, environment: dict[str, str], outputs: tuple[str, str]
) -> None:
    _become(environment, *outputs)
    sys.path.insert(0, folder)
    sys.argv = ["-c", *words]
    exec(script, {"__name__": "__main__"})
    sys.stdout.flush()


def _become(environment: dict[str, str], output: str, errors: str) -> None:
    """Take over an environment, and send what is printed to files."""
    os.environ.clear()
    os.environ.update(environment)
    append = os.O_RDWR | os.O_APPEND | os.O_CREAT
    for descriptor, path in enumerate((os.devnull, output, errors)):
        os.dup2(os.open(path, append), descriptor)
