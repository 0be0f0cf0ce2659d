"""What a contender owes: one method a workload, and honesty about what it cannot do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

__all__ = ["SYMBOL", "Cannot", "Contender", "folder_size"]

SYMBOL = "BTC/USDT"


class Cannot(Exception):
    """The contender has no way to do this workload; the message says why."""


class Contender:
    """A store under one folder. Whatever a subclass leaves out, it cannot do.

    Rows arrive in the form that the software itself takes: :meth:`bars` and :meth:`trades` make it outside the
    timing. Times are nanoseconds UTC, spans half-open.

    Attributes
    ----------
    packages
        The distributions whose versions belong to the result.
    durability
        What it syncs before a write returns; a fact, counted with ``strace -f -c -e trace=fsync,fdatasync``.
    dedupes
        Whether a batch may repeat rows of the batch before it.
    one_file
        Whether it must be given all trades at once.
    """

    name: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]
    durability: ClassVar[str]
    dedupes: ClassVar[bool] = True
    one_file: ClassVar[bool] = False

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def close(self) -> None:
        """Let go of files and connections."""

    def bars(self, frame: pl.DataFrame, symbol: str = SYMBOL) -> Any:
        """Return bars of one symbol in the form the software takes."""
        del symbol
        return frame

    def trades(self, frame: pl.DataFrame) -> Any:
        """Return trades in the form the software takes."""
        return frame

    def append_bars(self, rows: Any, symbol: str = SYMBOL) -> None:
        """Add bars that are newer than all before."""
        raise Cannot("no bars")

    def append_group(self, items: Sequence[tuple[str, Any]]) -> None:
        """Add bars to many datasets in one go; by default one after the other."""
        for symbol, rows in items:
            self.append_bars(rows, symbol)

    def append_trades(self, rows: Any) -> None:
        """Add trades; those that are there already must not be doubled if :attr:`dedupes`."""
        raise Cannot("no trades")

    def load_trades(self, rows: Any) -> None:
        """Store a day of trades in an empty store, at once."""
        self.append_trades(rows)

    def compact(self) -> None:
        """Make few large pieces of many small ones, if the software does that."""

    def correct_bar(self, rows: Any) -> None:
        """Replace the bar that has the time of the only row of *rows*."""
        raise Cannot("no update in place")

    def read_bars(self, start: int | None = None, end: int | None = None) -> Any:
        """Return the bars in ``[start, end)``, sorted, in the software's own form."""
        raise Cannot("no bars")

    def read_trades(self, start: int, end: int) -> Any:
        """Return the trades in ``[start, end)``, sorted, in the software's own form."""
        raise Cannot("no trades")

    def latest_trades(self, count: int) -> Any:
        """Return the newest *count* trades."""
        raise Cannot("no way to read from the end")

    def last_bar(self) -> int:
        """Return the time of the newest bar."""
        raise Cannot("no way to ask for it")

    def inventory(self) -> Sequence[Any] | pl.DataFrame:
        """Return rows, first and last time of every dataset, an item each."""
        raise Cannot("keeps no summary of a dataset")

    def resample(self, start: int, end: int) -> Any:
        """Return one-minute bars of the trades in ``[start, end)``."""
        raise Cannot("no bars from trades")

    def size(self) -> int:
        """Return the bytes of everything in the folder, closed."""
        self.close()
        return folder_size(self.folder)


def folder_size(folder: Path) -> int:
    """Return the bytes that the files below *folder* take; holes do not count."""
    stats = [path.stat() for path in folder.rglob("*") if path.is_file()]
    return sum(min(stat.st_size, stat.st_blocks * 512) for stat in stats)
