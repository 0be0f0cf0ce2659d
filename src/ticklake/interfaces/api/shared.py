"""What the processes of a server have in memory, added up: each writes its figures to a folder that all of them read."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ticklake.interfaces.metrics import Samples, process_samples
from ticklake.lake import Lake

__all__ = ["SHARED_FOLDER", "SharedSamples", "published"]

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable with which prometheus_client is told where processes add up their figures."""

_EVERY = 5.0
"""Seconds between two notes of what a process has: a scrape sees what others had then."""


class SharedSamples:
    """The figures of one process among others."""

    def __init__(self, lake: Lake, folder: Path) -> None:
        self._lake = lake
        self._folder = folder
        self._own = folder / f"ticklake-{os.getpid()}.json"

    def publish(self) -> None:
        """Write what this process has now."""
        part = self._own.with_suffix(".part")
        # Renamed into place, so that nobody reads half of it.
        with suppress(OSError):
            part.write_text(json.dumps(process_samples(self._lake)))
            part.replace(self._own)

    def total(self) -> Samples:
        """Return what all processes have together."""
        self.publish()
        # Labels as text: a dictionary is no key of another one.
        sums: dict[tuple[str, str], float] = {}
        for path in self._folder.glob("ticklake-*.json"):
            # A process that ends takes its file along.
            with suppress(OSError, ValueError):
                for name, samples in json.loads(path.read_text()).items():
                    for labels, value in samples:
                        key = name, json.dumps(labels)
                        sums[key] = sums.get(key, 0) + value
        total: Samples = {}
        for (name, labels), value in sums.items():
            total.setdefault(name, []).append((json.loads(labels), value))
        return total


@contextmanager
def published(lake: Lake, folder: str | None = None) -> Iterator[None]:
    """Write what this process has every few seconds while the block runs, if it is one of several.

    The folder is that of the environment, unless it is given.
    """
    folder = folder or os.environ.get(SHARED_FOLDER)
    if not folder:
        yield
        return
    samples, stopping = SharedSamples(lake, Path(folder)), threading.Event()

    def work() -> None:
        while True:
            samples.publish()
            if stopping.wait(_EVERY):
                return

    thread = threading.Thread(target=work, name="ticklake-samples")
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
