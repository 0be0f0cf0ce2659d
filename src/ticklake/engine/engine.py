"""The engine: one class with every operation on the rows of a lake.

Modules that are seldom used are imported on use, so that a lake opens fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, TypeVar, cast

import polars as pl

from ticklake.catalog.catalog import Catalog
from ticklake.catalog.changes import Change, DatasetRow
from ticklake.core.batch import Records, canonical_all
from ticklake.core.coverage import Coverage, Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import BUILT_IN, PROVENANCE, KindRegistry
from ticklake.core.knowledge import NO_LAG, Lags
from ticklake.core.provenance import Provenance
from ticklake.core.results import Cleaned, Compaction, Mended, Problem, Receipt, Vacuumed
from ticklake.core.selection import parse_columns, parse_count
from ticklake.core.sessions import Sessions
from ticklake.core.span import ALL_TIME, Span, common, normalise
from ticklake.engine.append import append
from ticklake.engine.block_cache import BlockCache
from ticklake.engine.incoming import Incoming
from ticklake.engine.read import chunks, count_rows, load, scan
from ticklake.engine.recent import RecentRows
from ticklake.engine.store import Store, no_folder
from ticklake.engine.vacuum import KEEP, vacuum, would_vacuum
from ticklake.errors import DiskFull, TicklakeError
from ticklake.storage.objects import ObjectStore
from ticklake.storage.space import Reserve, is_full

__all__ = ["Engine", "known_span"]

T = TypeVar("T")
_ATTEMPTS_ON_FULL_DISK = 8
"""How often an operation that frees space is repeated on a full disk: each attempt frees some."""


class Engine:
    """Storage and catalog together.

    Parameters
    ----------
    catalog, objects
        The catalog, and the store of the files.
    now
        The clock, in nanoseconds UTC.
    tool
        Name and version, written to every file.
    sessions
        When markets are closed; never, by default.
    check_space
        Called before an append; raises if the disk is nearly full. Operations that free space do not call it.
    reserve
        Disk space that is given up to operations that free space, if there is no other.
    kinds
        The kinds of the lake: the built-in ones, by default.
    open_folder
        Opens the object store in a folder: that of a backup.
    recent
        The rows of segments that this process wrote; none, by default.
    blocks
        The parts of files that this process read often; none, by default.
    lags
        How long after it happened a row is known that was not received live; see :mod:`~ticklake.core.knowledge`.
    """

    def __init__(
        self,
        catalog: Catalog,
        objects: ObjectStore,
        now: Callable[[], int],
        tool: str,
        sessions: Sessions | None = None,
        check_space: Callable[[], None] = lambda: None,
        reserve: Reserve | None = None,
        kinds: KindRegistry = BUILT_IN,
        open_folder: Callable[[Path], ObjectStore] = no_folder,
        recent: RecentRows | None = None,
        blocks: BlockCache | None = None,
        lags: Lags = NO_LAG,
    ) -> None:
        self.catalog = catalog
        self.lags = lags
        self.objects = objects
        self.sessions = sessions or Sessions()
        self.now = now
        self._check_space = check_space
        self._reserve = reserve
        # An empty cache counts as false: it is compared with None.
        if recent is None:
            recent = RecentRows()
        if blocks is None:
            blocks = BlockCache()
        self.store = Store(catalog, objects, now, tool, kinds, open_folder, recent, blocks)
        self._derived: dict[str, tuple[int, Any]] = {}

    def at(self, version: int, moment: int) -> Engine:
        """Return an engine that reads the lake as of *version*; *moment* is its current time.

        Raises
        ------
        CatalogError
            If *version* was vacuumed.
        """
        from ticklake.catalog.pinned import PinnedCatalog

        catalog = PinnedCatalog(self.catalog, version)
        catalog.refuse_vacuumed()
        store = self.store
        # Snapshots write nothing: they need neither the reserve nor the check of free space.
        return Engine(
            catalog,
            self.objects,
            lambda: moment,
            store.tool,
            self.sessions,
            kinds=store.kinds,
            open_folder=store.open_folder,
            # A segment never changes: its rows are the same in each version.
            recent=store.recent,
            blocks=store.blocks,
            lags=self.lags,
        )

    def cached(self, name: str, make: Callable[[int], T]) -> T:
        """Return what *make* derives from the newest version; it is called once for each version, the last result is kept."""
        version = self.catalog.version()
        entry = self._derived.get(name)
        if entry is None or entry[0] != version:
            entry = (version, make(version))
            self._derived[name] = entry
        return cast("T", entry[1])

    def append(
        self,
        dataset: Dataset,
        data: Records,
        provenance: Provenance,
        coverage: Sequence[Covered] = (),
        now: int | None = None,
        observed_at: int | None = None,
    ) -> Receipt:
        """Add rows durably; the same rows again change nothing.

        Parameters
        ----------
        now
            The source's clock, if known.
        observed_at
            When the source was asked, by the lake's clock: rows that were observed later stay. Without it these
            rows are the newest.
        """
        return self.append_all([(dataset, data)], provenance, coverage, now, observed_at)[0]

    def append_all(
        self,
        items: Iterable[tuple[Dataset, Records]],
        provenance: Provenance,
        coverage: Sequence[Covered] = (),
        now: int | None = None,
        observed_at: int | None = None,
    ) -> list[Receipt]:
        """Add rows to many datasets in one commit: all of them are durable when this returns, or none is."""
        self._check_space()
        each = [(dataset, data, provenance, coverage) for dataset, data in items]
        return append(self.store, self._incoming(each, observed_at), self._now_or(now))

    def check_space(self) -> None:
        """Raise if so little of the disk is free that nothing is appended.

        Raises
        ------
        DiskAlmostFull, DiskTooSmall
        """
        self._check_space()

    def append_each(self, items: Iterable[tuple[Dataset, Records, Provenance, Sequence[Covered]]]) -> list[Receipt]:
        """Add rows to many datasets in one commit like :meth:`append_all`, each with its own provenance and coverage."""
        self._check_space()
        return append(self.store, self._incoming(list(items)), self.store.now())

    def _incoming(
        self, items: Sequence[tuple[Dataset, Records, Provenance, Sequence[Covered]]], observed_at: int | None = None
    ) -> list[Incoming]:
        """Return what is to be appended as canonical rows."""
        items = [(self.catalog.with_kind(dataset), *rest) for dataset, *rest in items]
        records = [(data, dataset.spec) for dataset, data, _, _ in items]
        origins = [self.catalog.provenance_id(origin) for _, _, origin, _ in items]
        batches: list[Incoming] = []
        for (dataset, _, origin, coverage), frame in zip(items, canonical_all(records, origins), strict=True):
            batches.append(Incoming(dataset, frame, origin, tuple(coverage), observed_at))
        return batches

    def _now_or(self, now: int | None) -> int:
        """Return the source's clock, if it is known, or that of the lake."""
        if now is None:
            return self.store.now()
        return now

    def scan(self, dataset: Dataset, span: Span = ALL_TIME, *, provenance: bool = False) -> pl.LazyFrame:
        """Return a lazy frame pinned to one version."""
        return scan(self.store, dataset, span, provenance=provenance)

    def chunks(
        self,
        dataset: Dataset,
        span: Span = ALL_TIME,
        *,
        columns: Sequence[str] | None = None,
    ) -> Iterator[pl.DataFrame]:
        """Yield the rows of one version in order, in frames of whole instants that together need little memory."""
        return chunks(self.store, dataset, span, columns=columns)

    def stretches(self, dataset: Dataset, span: Span = ALL_TIME) -> list[Span]:
        """Return the parts of *span* that segments extend over: outside of them there are no rows."""
        segments = self.store.view(dataset, span, data=False).segments
        return common(normalise(segment.span for segment in segments), [span])

    def load(
        self,
        dataset: Dataset,
        span: Span = ALL_TIME,
        *,
        columns: str | Sequence[str] | None = None,
        last: int | None = None,
        provenance: bool = False,
    ) -> pl.DataFrame:
        """Return the rows inside *span*, sorted; with *last*, only that many from the end.

        Raises
        ------
        InvalidData
            If a column is not one of the kind's.
        """
        dataset = self.catalog.with_kind(dataset)
        names = parse_columns(dataset.spec, columns)
        if names is not None and provenance and PROVENANCE not in names:
            # The option asks for the column already: it need not be named as well.
            names.append(PROVENANCE)
        if last is not None:
            last = parse_count("last", last)
        return load(self.store, dataset, span, columns=names, last=last, provenance=provenance)

    def inventory(self) -> list[DatasetRow]:
        """Return every dataset with its summary."""
        rows = self.catalog.datasets()
        if self.catalog.pinned is None:
            return rows
        return list(map(self._counted, rows))

    def listing(self) -> Sequence[Sequence[Any]]:
        """Return name, rows, bytes, times of the first and the last row, and number of files of every dataset, sorted by name."""
        listed = self.catalog.inventory()
        if self.catalog.pinned is None:
            return listed
        counted = {str(row.dataset): row.rows for row in self.inventory()}
        return [(name, counted[name], *others) for name, _, *others in listed]

    def _counted(self, row: DatasetRow) -> DatasetRow:
        """Return a dataset's row with its rows counted: the catalog has no sums for older versions."""
        return replace(row, rows=count_rows(self.store, self.store.view(row.dataset)))

    def provenance(self, dataset: Dataset, span: Span) -> list[Provenance]:
        """Return the origins of the rows inside *span*; empty if there are none."""
        rows = self.scan(dataset, span, provenance=True).select(PROVENANCE).unique().collect(engine="streaming")
        origins = self.catalog.provenances()
        return [origins[number] for number in rows[PROVENANCE].unique().sort().to_list()]

    def delete(self, dataset: Dataset, span: Span, *, wanted: bool = False, dry_run: bool = False) -> int:
        """Remove the rows inside *span*; return how many were removed, or would be with *dry_run*.

        If the dataset is *wanted*, the part of the span that was known is ``not_fetched`` from then on.
        """
        from ticklake.engine.delete import DELETED, delete, would_delete

        if dry_run:
            return would_delete(self.store, dataset, span).rows
        coverage: list[Covered] = []
        if wanted:
            known = self.known(dataset)
            if known is not None and (part := known.intersect(span)) is not None:
                coverage.append(Covered(part, Found.NOT_FETCHED, DELETED))
        return delete(self.store, dataset, span, coverage).rows

    def drop(self, dataset: Dataset, *, dry_run: bool = False) -> int:
        """Remove a dataset from the newest version on; return how many rows were removed, or would be with *dry_run*."""
        from ticklake.engine.delete import drop, would_delete

        if dry_run:
            return would_delete(self.store, dataset, ALL_TIME).rows
        return drop(self.store, dataset).rows

    def cleanup(
        self, keep: Iterable[tuple[Dataset, int]], *, history: bool = False, dry_run: bool = False
    ) -> Iterator[Cleaned]:
        """Remove what is older than the days each dataset is kept for; see :func:`~ticklake.engine.retention.cleanup`."""
        from ticklake.engine.retention import cleanup

        rules = list(keep)
        for attempt in count(1):
            try:
                yield from cleanup(self.store, rules, history=history, dry_run=dry_run)
                break
            except TicklakeError as error:
                if not self._makes_space(error, attempt):
                    raise
        self._fill_reserve()

    def compact(self, datasets: Iterable[Dataset] | None = None) -> list[Compaction]:
        """Rewrite many small segments as few large files.

        Raises
        ------
        CorruptSegment
            If segments are damaged; they are named, and everything else is compacted.
        """
        from ticklake.engine.compact import compact_all

        return compact_all(self.store, self._chosen(datasets))

    def verify(self, datasets: Iterable[Dataset] | None = None, *, deep: bool = False) -> Iterator[Problem]:
        """Yield every problem found."""
        from ticklake.engine.verify import verify, verify_lake

        if datasets is None:
            yield from verify_lake(self.store, deep=deep)
            return
        for dataset in self.catalog.with_kinds(datasets):
            yield from verify(self.store, dataset, deep=deep)

    def vacuum(self, keep: int = KEEP, *, dry_run: bool = False) -> Vacuumed:
        """Remove versions older than *keep* nanoseconds, and garbage; with *dry_run*, only return what would be removed."""
        if dry_run:
            return would_vacuum(self.store, keep)
        for attempt in count(1):
            try:
                done = vacuum(self.store, keep)
                break
            except TicklakeError as error:
                if not self._makes_space(error, attempt):
                    raise
        self._fill_reserve()
        return done

    def mend(
        self, datasets: Iterable[Dataset] | None = None, backup: Path | None = None, name: str = ""
    ) -> list[Mended]:
        """Replace damaged segments by those of the *backup* whose catalog has this *name*, or by what can be read of them."""
        from ticklake.engine.backup import opened_copy
        from ticklake.engine.salvage import mend

        with nullcontext() if backup is None else opened_copy(self.store, backup, name) as copy:
            mended = [mend(self.store, dataset, copy) for dataset in self._chosen(datasets)]
        return [result for result in mended if result.restored or result.replaced]

    def known(self, dataset: Dataset) -> Span | None:
        """Return the span of everything that the lake holds or covers of *dataset* or was asked for; ``None`` if nothing.

        It is the default span of gaps, quality, repairs and alerts.
        """
        return known_span(dataset, self.catalog.dataset(dataset), self.catalog.coverage(dataset))

    def want(self, dataset: Dataset, span: Span, final: int | None = None) -> None:
        """Record that *span* is asked for: its rows are ``not_fetched`` until a source was asked.

        It is a commit, so that gaps, quality and snapshots agree on it, even if the process that asks is killed.

        Parameters
        ----------
        final
            The time up to which rows can be final, if the source tells its time. Spans after it, which a clock ahead of the
            source's asked for, are no longer asked for.
        """
        coverage = self.catalog.coverage(dataset)
        piece = Covered(span, Found.NOT_FETCHED)
        forget: list[Span] = []
        if final is not None:
            forget = common(coverage.spans(Found.NOT_FETCHED), [Span(final, ALL_TIME.end)])
        # Otherwise each update of a dataset that is up to date would add a version.
        if forget or coverage.add(piece) != coverage:
            self.store.commit("ask", Change(dataset, coverage=(piece,), forget=tuple(forget)))

    def _makes_space(self, error: TicklakeError, attempt: int) -> bool:
        """Give up the reserve and shorten the log if the disk is full; return whether another attempt can succeed."""
        if self._reserve is None or attempt > _ATTEMPTS_ON_FULL_DISK:
            return False
        # SQLite reports a full disk in several ways: as a failed read or write, too.
        if not isinstance(error, DiskFull) and not is_full(self._reserve.path.parent):
            return False
        self._reserve.give()
        # The log holds pages that are in the file already: on a full disk that is space, too.
        self.catalog.database.shorten_log()
        return True

    def _fill_reserve(self) -> None:
        if self._reserve is not None:
            self._reserve.fill()

    def _chosen(self, datasets: Iterable[Dataset] | None) -> list[Dataset]:
        """Return *datasets*, or all of the lake for ``None``."""
        if datasets is not None:
            return self.catalog.with_kinds(datasets)
        return [row.dataset for row in self.catalog.datasets()]


def known_span(dataset: Dataset, row: DatasetRow | None, coverage: Coverage) -> Span | None:
    """Return the span of a dataset's rows and coverage together; ``None`` if there are neither."""
    reach = coverage.reach
    if row is None or row.min_ts is None or row.max_ts is None:
        return reach
    stored = Span(row.min_ts, dataset.row_end(row.max_ts))
    if reach is None:
        return stored
    return stored.hull(reach)
