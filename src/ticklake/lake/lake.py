"""Lake: the facade. Its methods parse their arguments and call the engine, the collector and the job queue."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import polars as pl

from ticklake.core.coverage import Coverage
from ticklake.core.dataset import Dataset
from ticklake.core.duration import DurationLike
from ticklake.core.selection import parse_count
from ticklake.core.time import TimeLike
from ticklake.engine.engine import Engine
from ticklake.engine.vacuum import KEEP
from ticklake.errors import BadInput, Conflict
from ticklake.lake.arguments import (
    DatasetLike,
    as_path,
    check_tolerance,
    datasets_of,
    known_dataset,
    optional_count,
    present_datasets,
    span_of_interest,
    version_and_time,
)
from ticklake.lake.collecting import Collecting
from ticklake.lake.snapshot import Snapshot

if TYPE_CHECKING:
    from ticklake.alerts.service import Alerts
    from ticklake.collect.broadcast import Subscriber
    from ticklake.collect.collector import Collector
    from ticklake.core.bars import Bars
    from ticklake.core.crosscheck import CrossCheck
    from ticklake.core.instrument import Rename, Sighting
    from ticklake.core.progress import Watch
    from ticklake.core.repair_plan import Repaired
    from ticklake.core.results import Backup, Cleanup, Compaction, DatasetChange, Problem, Rebuilt, Vacuumed
    from ticklake.core.rules import DerivedRule
    from ticklake.core.schedules import Change
    from ticklake.core.statistics import LakeStats
    from ticklake.core.timeframe import Timeframe
    from ticklake.core.verbs import ReadVerbs
    from ticklake.jobs.manifest import Wanted
    from ticklake.jobs.queue import Jobs
    from ticklake.jobs.schedules import Schedules
    from ticklake.lake.admin import Admin
    from ticklake.lake.deriving import Derived
    from ticklake.lake.features import Features
    from ticklake.lake.instruments import LakeInstruments
    from ticklake.lake.streams import Streams
    from ticklake.lake.tokens import Tokens

__all__ = ["Lake"]


class Lake(Collecting):
    """A complete, correct, deduplicated copy of market data.

    Made by :func:`ticklake.open`; use it as a context manager or call :meth:`close`. Frames that come out are
    Polars frames sorted by ``ts``; spans are half-open ``[start, end)``; a naive time means UTC.

    Attributes
    ----------
    runs
        What was executed and how it went: ``runs.list(state="failed")``, ``runs.get(id)``, ``runs.tail(id)``.
    """

    def __init__(
        self,
        engine: Engine,
        collector: Collector,
        root: Path | None,
        catalog_file: str,
        *,
        keep: Mapping[str, int] | None = None,
        rebuild: Callable[[Path, bool], Rebuilt],
        make_queue: Callable[[], tuple[Jobs, Schedules]],
        make_alerts: Callable[[], Alerts],
        make_streams: Callable[[], Streams],
    ) -> None:
        super().__init__(engine, root, collector)
        self._catalog_file = catalog_file
        self._keep = keep or {}
        self._rebuild = rebuild
        # Made on first use: a program that only reads loads neither jobs nor alerts.
        self._make_queue = make_queue
        self._make_alerts = make_alerts
        self._make_streams = make_streams
        self._is_closed = False

    def __repr__(self) -> str:
        return f"Lake({str(self.root or 'in memory')!r})"

    def __enter__(self) -> Lake:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End streams and subscriptions, and close the catalog."""
        self._is_closed = True
        if "streams" in vars(self):
            self.streams.close()
        self.runs.close()
        # A cached property: to read it would load the senders of messages only to close them.
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
        version, time = version_and_time(self.engine, moment)
        return Snapshot(self.engine, self.root, version, time)

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

        known_version = parse_count("version", version, of="versions")
        most = optional_count("limit", limit, of="versions")
        return changes_since(self.engine.catalog.database, known_version, most)

    def repair(
        self,
        what: DatasetLike | None = None,
        *,
        backup: str | Path | None = None,
        fetch: bool = True,
        retry: bool = False,
        watch: Watch = lambda _progress: None,
    ) -> list[Repaired]:
        """Replace what is damaged, and close every gap that can be closed; a gap that cannot be closed is asked for once.

        Damaged segments are taken from a *backup*, or replaced by what can still be read. Then sources are asked for
        what is missing of datasets that were asked for before: what was never fetched, what is lost, and once more for
        what was invalid. No source is asked for what was only imported or saved. Running it again changes nothing.

        Parameters
        ----------
        what
            A dataset, or an exchange for all of its datasets; the whole lake by default.
        fetch
            Whether sources are asked at all.
        retry
            Also ask for what is ``unavailable``, and again for what was asked for in vain.

        Returns
        -------
        list of Repaired
            One for each dataset with something to do or something that stays: ``closed`` gaps, and the ``left`` ones,
            each with why. None if all is well.
        """
        from ticklake.core.repair_plan import Repaired
        from ticklake.core.results import Mended

        datasets = datasets_of(self.engine, what)
        if backup is not None:
            backup = as_path("backup", backup)
        mended = self.engine.mend(datasets, backup, self._catalog_file)
        if not fetch:
            return list(map(Repaired, mended))
        # Datasets without damage may have gaps.
        by_dataset = {dataset: Mended(dataset) for dataset in datasets}
        by_dataset |= {result.dataset: result for result in mended}
        return self._collector.repair(list(by_dataset.values()), watch, retry=retry)

    def cross_check(
        self,
        dataset: DatasetLike,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        source: bool = False,
        tolerance: float = 1e-6,
    ) -> list[CrossCheck]:
        """Compare rows with another record of the same market, and return the differences with both values.

        Bars are compared with those that the lake's trades and shorter bars of the same symbol make: one comparison each,
        of the bars that lie wholly where both sides are complete. Prices must be equal; volumes may differ by
        *tolerance*, relative to the larger.

        Parameters
        ----------
        source
            Ask the exchange again instead, whatever the kind, and compare its answer with the stored rows, most of
            which may have come from files of a dump site. Nothing is stored.

        Returns
        -------
        list of CrossCheck
            Empty if the lake has nothing to compare with.

        Raises
        ------
        SourceError
            With *source*, if the exchange could not be asked.
        """
        from ticklake.audit.crosscheck import complete_spans, rebuilt

        dataset = known_dataset(self.engine, dataset)
        check_tolerance(tolerance)
        span = span_of_interest(self.engine, dataset, start, end)
        if span is None:
            return []
        if source:
            spans = complete_spans(self.engine, dataset, span)
            return [self._collector.cross_check(dataset, spans, tolerance)]
        return list(rebuilt(self.engine, dataset, span, tolerance))

    def apply(self, wanted: Wanted, *, dry_run: bool = False, shown: Sequence[Change] | None = None) -> list[Change]:
        """Make the lake collect what is wanted, and return what had to change; nothing the second time.

        Schedules that an earlier file wanted and this one does not are removed. What the lake holds stays.

        Parameters
        ----------
        wanted
            What ``ticklake.config.load_wanted("collect.toml")`` returns.
        dry_run
            Only say what would change.
        shown
            The changes that a user has seen and agreed to: nothing else is done.

        Raises
        ------
        BadInput
            If a part of it is invalid; nothing is changed then.
        Conflict
            If what had to change is no longer what was *shown*; nothing is changed then.
        """
        from ticklake.jobs.apply import Applying
        from ticklake.jobs.manifest import Wanted

        if not isinstance(wanted, Wanted):
            raise BadInput(f"wanted={wanted!r} is no manifest: pass what ticklake.config.load_wanted(path) returns")
        applying = Applying(self.jobs, self.schedules, self._coverage_if_present, self.engine.now())
        changes = applying.plan(wanted)
        # Effects are compared, not texts: how far a running backfill has come changes all the time.
        if shown is not None and [change.effect for change in changes] != [change.effect for change in shown]:
            raise Conflict("what has to change is no longer what was shown: look at it again")
        if not dry_run:
            applying.apply(changes)
        return changes

    def _coverage_if_present(self, dataset: Dataset) -> Coverage:
        """Return the coverage of a dataset that the lake may have under the unified name of its market; empty if it has none."""
        coverage = Coverage()
        for present in present_datasets(self.engine, [str(dataset)]):
            coverage = self.engine.catalog.coverage(present)
        return coverage

    @cached_property
    def admin(self) -> Admin:
        """Maintenance: ``admin.compact()``, ``admin.verify()``, ``admin.vacuum()``, ``admin.backup(folder)``, ..."""
        from ticklake.lake.admin import Admin

        return Admin(self.engine, self.runs, self.root, self._catalog_file, self._keep, self._rebuild)

    def derive(
        self,
        name: str,
        from_: DatasetLike | Iterable[DatasetLike],
        rule: str | Timeframe | Bars,
        *,
        kind: str | None = None,
        **edges: Any,
    ) -> DerivedRule:
        """Declare a rule: bars that are made of other datasets, stored, and kept up to date by :meth:`derived.refresh <Derived.refresh>`.

        What it makes of ``binance:trades:BTC/USDT`` is the dataset ``binance:ohlcv@NAME:1h:BTC/USDT``, which is read like any other. The same
        rule again changes nothing.

        Parameters
        ----------
        name
            The variant of what is made, like ``from_trades``.
        from_
            Datasets of trades or bars, or patterns like ``binance:trades:*``: those that come later are inputs, too.
        rule
            A timeframe, like ``1h``; or ``100ticks``, ``5volume``, ``1000000dollars``; or a :class:`~ticklake.Bars`.
        kind
            ``ohlcv`` or ``bars``, which have all that :meth:`resample` knows of a bar. By default ``ohlcv`` where that can hold them.
        **edges
            ``closed``, ``origin`` and ``session`` of :class:`~ticklake.Bars`. Bars that end with a trade need a session.

        Raises
        ------
        BadInput
            If there is another rule of that name, the inputs differ in kind, or the rule would read what it makes.
        Unsupported
            If such inputs do not make such bars.
        """
        return self.derived.declare(name, from_, rule, kind=kind, **edges)

    @cached_property
    def derived(self) -> Derived:
        """Datasets made of others: ``derived.list()``, ``derived.refresh()``, ``derived.drop(name)``."""
        from ticklake.lake.deriving import Derived

        return Derived(self.engine)

    @cached_property
    def instruments(self) -> LakeInstruments:
        """What exchanges list and listed: ``instruments.list("binance")``, or ``instruments("binance")`` for short."""
        from ticklake.lake.instruments import LakeInstruments

        return LakeInstruments(self._collector)

    @cached_property
    def features(self) -> Features:
        """Feature sets: ``features.register(...)``, ``features.write(...)``, ``features.materialise(...)``, ``features.join(...)``."""
        from ticklake.lake.features import Features

        return Features(self)

    @cached_property
    def tokens(self) -> Tokens:
        """Who may call a server of this lake: ``tokens.create("dashboard", "read")``, ``tokens.list()``, ``tokens.revoke(name)``."""
        from ticklake.lake.tokens import Tokens

        return Tokens(self.engine.catalog.database, self.engine.now)

    @cached_property
    def streams(self) -> Streams:
        """Live collection: ``streams.start("binance", "BTC/USDT")``, ``streams.status()``, ``streams.stop()``."""
        streams = self._make_streams()
        if self._is_closed:
            streams.close()
        return streams

    def subscribe(
        self, *patterns: str, since: int | None = None, most_rows: int = 100_000, committed: bool = False
    ) -> Subscriber:
        """Return new rows of datasets as they come, whichever process collects them: :meth:`Streams.subscribe`."""
        return self.streams.subscribe(*patterns, since=since, most_rows=most_rows, committed=committed)

    def latest(self, dataset: DatasetLike, count: int = 1) -> pl.DataFrame:
        """Return the newest *count* rows of a dataset: from memory if this process collects it live, else from the lake.

        Rows in memory include those that wait for their commit. After a hole, memory begins anew, and the lake answers.

        Raises
        ------
        UnknownDataset
            If the lake has no such dataset.
        """
        return self.latest_with_source(dataset, count)[0]

    def latest_with_source(self, dataset: DatasetLike, count: int = 1) -> tuple[pl.DataFrame, str]:
        """Return what :meth:`latest` returns, and where all of it was: in the ``cache``, ``inline`` in the catalog, or in ``files``."""
        from ticklake.query.latest import latest

        count = parse_count("count", count, 1)
        if "streams" in vars(self):
            named = Dataset.parse(dataset)
            newest = self.streams.newest(named, count)
            if newest is not None:
                return newest, "cache"
        return latest(self.engine, known_dataset(self.engine, dataset), count)

    def _live_rows(self, dataset: Dataset) -> pl.DataFrame | None:
        if "streams" in vars(self):
            return self.streams.rows(dataset)
        return None

    def _forget_live_rows(self, dataset: Dataset) -> None:
        if "streams" in vars(self):
            self.streams.forget(dataset)

    @property
    def jobs(self) -> Jobs:
        """What is to be done: ``jobs.create("backfill", "binance", "BTC/USDT", "1h")``, ``jobs.list(state="active")``.

        ``ticklake worker`` does it, or ``jobs.start(id)`` in this process.
        """
        return self._queue[0]

    @property
    def schedules(self) -> Schedules:
        """What is done again and again: ``schedules.add("bars", "update", cron="5 * * * *")``.

        ``ticklake daemon`` makes a job of each whenever its time has come, and does it.
        """
        return self._queue[1]

    @cached_property
    def alerts(self) -> Alerts:
        """What is wrong, and who is told: ``alerts.check()``, ``alerts.known()``, ``alerts.test()``."""
        return self._make_alerts()

    @cached_property
    def _queue(self) -> tuple[Jobs, Schedules]:
        return self._make_queue()

    # Short names of methods of the namespaces: what users of the first versions wrote, and docs/reference lists. They are written
    # out, because to inherit them would load every namespace with each lake, and to make them would hide them from editors.

    def stats(self) -> LakeStats:
        """Return how much the lake holds and how much space that takes: :meth:`Admin.stats`."""
        return self.admin.stats()

    def compact(self, dataset: DatasetLike | Iterable[DatasetLike] | None = None) -> list[Compaction]:
        """Make few large files of many small segments: :meth:`Admin.compact`."""
        return self.admin.compact(dataset)

    def verify(
        self, dataset: DatasetLike | Iterable[DatasetLike] | None = None, *, deep: bool = False
    ) -> list[Problem]:
        """Return the problems of segments; an empty list is good: :meth:`Admin.verify`."""
        return self.admin.verify(dataset, deep=deep)

    def vacuum(self, keep: DurationLike = KEEP, *, dry_run: bool = False) -> Vacuumed:
        """Remove versions older than *keep*, and garbage: :meth:`Admin.vacuum`."""
        return self.admin.vacuum(keep, dry_run=dry_run)

    def backup(self, folder: str | Path) -> Backup:
        """Copy the lake to a folder that becomes a lake itself: :meth:`Admin.backup`."""
        return self.admin.backup(folder)

    def rebuild(self, *, force: bool = False) -> Rebuilt:
        """Make a new catalog from the old one and from the files: :meth:`Admin.rebuild`."""
        return self.admin.rebuild(force=force)

    def cleanup(
        self,
        days_to_keep: int | None = None,
        *,
        kinds: str | Iterable[str] | None = None,
        exchange: str | None = None,
        datasets: Iterable[DatasetLike] | None = None,
        history: bool = False,
        dry_run: bool = False,
    ) -> Cleanup:
        """Remove rows that are older than they are to be kept: :meth:`Admin.cleanup`."""
        return self.admin.cleanup(
            days_to_keep, kinds=kinds, exchange=exchange, datasets=datasets, history=history, dry_run=dry_run
        )

    def refresh_instruments(self, exchange: str) -> Sighting:
        """Ask an exchange what it lists now: :meth:`LakeInstruments.refresh`."""
        return self.instruments.refresh(exchange)

    def rename_instrument(self, exchange: str, old: str, new: str, at: TimeLike) -> Rename:
        """Remember that a symbol goes on under another name: :meth:`LakeInstruments.rename`."""
        return self.instruments.rename(exchange, old, new, at)


if TYPE_CHECKING:

    def _keep_the_verbs(lake: Lake, snapshot: Snapshot) -> tuple[ReadVerbs, ReadVerbs]:
        return lake, snapshot
