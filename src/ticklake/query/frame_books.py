"""The books of frames: read when they are looked at, as they were known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import polars as pl

from ticklake.core.batch import canonical, sort
from ticklake.core.frame_request import FrameRequest
from ticklake.core.kinds import PROVENANCE
from ticklake.core.span import ALL_TIME, Span
from ticklake.engine.engine import Engine
from ticklake.engine.overlay import overlaid
from ticklake.query.frame_rows import not_stored

if TYPE_CHECKING:
    from ticklake.core.book import Book
    from ticklake.core.timeline import Times

__all__ = ["FrameBooks"]

_IMBALANCE_DEPTH = 10


@dataclass(eq=False)
class FrameBooks:
    """Reads the books of frames from one version.

    ``live`` are the changes that were not committed yet when the frames were made: later there may be newer ones.
    """

    engine: Engine
    version: int
    request: FrameRequest
    live: pl.DataFrame | None

    def read(self, at: int) -> Book:
        """Return the book at an instant."""
        from ticklake.query.book import book_at

        request, lags = self.request, self.engine.lags
        return book_at(self._with_live, request.dataset("book"), at, request.book_depth, None, request.knowledge, lags)

    def imbalances(self, at: Times) -> pl.DataFrame:
        """Return the mean imbalances of the books at instants."""
        from ticklake.query.book_stats import imbalances_at

        request = self.request
        return imbalances_at(
            self._with_live,
            request.dataset("book"),
            at.tolist(),
            depth=request.book_depth or _IMBALANCE_DEPTH,
            knowledge=request.knowledge,
            lags=self.engine.lags,
        )

    @cached_property
    def _with_live(self) -> Engine:
        """An engine that reads this version later, too, with the changes that were not committed yet."""
        engine, live = self._pinned, self.live
        if live is None:
            return engine
        dataset = self.request.dataset("book")
        since = int(live["ts"].to_physical()[0])
        stored = engine.load(dataset, Span(since, ALL_TIME.end))
        fresh = not_stored(live, stored, dataset, "natural")
        newest = engine.load(dataset, last=1, provenance=True)
        if not fresh.height or not newest.height:
            return engine
        # They come from where the newest stored row comes from: the stream goes on.
        rows = canonical(fresh, dataset.spec, int(newest[PROVENANCE][0]))
        return overlaid(engine, {dataset: sort(rows, dataset.spec)}, engine.now, "add")

    @cached_property
    def _pinned(self) -> Engine:
        """An engine that reads the same version later, too."""
        if self.engine.catalog.pinned is not None:
            return self.engine
        return self.engine.at(self.version, self.engine.now())
