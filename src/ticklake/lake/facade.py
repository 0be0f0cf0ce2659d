"""Lake: the facade a user holds. Thin: its parts read what was typed and delegate."""

from __future__ import annotations

from types import TracebackType

from ticklake.core.results import DatasetChange
from ticklake.core.selection import parse_count
from ticklake.core.time import TimeLike, parse_time
from ticklake.errors import BadInput
from ticklake.lake.audit import Knowing
from ticklake.lake.collect import Collecting
from ticklake.lake.instruments import Markets
from ticklake.lake.interchange import Exporting, Moving
from ticklake.lake.jobs import Working
from ticklake.lake.maintenance import Keeping
from ticklake.lake.quality import Comparing, Proving
from ticklake.lake.read import Reading
from ticklake.lake.snapshot import Snapshot

__all__ = ["Lake"]


_FIRST_TIME = 10**12
"""Smaller integers are versions."""


class Lake(Collecting, Moving, Exporting, Reading, Knowing, Markets, Proving, Comparing, Keeping, Working):
    """A complete, correct, deduplicated copy of market data.

    Made by :func:`ticklake.open`; use it as a context manager or call :meth:`close`. Frames that come out are
    Polars frames sorted by ``ts``; spans are half-open ``[start, end)``; a naive time means UTC.

    Attributes
    ----------
    runs
        What was executed and how it went: ``runs.list(state="failed")``, ``runs.get(id)``, ``runs.tail(id)``.
    """

    def __repr__(self) -> str:
        return f"Lake({str(self.root or 'in memory')!r})"

    def __enter__(self) -> Lake:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the catalog."""
        self.runs.close()
        if "alerts" in vars(self):
            self.alerts.close()
        self.engine.catalog.database.close()

    def at(self, moment: TimeLike) -> Snapshot:
        """Return the lake as it was, for reading only.

        Parameters
        ----------
        moment
            A version (an integer up to the newest one), or a time: then it is the version that was newest at that time.

        Raises
        ------
        BadInput
            If the lake has no such version yet.
        CatalogError
            If the version was vacuumed.
        """
        catalog, newest = self.engine.catalog, self.engine.catalog.version()
        if isinstance(moment, int) and not isinstance(moment, bool) and moment < _FIRST_TIME:
            if not 0 <= moment <= newest:
                raise BadInput(f"the lake has no version {moment}: versions go from 0 to {newest}")
            then = self.engine.now() if moment == newest else catalog.committed_at(moment)
            return Snapshot(self.engine, self.root, moment, then or 0)
        time = parse_time(moment)
        return Snapshot(self.engine, self.root, catalog.version_at(time), min(time, self.engine.now()))

    def changes_since(self, version: int = 0, *, limit: int | None = None) -> list[DatasetChange]:
        """Return what was committed after *version*, by whichever process: the change feed.

        Caches, mirrors and derived data follow it: read a :meth:`snapshot <at>` of a version, then ask for what came after.

        Parameters
        ----------
        version
            The last version that is known; 0 for all.
        limit
            Stop after so many versions that changed segments. To go on, ask again from the last one that came.

        Returns
        -------
        list of DatasetChange
            One for each version and dataset, in the order of versions: ``version``, ``committed_at`` (ns UTC), ``operation``, ``dataset``,
            the ``spans`` in which rows may have changed, and the segments that were ``added`` and ``removed``.

        Raises
        ------
        BadInput
            If *version* or *limit* is not a whole number of at least 0.
        CatalogError
            If *version* was vacuumed: what left since may be forgotten. Read the newest version, and go on from it.
        """
        from ticklake.catalog.change_feed import changes_since

        known = parse_count("version", version, of="versions")
        most = None if limit is None else parse_count("limit", limit, of="versions")
        return changes_since(self.engine.catalog.database, known, most)
