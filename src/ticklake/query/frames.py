"""Frames read: the rows of several datasets around instants, with one plan and one read a dataset."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ticklake.core.frame_request import FrameRequest
from ticklake.core.frames import FrameBatch
from ticklake.core.span import ALL_TIME
from ticklake.engine.engine import Engine
from ticklake.query.asof import pinned
from ticklake.query.frame_heads import Heads, heads_of
from ticklake.query.frame_reading import read_frames
from ticklake.query.frame_rows import Live, LiveRows
from ticklake.query.frame_store import KeptRows, RowReader

if TYPE_CHECKING:
    from ticklake.core.timeline import Times

__all__ = ["FrameReader", "Live"]

BUDGET = 256 * 1024**2
"""Bytes of all rows that are kept."""
_ATTEMPTS = 4
"""How often a frame is read because commits came in between; after that it is read from one version."""
_MOST_HEADS = 1_000
"""Of so many symbols it is remembered which datasets there are."""


class _KnownHeads(NamedTuple):
    """The datasets of a version of which frames from an instant on may need rows."""

    version: int
    since: int
    heads: Heads

    def holds(self, reader: RowReader, since: int) -> bool:
        """Whether they are those of the reader's version, too."""
        own = reader.engine.catalog.own_commits
        return self.since <= since and own.left_alone(self.heads.names, self.version, reader.version)


class FrameReader:
    """Reads frames of a lake, or of one version of it. All methods may be called from any thread.

    Parameters
    ----------
    live
        What this process collects; nothing, by default.
    budget
        Bytes of rows that are kept for the next frames.
    """

    def __init__(self, engine: Engine, live: Live | None = None, budget: int = BUDGET) -> None:
        self.engine = engine
        self._live = LiveRows(live)
        self._kept = KeptRows(budget)
        self._heads: dict[Any, _KnownHeads] = {}

    def read(self, request: FrameRequest, at: Times) -> FrameBatch:
        """Return frames at these instants, all of one version.

        Raises
        ------
        UnknownDataset
            If the lake has nothing of the symbol.
        """
        for _ in range(_ATTEMPTS):
            reader = RowReader(self.engine, self.engine.catalog.version(), self._live, self._kept)
            batch = self._read(reader, request, at)
            if self.engine.catalog.version() == reader.version:
                # Not before: parts of rows may be of a newer version, and nothing would tell.
                self._kept.keep(reader.read.values())
                return batch
        # Commits come faster than frames are read: one version stands still. What is kept is of newer ones.
        still = pinned(self.engine)
        return self._read(RowReader(still, still.catalog.version(), self._live, None), request, at)

    def _read(self, reader: RowReader, request: FrameRequest, at: Times) -> FrameBatch:
        heads = self._heads_of(reader, request, int(at.min(initial=ALL_TIME.end)))
        if at.size < 2:
            return FrameBatch(at, [read_frames(reader, heads, request, at)])
        groups = heads.groups(at)
        return FrameBatch(at, [read_frames(reader, heads, request, at[places]) for places in groups], groups)

    def _heads_of(self, reader: RowReader, request: FrameRequest, since: int) -> Heads:
        """Return the datasets of which frames from an instant on may need rows, as they were for the frame before."""
        key = (request.exchange, request.symbol, request.timeframes, request.looked_up, request.knowledge)
        known = self._heads.get(key)
        if known is not None and known.holds(reader, since):
            heads = replace(known.heads, engine=reader.engine, request=request)
            since = known.since
        else:
            heads = heads_of(reader.engine, self._live, request, since)
        if len(self._heads) >= _MOST_HEADS:
            self._heads.clear()
        self._heads[key] = _KnownHeads(reader.version, since, heads)
        return heads
