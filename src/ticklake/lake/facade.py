"""Lake: the facade a user holds. Thin: its parts read what was typed and delegate."""

from __future__ import annotations

from copy import copy
from types import TracebackType

from ticklake.core.time import TimeLike, parse_time
from ticklake.lake.collecting import Collecting
from ticklake.lake.keeping import Keeping
from ticklake.lake.knowing import Knowing
from ticklake.lake.markets import Markets
from ticklake.lake.moving import Moving
from ticklake.lake.proving import Proving
from ticklake.lake.reading import Reading
from ticklake.lake.working import Working

__all__ = ["Lake"]


class Lake(Collecting, Moving, Reading, Knowing, Markets, Proving, Keeping, Working):
    """A complete, correct, deduplicated copy of market data.

    Made by :func:`ticklake.open`; use it as a context manager or call :meth:`close`. Frames that come out are
    Polars frames sorted by ``ts``; spans are half-open ``[start, end)``; a naive time means UTC.

    Attributes
    ----------
    runs
        What was executed and how it went: ``runs.list(state="failed")``, ``runs.get(id)``, ``runs.tail(id)``.
    """

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

    def at(self, moment: int | TimeLike) -> Lake:
        """Return the lake as it was: at a version (a small integer) or at a time. For reading only."""
        version = moment if isinstance(moment, int) and moment < 10**12 else None
        if version is None:
            version = self.engine.catalog.version_at(parse_time(moment))
        past = copy(self)
        past._version = version
        return past
