"""View: the methods that read, which a lake and its snapshots share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.provenance import Provenance
from ticklake.core.selection import parse_text
from ticklake.core.span import ALL_TIME, Span
from ticklake.core.statistics import inventory_frame
from ticklake.core.time import TimeLike, parse_time
from ticklake.engine.engine import Engine
from ticklake.lake.arguments import (
    Columns,
    DatasetLike,
    as_path,
    known_dataset,
    matching_datasets,
    optional_count,
    span_of_interest,
)
from ticklake.lake.bars import BarVerbs
from ticklake.lake.books import BookVerbs
from ticklake.lake.frames import FrameVerbs
from ticklake.lake.joins import JoinVerbs

if TYPE_CHECKING:
    from ticklake.core.coverage import Coverage
    from ticklake.core.file_reports import Report
    from ticklake.core.gaps import Gap, GapReport
    from ticklake.core.progress import Watch
    from ticklake.core.quality import Quality
    from ticklake.core.sql import SqlResult
    from ticklake.lake.feature_reads import FeatureReads

__all__ = ["View"]


class View(BarVerbs, BookVerbs, FrameVerbs, JoinVerbs):
    """The data of a lake, for reading: all of it as it is now, or as of one version.

    Frames are Polars frames sorted by ``ts``; *columns* (one name, or several; all by default) and *last* (only so many
    of the newest rows) narrow them. A dataset that the lake does not have is an error; an answer is empty only where a dataset
    has nothing of what was asked for.
    """

    def __init__(self, engine: Engine, root: Path | None) -> None:
        super().__init__(engine)
        self.root = root
        self._listed: tuple[int, pl.DataFrame] | None = None

    @cached_property
    def features(self) -> FeatureReads:
        """Feature sets: ``features.list()``, ``features.read("momentum", "v3")``, ``features.join(frame, ["momentum@v3:ret_5m"])``."""
        from ticklake.lake.feature_reads import FeatureReads

        return FeatureReads(self)

    def trades(
        self,
        exchange: str,
        symbol: str,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        columns: Columns | None = None,
        last: int | None = None,
    ) -> pl.DataFrame:
        """Return trades: ``ts``, received_at, id, price, amount, side (the taker's)."""
        return self.load(Dataset.of(exchange, symbol, "trades"), start, end, columns=columns, last=last)

    def funding(
        self,
        exchange: str,
        symbol: str,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        columns: Columns | None = None,
        last: int | None = None,
    ) -> pl.DataFrame:
        """Return settled funding rates: ``ts``, rate, predicted_rate, next_ts, mark_price, interval."""
        return self.load(Dataset.of(exchange, symbol, "funding"), start, end, columns=columns, last=last)

    def datasets(self, search: str = "") -> list[Dataset]:
        """Return the datasets whose name contains *search*."""
        part = parse_text("search", search)
        names = [name for name, *_ in self.engine.catalog.inventory() if part in name]
        return self.engine.catalog.with_kinds(map(Dataset.parse, names))

    def inventory(self, search: str = "") -> pl.DataFrame:
        """Return a row a dataset.

        Columns: ``dataset`` (its name), ``rows``, ``bytes``, ``first``, ``last`` (times of rows), ``exchange``, ``symbol``,
        ``kind`` (with the variant of derived rows, like ``ohlcv@from_trades``), ``timeframe`` (null where there is none), ``files`` (0 where all rows are still inline in the catalog).
        """
        part = parse_text("search", search)
        frame = self._inventory()
        if part:
            frame = frame.filter(frame["dataset"].str.contains(part, literal=True))
        return frame

    def sql(
        self,
        query: str,
        params: Sequence[Any] | Mapping[str, Any] | None = None,
        *,
        engine: Literal["duckdb", "polars"] | None = None,
    ) -> SqlResult:
        """Answer an SQL query over the views of the lake, from one version of it: a view for each kind, ``datasets`` and ``coverage``.

        The query is trusted: it may use all of DuckDB, also write files. For others' queries there is ``POST /api/v1/sql``
        and ``ticklake sql``. See docs/how-to/sql.md.

        Parameters
        ----------
        params
            Values for ``?`` and ``$1`` as a list, or for ``$name`` as a mapping.
        engine
            ``duckdb`` (the extra ``sql``), or ``polars``, which knows less SQL. By default DuckDB if it is installed.

        Returns
        -------
        SqlResult
            The rows: ``pl()``, ``df()`` and ``arrow()`` return them as frames of Polars, pandas and pyarrow. They are in memory, and
            stay what they are whatever happens to the lake.

        Raises
        ------
        InvalidQuery
            If the query cannot be run.
        MissingExtra
            If DuckDB is asked for and not installed.
        """
        from ticklake.query.sql import query_lake

        return query_lake(self.engine, query, params, by=engine)

    def _inventory(self) -> pl.DataFrame:
        # Each change of the catalog has a number. Read before the rows: a change in between makes the next call list anew.
        change = self.engine.catalog.database.change_number()
        if self._listed is None or self._listed[0] != change:
            self._listed = change, inventory_frame(self.engine.listing())
        # Whoever changes the frame changes a copy.
        return self._listed[1].clone()

    def last_timestamp(self, dataset: DatasetLike) -> int | None:
        """Return the time of the newest row in nanoseconds, or ``None``."""
        dataset = Dataset.parse(dataset)
        catalog = self.engine.catalog
        row = catalog.dataset(dataset)
        if row is None:
            row = catalog.dataset(known_dataset(self.engine, dataset))
        if row is None:
            return None
        return row.max_ts

    def missing_intervals(
        self, dataset: DatasetLike, start: TimeLike | None = None, end: TimeLike | None = None
    ) -> list[Span]:
        """Return the spans without rows that should have them; by default inside what the lake holds."""
        from ticklake.audit.gaps import missing_intervals

        dataset = known_dataset(self.engine, dataset)
        span = span_of_interest(self.engine, dataset, start, end)
        if span is None:
            return []
        return missing_intervals(self.engine, self._made_of(dataset), span)

    def _made_of(self, dataset: Dataset) -> Dataset:
        """Return the dataset whose gaps a dataset has: of a derived one, that of which it is made."""
        if dataset.variant is None:
            return dataset
        from ticklake.query.derive import made_of

        return made_of(self.engine, dataset)

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
        docs/how-to/gaps-and-repair.md. The ids of trades are read once to find holes in them (less than a second for ten
        million), and where bars are absent, the other symbols of the exchange are read. With *quick*, only coverage
        and the calendar are used. The gaps of derived rows are those of the rows they are made of.
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
        """Return the holes of :meth:`gaps`, with ``notes`` on what looks like one and is none, like ids that begin anew."""
        from ticklake.audit.gaps import gap_report
        from ticklake.core.gaps import GapReport

        dataset = known_dataset(self.engine, dataset)
        span = span_of_interest(self.engine, dataset, start, end)
        if span is None:
            return GapReport()
        return gap_report(self.engine, self._made_of(dataset), span, quick=quick)

    def condition(
        self,
        dataset: DatasetLike,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        quick: bool = False,
    ) -> pl.DataFrame:
        """Return the condition of each UTC day in a word; by default inside what the lake holds or has looked at.

        Columns: ``day``; ``condition``: ``complete``, ``gaps``, ``pending`` (the rest may still come), ``missing`` (all of it) or
        ``unknown`` (rows were saved, and nobody looked whether there are others); ``missing`` (how many rows, as far as they can be counted);
        ``reasons`` of :meth:`gaps`, separated by commas; ``changed_in`` and ``changed_at``, the version and time of its last change (null
        where vacuum removed the record). With *quick*, only coverage and the calendar are used.
        """
        from ticklake.audit.condition import day_conditions

        dataset = known_dataset(self.engine, dataset)
        span = span_of_interest(self.engine, dataset, start, end)
        return day_conditions(self.engine, dataset, self._made_of(dataset), span, quick=quick)

    def coverage(self, dataset: DatasetLike) -> Coverage:
        """Return which spans were looked at, and what was found."""
        return self.engine.catalog.coverage(known_dataset(self.engine, dataset))

    def provenance(self, dataset: DatasetLike, at: TimeLike | None = None) -> list[Provenance]:
        """Return where the rows of a dataset came from, or those at exactly one time."""
        span = ALL_TIME
        if at is not None:
            moment = parse_time(at)
            span = Span(moment, moment + 1)
        return self.engine.provenance(known_dataset(self.engine, dataset), span)

    def provenance_by_file(self, dataset: DatasetLike) -> pl.DataFrame:
        """Return a row for each file and origin of its rows, in order of time.

        Columns: ``file`` (below the lake's folder; null for rows that are inline in the catalog), ``rows`` (stored ones,
        including those that a newer file replaces), ``first``, ``last``, ``source``, ``endpoint``, ``tool``, ``id_space``, ``clock``, ``note``.
        """
        from ticklake.engine.lineage import origins_by_file

        return origins_by_file(self.engine.store, known_dataset(self.engine, dataset))

    def quarantine(self, dataset: DatasetLike | None = None, *, limit: int | None = None) -> list[dict[str, Any]]:
        """Return the refused rows of a dataset with ``ts``, ``reason``, ``row`` (JSON) and ``created_at``.

        Without a dataset, return those of all datasets; each row then has its ``dataset``, too. With a *limit*, return only the
        first so many: a dataset may have millions.
        """
        left = optional_count("limit", limit)
        if dataset is not None:
            return self.engine.catalog.quarantined(known_dataset(self.engine, dataset), limit=left)
        rows: list[dict[str, Any]] = []
        for each in self.datasets():
            if left == 0:
                break
            refused = self.engine.catalog.quarantined(each, limit=left)
            rows.extend({"dataset": str(each), **row} for row in refused)
            if left is not None:
                left -= len(refused)
        return rows

    def revisions(self, dataset: DatasetLike, *, limit: int | None = None) -> list[dict[str, Any]]:
        """Return the changed rows with ``ts``, ``before`` and ``after`` (JSON), ``commit_id``, ``created_at``; with a *limit*, the first so many."""
        most = optional_count("limit", limit)
        return self.engine.catalog.revisions(known_dataset(self.engine, dataset), limit=most)

    def quality(self, dataset: DatasetLike, start: TimeLike | None = None, end: TimeLike | None = None) -> Quality:
        """Return how complete and how sound a dataset is; by default all that the lake holds or has looked at.

        UTC days are measured when they are first asked for, and kept in the catalog until something in them changes.

        Returns
        -------
        Quality
            Completeness, missing records, gaps by reason, duplicates, refused rows by reason, outliers, stale prices, zero
            volumes, crossed books, freshness and a score from 0 to 100; ``days`` has the same for each day.
        """
        from ticklake.audit.gaps import gap_report
        from ticklake.audit.quality import Assessor

        dataset = known_dataset(self.engine, dataset)
        whole = span_of_interest(self.engine, dataset)
        span = span_of_interest(self.engine, dataset, start, end)
        quality = Assessor(self.engine).assess(dataset, span, whole)
        if span is None:
            return quality
        # Days keep figures and not gaps: the gaps themselves are looked for only if somebody reads them.
        return replace(quality, find_gaps=lambda: gap_report(self.engine, dataset, span).gaps)

    def quality_trend(
        self, dataset: DatasetLike, start: TimeLike | None = None, end: TimeLike | None = None
    ) -> pl.DataFrame:
        """Return the figures of :meth:`quality` as a row for each UTC day.

        Columns: ``day``, ``score``, ``completeness_ratio``, ``expected_records``, ``missing_records``, ``data_gaps``,
        ``quarantined``, ``present_records``, ``duplicates``, ``outliers``, ``stale_prices``, ``zero_volumes``,
        ``crossed_books``, ``judged_books`` (books and quotes with both sides known). What cannot be known is null.
        """
        from ticklake.core.quality import trend_of

        return trend_of(self.quality(dataset, start, end).days)

    def continuity(self, dataset: DatasetLike) -> pl.DataFrame:
        """Return how each committed batch of rows joined the rows before it.

        Columns: ``version`` (the commit), ``start`` and ``end`` (times of its first and last row), ``joins``
        (:class:`~ticklake.core.append_log.Joins`: ``first``, ``touches``, ``jumps``, ``follows``, ``overlaps`` or ``earlier``),
        ``missing`` (bars of the calendar, or trade ids, in between; null where they cannot be counted), ``before_ts`` and
        ``before_id`` (the newest row before), ``first_id``, ``last_id`` (of trades; ``seq`` of books and quotes), ``batches``,
        ``received``, ``new``, ``changed``, ``duplicate``. Vacuum merges old batches that follow each other without a
        jump; jumps are kept for ever.
        """
        from ticklake.catalog.append_log import Batches

        catalog = self.engine.catalog
        return Batches(catalog.database, catalog.pinned).of(known_dataset(self.engine, dataset))

    def export(
        self,
        path: str | Path,
        *,
        layout: str,
        datasets: Sequence[DatasetLike] | None = None,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        overwrite: bool = False,
        watch: Watch = lambda _progress: None,
    ) -> Report:
        """Write rows as files that another program reads; the same again changes nothing.

        Parameters
        ----------
        path
            The folder that becomes the other lake, or grows.
        layout
            ``dccd``, ``dl-datalake`` or ``hive``.
        datasets
            All but derived ones by default; names, or patterns like ``binance:*:BTC/*``.
        start, end
            Rows in ``[start, end)``. A file keeps the time that earlier exports gave it.
        overwrite
            Also replace files that no export wrote.
        watch
            Called after every piece; what it raises ends the work, files are old or new as a whole.

        Returns
        -------
        Report
            File by file; what the layout has no place for is refused, never bent to fit.

        Raises
        ------
        BadInput
            If there is no such layout, a name matches no dataset, or *path* lies inside the lake.
        """
        from ticklake.interchange.exporter import Export, check_place
        from ticklake.interchange.layouts import layout_of
        from ticklake.query.asof import pinned

        target = check_place(as_path("path", path), self.root)
        # One version for all files, as others may write meanwhile.
        work = Export(pinned(self.engine), layout_of(layout), target, Span.parse(start, end), overwrite, watch)
        chosen = matching_datasets(self.engine, datasets)
        if datasets is None:
            # Other layouts name no variant: derived rows would get into the files of collected ones.
            chosen = [dataset for dataset in chosen if dataset.variant is None]
        return work.run(chosen)
