"""What a lake knows of itself: what is there, what is missing and why, where it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.provenance import Provenance
from ticklake.core.selection import parse_count, parse_text
from ticklake.core.span import ALL_TIME, Span
from ticklake.core.time import TimeLike, parse_time
from ticklake.lake.base import DatasetLike, View

if TYPE_CHECKING:
    from ticklake.catalog.changes import DatasetRow
    from ticklake.core.coverage import Coverage
    from ticklake.core.gaps import Gap, GapReport

__all__ = ["Knowing"]


class Knowing(View):
    """The verbs that tell what the lake knows."""

    def datasets(self, search: str = "") -> list[Dataset]:
        """Return the datasets whose name contains *search*."""
        part = parse_text("search", search)
        return [Dataset.parse(name) for name, *_ in self.engine.catalog.inventory() if part in name]

    def inventory(self, search: str = "") -> pl.DataFrame:
        """Return a row a dataset.

        Columns: ``dataset`` (its name), ``rows``, ``bytes``, ``first``, ``last`` (times of rows), ``exchange``, ``symbol``,
        ``kind``, ``timeframe`` (null where there is none), ``files`` (none for what is small and waits in the catalog).
        """
        part = parse_text("search", search)
        known = [row for row in self.engine.inventory() if part in str(row.dataset)]
        files = self.engine.catalog.count_files()
        rows = [(*_sums(row), *_parts(row.dataset), files.get(str(row.dataset), 0)) for row in known]
        schema = {
            "dataset": pl.String(),
            **dict.fromkeys(("rows", "bytes", "first", "last"), pl.Int64()),
            **dict.fromkeys(("exchange", "symbol", "kind", "timeframe"), pl.String()),
            "files": pl.Int64(),
        }
        frame = pl.DataFrame(rows, schema=schema, orient="row")
        return frame.with_columns(pl.col("first", "last").cast(TIME))

    def last_timestamp(self, dataset: DatasetLike) -> int | None:
        """Return the time of the newest row in nanoseconds, or ``None``."""
        return self.engine.last_timestamp(self._known(dataset))

    def missing_intervals(
        self, dataset: DatasetLike, start: TimeLike | None = None, end: TimeLike | None = None
    ) -> list[Span]:
        """Return the spans without rows that should have them; by default inside what the lake holds."""
        from ticklake.audit.gaps import missing_intervals

        parsed = self._known(dataset)
        want = self._want(parsed, start, end)
        return missing_intervals(self.engine, parsed, want) if want else []

    def gaps(
        self,
        dataset: DatasetLike,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        quick: bool = False,
    ) -> list[Gap]:
        """Return every hole with its bounds, size and reason; by default inside what the lake holds or has looked at.

        Reasons are ``not_fetched``, ``no_trades``, ``outage``, ``unavailable``, ``lost`` and ``invalid``: see
        docs/how-to/gaps-and-repair.md. Trades are passed over once for holes in their ids (less than a second for ten
        million), bars that are absent are looked for in the other symbols of the exchange; with *quick*, coverage
        and calendar alone speak.
        """
        return list(self.gap_report(dataset, start, end, quick=quick).gaps)

    def gap_report(
        self,
        dataset: DatasetLike,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        quick: bool = False,
    ) -> GapReport:
        """Return the same holes as :meth:`gaps`, with ``notes`` on what is none, like ids that begin anew."""
        from ticklake.audit.gaps import gap_report
        from ticklake.core.gaps import GapReport

        parsed = self._known(dataset)
        want = self._want(parsed, start, end)
        return gap_report(self.engine, parsed, want, quick=quick) if want else GapReport()

    def coverage(self, dataset: DatasetLike) -> Coverage:
        """Return which spans were looked at, and what was found."""
        return self.engine.catalog.coverage(self._known(dataset))

    def provenance(self, dataset: DatasetLike, at: TimeLike | None = None) -> list[Provenance]:
        """Return where the rows of a dataset came from, or those at exactly one time."""
        span = ALL_TIME if at is None else Span(parse_time(at), parse_time(at) + 1)
        return self.engine.provenance(self._known(dataset), span)

    def provenance_by_file(self, dataset: DatasetLike) -> pl.DataFrame:
        """Return a row for each file and origin of its rows, in order of time.

        Columns: ``file`` (below the lake's folder; null for rows that wait in the catalog), ``rows`` (stored ones: those that
        a newer file replaced included), ``first``, ``last``, ``source``, ``endpoint``, ``tool``, ``id_space``, ``clock``, ``note``.
        """
        return self.engine.origins_by_file(self._known(dataset))

    def quarantine(self, dataset: DatasetLike | None = None, *, limit: int | None = None) -> list[dict[str, Any]]:
        """Return the refused rows of a dataset with ``ts``, ``reason``, ``row`` (JSON) and ``created_at``.

        Without a dataset those of all, each with its ``dataset``, too. With a *limit*, only the first so many: a dataset may
        have millions.
        """
        left = None if limit is None else parse_count("limit", limit)
        if dataset is not None:
            return self.engine.catalog.quarantined(self._known(dataset), limit=left)
        found: list[dict[str, Any]] = []
        for one in self.datasets():
            rest = None if left is None else left - len(found)
            if rest == 0:
                break
            found += [{"dataset": str(one), **row} for row in self.engine.catalog.quarantined(one, limit=rest)]
        return found

    def revisions(self, dataset: DatasetLike) -> list[dict[str, Any]]:
        """Return the changed rows with ``ts``, ``before`` and ``after`` (JSON), ``commit_id``, ``created_at``."""
        return self.engine.catalog.revisions(self._known(dataset))


def _parts(dataset: Dataset) -> tuple[str, str, str, str | None]:
    frame = None if dataset.timeframe is None else str(dataset.timeframe)
    return dataset.exchange, str(dataset.symbol), dataset.kind, frame


def _sums(row: DatasetRow) -> tuple[str, int, int, int | None, int | None]:
    return str(row.dataset), row.rows, row.bytes, row.min_ts, row.max_ts
