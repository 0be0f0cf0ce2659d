"""Rows of inline segments that were just written: the next append to their dataset often reads them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import polars as pl

from ticklake.core.dataset import Dataset

__all__ = ["Part", "RecentRows"]

BUDGET = 64 * 1024**2
"""Bytes of all rows together."""
MOST = 16
"""Segments of one dataset: a dataset that is written often does not push out the others."""


class Part(NamedTuple):
    """The rows of one segment, from ``start`` on, in a frame that several share."""

    dataset: Dataset
    segment: str
    start: int
    rows: int


@dataclass(eq=False, slots=True)
class _Shared:
    """A frame, and how many parts of it are still kept."""

    frame: pl.DataFrame
    size: int
    parts: dict[str, Part] = field(default_factory=dict)


class RecentRows:
    """Keeps the newest inline segments of each dataset as frames, up to *budget* bytes in all.

    Segments that were written together share a frame, which counts once, until the last of them is dropped. All methods may be called
    from any thread.
    """

    def __init__(self, budget: int = BUDGET, most: int = MOST) -> None:
        self._budget, self._most = budget, most
        self._size = 0
        self._frames: OrderedDict[int, _Shared] = OrderedDict()
        self._by_segment: dict[str, _Shared] = {}
        self._by_dataset: dict[Dataset, OrderedDict[str, None]] = {}
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Bytes of all frames."""
        return self._size

    def __len__(self) -> int:
        return len(self._by_segment)

    def get(self, segment: str) -> pl.DataFrame | None:
        """Return the rows of a segment, if they are kept."""
        with self._lock:
            shared = self._by_segment.get(segment)
            if shared is None:
                return None
            part = shared.parts[segment]
            self._frames.move_to_end(id(shared))
        return shared.frame.slice(part.start, part.rows)

    def add(self, frame: pl.DataFrame, parts: Sequence[Part]) -> None:
        """Keep the rows of segments that were written together; *frame* should have no rows besides theirs."""
        if not parts:
            return
        shared = _Shared(frame, int(frame.estimated_size()))
        with self._lock:
            self._frames[id(shared)] = shared
            self._size += shared.size
            for part in parts:
                shared.parts[part.segment] = part
                self._by_segment[part.segment] = shared
                of_dataset = self._by_dataset.setdefault(part.dataset, OrderedDict())
                of_dataset[part.segment] = None
                if len(of_dataset) > self._most:
                    self._drop(next(iter(of_dataset)))
            while self._size > self._budget:
                for segment in list(next(iter(self._frames.values())).parts):
                    self._drop(segment)

    def _drop(self, segment: str) -> None:
        """Drop a segment, and its frame with the last segment in it."""
        shared = self._by_segment.pop(segment)
        part = shared.parts.pop(segment)
        of_dataset = self._by_dataset[part.dataset]
        del of_dataset[segment]
        if not of_dataset:
            del self._by_dataset[part.dataset]
        if not shared.parts:
            del self._frames[id(shared)]
            self._size -= shared.size
