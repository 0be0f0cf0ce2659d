"""Frames of many instants, cut from what was read at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, overload

import numpy as np

from ticklake.core.frame import Frame
from ticklake.core.frame_data import FrameData
from ticklake.core.time import format_time

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ticklake.core.timeline import Times

__all__ = ["FrameBatch", "Frames"]


class FrameBatch:
    """Frames at instants, in their order: those of each of *groups* (places of instants) are cut from one of *data*."""

    def __init__(self, at: Times, data: Sequence[FrameData], groups: Sequence[NDArray[np.intp]] | None = None) -> None:
        self.at = at
        self.data = data
        # Mostly all are cut from one, in order: then nothing has to be looked up.
        self._where: list[tuple[FrameData, int]] | None = None
        if groups is not None and not (len(groups) == 1 and (groups[0] == np.arange(len(at))).all()):
            self._where = self._looked_up(groups)

    def _looked_up(self, groups: Sequence[NDArray[np.intp]]) -> list[tuple[FrameData, int]]:
        """Return for each instant from which data, and from which place there, its frame is cut."""
        where: list[tuple[FrameData, int]] = [(self.data[0], 0)] * len(self.at)
        for part, places in zip(self.data, groups, strict=True):
            for number, place in enumerate(places.tolist()):
                where[place] = (part, number)
        return where

    def frame(self, place: int) -> Frame:
        """Return one frame."""
        if self._where is None:
            return Frame(self.data[0], place)
        return Frame(*self._where[place])


class Frames(Sequence[Frame]):
    """Frames of many instants, read in one pass. A frame is made when it is looked at, and its rows are not copied."""

    def __init__(self, batch: FrameBatch, places: range | None = None) -> None:
        self._batch = batch
        if places is None:
            places = range(len(batch.at))
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, place: int) -> Frame: ...
    @overload
    def __getitem__(self, place: slice) -> Frames: ...
    def __getitem__(self, place: int | slice) -> Frame | Frames:
        if isinstance(place, slice):
            return Frames(self._batch, self._places[place])
        return self._batch.frame(self._places[place])

    def __iter__(self) -> Iterator[Frame]:
        for place in self._places:
            yield self._batch.frame(place)

    @property
    def instants(self) -> Times:
        """The instants, in nanoseconds UTC."""
        # Not a slice: one that counts down to the first ends at -1, which would be the last.
        return self._batch.at[np.array(self._places, dtype=np.int64)]

    @property
    def version(self) -> int:
        """The version of the lake that they were read from."""
        return self._batch.data[0].version

    def __repr__(self) -> str:
        request = self._batch.data[0].request
        if not len(self):
            return f"Frames({request.exchange} {request.symbol}: none)"
        first, last = int(self.instants.min()), int(self.instants.max())
        span = f"{format_time(first)} .. {format_time(last)}"
        return f"Frames({request.exchange} {request.symbol}: {len(self):,}, {span})"
