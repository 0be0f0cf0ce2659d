"""What proves that a lake is right: quality, continuity, and cross-checks."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from ticklake.audit.gaps import gap_report
from ticklake.core.time import TimeLike
from ticklake.errors import BadInput
from ticklake.lake.base import Base, DatasetLike, View

if TYPE_CHECKING:
    from ticklake.core.crosscheck import CrossCheck
    from ticklake.core.quality import Quality

__all__ = ["Comparing", "Proving"]


class Proving(View):
    """The verbs that prove, from what the lake holds."""

    def quality(self, dataset: DatasetLike, start: TimeLike | None = None, end: TimeLike | None = None) -> Quality:
        """Return how complete and how sound a dataset is; by default all that the lake holds or has looked at.

        UTC days are measured when they are asked for, and kept in the catalog until something of them changes.

        Returns
        -------
        Quality
            Completeness, missing records, gaps by reason, duplicates, refused rows by reason, outliers, stale prices, zero
            volumes, crossed books, freshness and a score from 0 to 100; ``days`` has the same for each day.
        """
        from ticklake.audit.quality import Assessor

        parsed = self._known(dataset)
        known = self._want(parsed, None, None)
        want = self._want(parsed, start, end)
        found = Assessor(self.engine).assess(parsed, want, known)
        if want is None:
            return found
        return replace(found, find_gaps=lambda: gap_report(self.engine, parsed, want).gaps)

    def quality_trend(
        self, dataset: DatasetLike, start: TimeLike | None = None, end: TimeLike | None = None
    ) -> pl.DataFrame:
        """Return the figures of :meth:`quality` as a row for each UTC day.

        Columns: ``day``, ``completeness_ratio``, ``score``, ``expected_records``, ``present_records``,
        ``missing_records``, ``data_gaps``, ``duplicates``, ``outliers``, ``stale_prices``, ``zero_volumes``,
        ``crossed_books``, ``quarantined``. What cannot be known is null.
        """
        from ticklake.core.quality import trend_of

        return trend_of(self.quality(dataset, start, end).days)

    def continuity(self, dataset: DatasetLike) -> pl.DataFrame:
        """Return how each batch of rows that was committed joined the rows before it.

        Columns: ``version`` (the commit), ``start`` and ``end`` (times of its first and last row), ``joins``
        (:class:`~ticklake.core.append_log.Joins`: ``first``, ``touches``, ``jumps``, ``follows``, ``overlaps`` or ``earlier``),
        ``missing`` (bars of the calendar, or trade ids, in between; null where nobody can count), ``before_ts`` and
        ``before_id`` (the newest row before), ``first_id``, ``last_id`` (of trades; ``seq`` of books and quotes), ``batches``,
        ``received``, ``new``, ``changed``, ``duplicate``. Vacuum adds up old batches that went on where the one before
        ended; jumps are kept for ever.
        """
        from ticklake.catalog.append_log import Batches

        catalog = self.engine.catalog
        return Batches(catalog.database, catalog.pinned).of(self._known(dataset))


class Comparing(Base):
    """The verb that holds rows against another witness, which may be the exchange."""

    def cross_check(
        self,
        dataset: DatasetLike,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        source: bool = False,
        tolerance: float = 1e-6,
    ) -> list[CrossCheck]:
        """Hold rows against another witness, and return the differences with both values.

        Bars are held against those that the lake's trades and shorter bars of the same symbol make: one comparison each,
        of the bars that lie wholly where both sides have everything. Prices must be equal; volumes may differ by
        *tolerance*, relative to the larger.

        Parameters
        ----------
        source
            Ask the exchange's calls instead, whatever the kind, and compare their answer with the stored rows, most of
            which may have come from files of a dump site. Nothing is stored.

        Returns
        -------
        list of CrossCheck
            None if the lake has nothing to compare with.

        Raises
        ------
        SourceError
            With *source*, if the exchange could not be asked.
        """
        from ticklake.audit.crosscheck import complete_spans, rebuilt

        parsed = self._known(dataset)
        is_number = isinstance(tolerance, int | float) and not isinstance(tolerance, bool)
        if not is_number or not 0 <= tolerance < math.inf:
            raise BadInput(f"tolerance={tolerance!r} is no share: pass a number from 0 on, like 1e-6")
        want = self._want(parsed, start, end)
        if want is None:
            return []
        if source:
            return [self._collector.cross_check(parsed, complete_spans(self.engine, parsed, want), tolerance)]
        return list(rebuilt(self.engine, parsed, want, tolerance))
