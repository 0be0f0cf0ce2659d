"""Progress of long work: a moving bar on a terminal, plain lines otherwise."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from ticklake.interfaces.cli.output import errors, print_error

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["watching"]

LINE_EVERY = 5.0
"""Seconds between two plain lines."""


class Work(Protocol):
    """Progress of a backfill, an import or an export: rows so far, and the time up to which each dataset is collected."""

    counts: Counter[str]
    reached: dict[str, int]

    @property
    def done(self) -> float:
        """The finished share, 0 to 1."""


@contextmanager
def watching(title: str, *, quiet: bool) -> Iterator[Callable[[Work], None]]:
    """Show progress on standard error while the block runs; yields the callable to report to."""
    console = errors()
    if quiet:
        yield lambda _: None
    elif console.is_terminal:
        with _bar() as bar:
            task = bar.add_task(title, total=1.0, detail="")
            yield lambda progress: bar.update(
                task, completed=progress.done, detail=_detail(progress, bar.tasks[0].elapsed)
            )
    else:
        yield _Lines(title)


class _Lines:
    """Prints a line every few seconds: a log file has no use for a moving bar."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._began = self._last = time.monotonic()

    def __call__(self, progress: Work) -> None:
        now = time.monotonic()
        # Pages come many times a second: a line for each would fill the log.
        if now - self._last >= LINE_EVERY:
            self._last = now
            print_error(f"{self._title}: {progress.done:.0%} {_detail(progress, now - self._began)}")


def _bar() -> Progress:
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        # On standard error: the answer may be piped into a file.
        console=errors(),
    )


def _detail(progress: Work, elapsed: float | None) -> str:
    from ticklake.core.time import format_time

    rows = progress.counts["received"]
    detail = f"{rows:,} rows"
    if elapsed:
        detail += f" {rows / elapsed:,.0f}/s"
    if progress.reached:
        # All datasets are complete up to there.
        detail += f" to {format_time(min(progress.reached.values()))}"
    return detail
