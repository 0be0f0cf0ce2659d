"""Checkpoints of the order books that are collected live."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from ticklake.core.book_state import OVERTAKEN
from ticklake.core.dataset import Dataset
from ticklake.core.time import SECOND
from ticklake.engine.engine import Engine
from ticklake.errors import TicklakeError

__all__ = ["LiveCheckpoints"]

_AT_ONCE = 4
"""So many books are written after one commit, that no commit waits long for the next one."""


@dataclass
class LiveCheckpoints:
    """Writes a checkpoint of each live book about every *seconds*; never for 0."""

    engine: Engine
    seconds: float
    _written: dict[Dataset, int] = field(default_factory=dict)

    def due(self, newest: Mapping[Dataset, int | None]) -> Iterator[tuple[Dataset, int]]:
        """Yield the books of which a checkpoint is due, and its instant, given the time of the newest row of each.

        The instant lies so far back that the rows before it are all there, nearly always: a row that comes late puts a checkpoint out of use.
        """
        if not self.seconds:
            return
        count = 0
        for dataset, ts in newest.items():
            if ts is None:
                continue
            at = ts - OVERTAKEN
            # The first one comes when there are rows to make it of.
            written = self._written.setdefault(dataset, at)
            if at - written >= self.seconds * SECOND and count < _AT_ONCE:
                count += 1
                self._written[dataset] = at
                yield dataset, at

    def write(self, dataset: Dataset, at: int) -> None:
        """Write a checkpoint. What cannot be written now is made by the next compaction: rows are not held up for it."""
        from ticklake.query.book_checkpoints import write_newest_checkpoint

        with suppress(TicklakeError):
            write_newest_checkpoint(self.engine, dataset, at)
