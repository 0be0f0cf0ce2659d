"""Which datasets frames need, and which of many instants are read together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ticklake.catalog.changes import DatasetRow
from ticklake.core.dataset import Dataset
from ticklake.core.frame_request import EVENT_KINDS, FRAME_KINDS, FrameRequest
from ticklake.core.timeframe import Timeframe
from ticklake.engine.engine import Engine
from ticklake.errors import UnknownDataset
from ticklake.query.frame_rows import LiveRows
from ticklake.query.frame_store import MOST_ROWS, expected_rows
from ticklake.query.resample import can_become

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ticklake.core.timeline import Flags, Times

__all__ = ["Heads", "heads_of"]

_ROWS_APART = 50_000
"""Windows are read apart if there are more rows than these between them."""
_STORED = [Timeframe(count, "s") for count in (1, 5, 10, 15, 30)]
_STORED += [Timeframe(count, "m") for count in (1, 2, 3, 5, 10, 15, 20, 30, 45)]
_STORED += [Timeframe(count, "h") for count in (1, 2, 3, 4, 6, 8, 12)]
_STORED += [Timeframe(count, "d") for count in (1, 2, 3)]
"""The timeframes that are looked for when bars have to be made: those that exchanges serve."""


def heads_of(engine: Engine, live: LiveRows, request: FrameRequest, since: int) -> Heads:
    """Return the datasets of a version of which frames from an instant on may need rows.

    Raises
    ------
    UnknownDataset
        If there are none.
    """
    bars = [request.dataset("ohlcv", timeframe) for timeframe in request.timeframes]
    # No others: what frames do not hold is committed, too, and then all names have to be looked up again.
    names = [*bars, *map(request.dataset, request.looked_up)]
    _, found = engine.catalog.heads(names)
    heads = Heads(engine, live, request, names, found)
    # Bars that the lake does not have, or has from later on, are made of others.
    if not found or any(since < heads.since(dataset) or heads.is_never_received(dataset) for dataset in bars):
        names = [*bars, *map(request.dataset, FRAME_KINDS)]
        names += [request.dataset("ohlcv", timeframe) for timeframe in _STORED]
        heads = Heads(engine, live, request, names, engine.catalog.heads(names)[1])
    if not heads.rows and all(live.of(name) is None for name in names):
        raise UnknownDataset(f"the lake has nothing of {request.symbol} on {request.exchange}")
    return heads


@dataclass(frozen=True)
class Heads:
    """The datasets of a version, as far as frames may need them, and from when on the lake had them."""

    engine: Engine
    live: LiveRows
    request: FrameRequest
    names: Sequence[Dataset]
    """What was looked up."""
    rows: Mapping[Dataset, DatasetRow]

    def since(self, dataset: Dataset) -> int:
        """Return from when on the first row of a dataset was known, unless it came late."""
        return self.live.first_close(dataset, self.rows.get(dataset)) + self.engine.lags.of(dataset)

    def is_never_received(self, dataset: Dataset) -> bool:
        """Whether no row of a kind says when it was received, and only those that do count."""
        return self.request.knowledge == "received" and "received_at" not in dataset.spec.names

    def base_of(self, dataset: Dataset, at: int) -> Dataset | None:
        """Return of what bars are made: the longest bars of which they are a multiple, or trades.

        Only those count that the lake had at the instant: what came later is no part of earlier frames.
        """
        bases: list[Dataset] = []
        for known in dict.fromkeys([*self.rows, self.request.dataset("trades")]):
            if known == dataset or self.is_never_received(known) or not _can_be_base(known, dataset):
                continue
            if at >= self.since(known):
                bases.append(known)
        return max(bases, key=_length, default=None)

    def groups(self, at: Times) -> list[NDArray[np.intp]]:
        """Return the places of instants that are read together, in order of time.

        Windows that are far apart are read apart, if the time between them has many rows. And frames from before the first bar of a
        dataset are apart from those after it: their bars are made of others.
        """
        order = np.argsort(at, kind="stable")
        moments = at[order]
        is_new = np.zeros(len(at), dtype=np.bool_)
        for dataset, head in self.rows.items():
            if dataset.kind in EVENT_KINDS or dataset.timeframe in self.request.timeframes:
                is_new[1:] |= self._are_apart(head, moments)
        for place in self._first_places(moments):
            is_new[place] = True
        return np.split(order, np.flatnonzero(is_new))

    def _are_apart(self, head: DatasetRow, moments: Times) -> Flags:
        """Return which instants but the first are so far from the one before that their rows are read apart."""
        since = self.request.since(moments)
        between: Times = since[1:] - moments[:-1]
        if head.min_ts is None or head.max_ts is None:
            return np.zeros(len(between), dtype=np.bool_)
        if expected_rows(head, int(moments[-1]) - int(since[0])) <= MOST_ROWS:
            return np.zeros(len(between), dtype=np.bool_)
        # As many rows as a read brings that are not needed cost as much as another read.
        return between > _ROWS_APART * max(head.max_ts - head.min_ts, 1) // head.rows

    def _first_places(self, moments: Times) -> Iterator[int]:
        """Yield the places of the first instants at which the lake had bars that it did not have before."""
        for dataset in self.rows:
            if dataset.spec.bars:
                place = int(moments.searchsorted(self.since(dataset)))
                if 0 < place < len(moments):
                    yield place


def _can_be_base(base: Dataset, dataset: Dataset) -> bool:
    """Whether the bars of *dataset* can be made of the rows of *base*."""
    if base.kind not in ("ohlcv", "trades") or dataset.timeframe is None:
        return False
    return can_become(base, dataset.timeframe)


def _length(dataset: Dataset) -> int:
    if dataset.timeframe is None:
        return 0
    return dataset.timeframe.length
