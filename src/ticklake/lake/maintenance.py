"""What keeps a lake whole."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ticklake.core.dataset import Dataset
from ticklake.core.duration import DurationLike, parse_duration
from ticklake.core.span import Span
from ticklake.core.symbol import exchange_id
from ticklake.core.time import TimeLike
from ticklake.engine.vacuum import KEEP
from ticklake.errors import BadInput
from ticklake.lake.base import Base, DatasetLike, as_list, as_path

if TYPE_CHECKING:
    from ticklake.core.progress import Watch
    from ticklake.core.repair_plan import Repaired
    from ticklake.core.results import Backup, Cleanup, Compaction, Problem, Vacuumed
    from ticklake.core.statistics import LakeStats

__all__ = ["Keeping"]


class Keeping(Base):
    """The verbs that keep."""

    def delete(
        self,
        dataset: DatasetLike,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        dry_run: bool = False,
    ) -> int:
        """Remove the rows in ``[start, end)`` and forget that it was covered; return how many went.

        What a source was asked for is ``not_fetched`` from then on: :meth:`repair` brings it back, :meth:`update` does not.
        The dataset itself stays known; :meth:`drop` removes it. Older versions hold the rows until :meth:`vacuum`.

        Parameters
        ----------
        dry_run
            Only count the rows that would go.

        Raises
        ------
        UnknownDataset
            If the lake has no such dataset.
        """
        parsed = self._known(dataset)
        wanted = str(parsed) in self._collector.collected()
        return self.engine.delete(parsed, Span.parse(start, end), wanted=wanted, dry_run=dry_run)

    def drop(self, dataset: DatasetLike, *, dry_run: bool = False) -> int:
        """Remove a dataset with its rows, coverage and refused rows; return how many rows went.

        Older versions (:meth:`at`) hold it until :meth:`vacuum`.

        Parameters
        ----------
        dry_run
            Only count the rows that would go.

        Raises
        ------
        UnknownDataset
            If the lake has no such dataset.
        """
        return self.engine.drop(self._known(dataset), dry_run=dry_run)

    def rename(self, old: DatasetLike, new: DatasetLike) -> int:
        """Move a dataset to another name, with all that is known of it; return how many rows moved.

        Its rows, coverage, continuity, refused rows, revisions, what was asked for and what was asked in vain move, and
        schedules that name it. It is one commit: a reader sees the old name or the new one. Older versions and runs that
        were recorded show the old name.

        Raises
        ------
        UnknownDataset
            If the lake has no dataset *old*.
        BadInput
            If it already has *new*, or if the two hold different things: another kind, or bars of another length. If a
            job that waits or runs names *old*, or a schedule does that cannot follow.
        """
        return self.engine.rename(self._known(old), Dataset.parse(new))

    def stats(self) -> LakeStats:
        """Return how much the lake holds and what that takes: in Parquet files, in the catalog, retired.

        It asks the catalog alone, so it is fast however many files there are.

        Returns
        -------
        LakeStats
            ``datasets``, ``rows``, ``files``, ``bytes``, ``raw_bytes``, ``compression``, ``catalog_bytes``, ``wal_bytes``,
            ``total(name)``, and ``groups``, the same by exchange and kind.
        """
        from ticklake.catalog.statistics import lake_stats

        return lake_stats(self.engine.catalog.database)

    def compact(self, dataset: DatasetLike | None = None) -> list[Compaction]:
        """Make few large files of many small segments.

        Raises
        ------
        CorruptSegment
            If segments are damaged: they are named and left alone, all others are compacted; see :meth:`repair`.
        """
        return self.engine.compact(None if dataset is None else [self._known(dataset)])

    def verify(self, dataset: DatasetLike | None = None, *, deep: bool = False) -> list[Problem]:
        """Return everything that is not as it should be; empty is good."""
        return list(self.engine.verify(None if dataset is None else [self._known(dataset)], deep=deep))

    def repair(
        self,
        what: DatasetLike | None = None,
        *,
        backup: str | Path | None = None,
        fetch: bool = True,
        retry: bool = False,
        watch: Watch = lambda _progress: None,
    ) -> list[Repaired]:
        """Replace what is damaged and close every gap that can be closed; what was found unclosable is asked for once.

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

        some = self._meant(what)
        mended = self.engine.mend(some, None if backup is None else as_path("backup", backup), self._catalog_file)
        if not fetch:
            return [Repaired(one) for one in mended]
        by_dataset = {one.dataset: one for one in mended}
        chosen = [row.dataset for row in self.engine.catalog.datasets()] if some is None else some
        return self._collector.repair([by_dataset.get(one, Mended(one)) for one in chosen], watch, retry=retry)

    def _meant(self, what: DatasetLike | None) -> list[Dataset] | None:
        if what is None:
            return None
        if isinstance(what, str) and ":" not in what:
            name = exchange_id(what)
            return [row.dataset for row in self.engine.catalog.datasets() if row.dataset.exchange == name]
        return [self._known(what)]

    def cleanup(
        self,
        days_to_keep: int | None = None,
        *,
        kinds: Iterable[str] | None = None,
        exchange: str | None = None,
        datasets: Iterable[DatasetLike] | None = None,
        history: bool = False,
        dry_run: bool = False,
    ) -> Cleanup:
        """Remove rows that are older than they are to be kept; the lake remembers that it was on purpose.

        Coverage of the removed time is ``expired``: it is no gap, and neither backfill nor repair asks for it again
        until :meth:`delete` forgets it. Files wait for :meth:`vacuum`: older versions still hold them.

        Parameters
        ----------
        days_to_keep
            Whole days UTC before today, at least 1; by default what the setting ``keep`` says of each kind, and
            kinds that it does not name are kept for ever.
        kinds, exchange, datasets
            Only these.
        history
            Also refused rows and revisions of the removed time, and log lines of runs from before it.
        dry_run
            Only say what would go.

        Raises
        ------
        BadInput
            If nothing says how long anything is kept, or a kind is unknown.
        CorruptSegment
            If a damaged segment had to be cut; everything else was cleaned.
        """
        from ticklake.core.results import Cleanup
        from ticklake.core.retention import days_by_kind, midnight

        keep = days_by_kind(self._keep, days_to_keep, kinds)
        exchange = None if exchange is None else exchange_id(exchange)
        known = (
            [row.dataset for row in self.engine.inventory()]
            if datasets is None
            else [self._known(one) for one in as_list("datasets", datasets)]
        )
        chosen = [one for one in known if one.kind in keep and exchange in {None, one.exchange}]
        rules = [(one, keep[one.kind]) for one in chosen]
        cleaned = tuple(self.engine.cleanup(rules, history=history, dry_run=dry_run))
        oldest = midnight(self.engine.now(), max(keep.values()))
        lines = self.runs.trim_logs(oldest, dry_run=dry_run) if history else 0
        return Cleanup(cleaned, lines, dry_run)

    def vacuum(self, keep: DurationLike = KEEP, *, dry_run: bool = False) -> Vacuumed:
        """Remove versions older than *keep*, and garbage.

        Parameters
        ----------
        keep
            A length of time: ``"7d"`` (the default), ``"24h"``, a timedelta, or 0 to keep the newest version only.
        dry_run
            Only say what would go.

        Raises
        ------
        BadInput
            If *keep* is a small integer, which has no unit.
        """
        return self.engine.vacuum(parse_duration(keep), dry_run=dry_run)

    def backup(self, folder: str | Path) -> Backup:
        """Copy the lake to a folder that is itself a lake; running it again copies what is new."""
        target = as_path("folder", folder)
        if self.root is not None and self.root.resolve() in target.resolve().parents:
            raise BadInput(f"{folder} lies inside the lake: choose a folder of its own")
        return self.engine.backup(target, self._catalog_file)
