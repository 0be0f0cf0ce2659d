"""Several processes that answer requests on one port, and the process that watches over them."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from prometheus_client.multiprocess import mark_process_dead

from ticklake.interfaces.api.shared import SHARED_FOLDER
from ticklake.log import Log

__all__ = ["Processes", "end_with_parent", "socket_of"]

_LOG = Log("server")
_STANDARD_INPUT = 0
_LOOK_EVERY = 0.1
_RESTART_AFTER = 1.0
"""Seconds until a process that died is replaced: one that dies at once, again and again, must not keep the machine busy."""


class Processes:
    """Processes that answer requests on one socket.

    Parameters
    ----------
    command
        What starts one; ``--listening`` with the number of the socket is added.
    """

    def __init__(self, command: Sequence[str], count: int, listening: socket.socket) -> None:
        self._command = [*command, "--listening", str(listening.fileno())]
        self._count = count
        self._listening = listening
        self._processes: list[subprocess.Popen[bytes]] = []
        self._stopping = threading.Event()
        self.code = 0
        """The exit code of a process that could not begin; another one could not, either."""

    def stop(self) -> None:
        """Tell all to end in good order."""
        self._stopping.set()

    def run(self, folder: Path) -> None:
        """Keep all running until stopped, and wait for their end; they add up their figures in a *folder*."""
        environment = {**os.environ, SHARED_FOLDER: str(folder)}
        try:
            self._processes = [self._started(environment) for _ in range(self._count)]
            while not self._stopping.wait(_LOOK_EVERY):
                self._replace_dead(environment, folder)
        finally:
            # Nobody else is to be let in: what waits is answered by the processes, each of which has the socket, too.
            self._listening.close()
            for process in self._processes:
                process.terminate()
            for process in self._processes:
                process.wait()

    def kill(self) -> None:
        """End all at once."""
        for process in self._processes:
            process.kill()

    def _started(self, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        # Its standard input ends with this process, however that ends: see end_with_parent.
        # In a group of its own: a Ctrl-C of the terminal is for this process, which then ends all others in good order.
        return subprocess.Popen(  # noqa: S603
            self._command,
            stdin=subprocess.PIPE,
            env=environment,
            pass_fds=[self._listening.fileno()],
            process_group=0,
        )

    def _replace_dead(self, environment: dict[str, str], folder: Path) -> None:
        for place, process in enumerate(self._processes):
            code = process.poll()
            if code is None:
                continue
            self._forget(process, folder)
            if code > 0:
                # It ended with an error, like that of a lake which cannot be opened: another one would, too.
                self.code = code
                self._stopping.set()
                return
            _LOG.warning("server process died", process=process.pid, signal=-code)
            if not self._stopping.wait(_RESTART_AFTER):
                self._processes[place] = self._started(environment)

    def _forget(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        if process.stdin is not None:
            process.stdin.close()
        mark_process_dead(process.pid, str(folder))  # type: ignore[no-untyped-call]


def socket_of(number: int) -> socket.socket:
    """Return the socket that the process before this one listens on."""
    handed_over = socket.socket(fileno=number)
    # Not to the processes that this one starts: one of them that hangs would keep the port.
    handed_over.set_inheritable(False)
    return handed_over


def end_with_parent(end: Callable[[], object]) -> None:
    """Call *end* once the process that started this one is gone: nobody else would end this one, and its port would stay taken."""

    def wait() -> None:
        # Not through sys.stdin, whose lock a thread that waits would hold when the process ends.
        with suppress(OSError):
            while os.read(_STANDARD_INPUT, 1024):
                pass
        end()

    threading.Thread(target=wait, name="ticklake-parent", daemon=True).start()
