"""The namespace ``lake.admin``: maintenance of a lake's files and catalog."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ticklake.catalog.runs import Runs
from ticklake.core.dataset import Dataset
from ticklake.core.duration import DurationLike, parse_duration
from ticklake.core.results import Cleanup
from ticklake.core.selection import parse_count, parse_names
from ticklake.engine.engine import Engine
from ticklake.engine.vacuum import KEEP
from ticklake.errors import BadInput, TicklakeError
from ticklake.lake.arguments import (
    DatasetLike,
    all_datasets,
    as_list,
    as_path,
    known_dataset,
    known_exchange,
    optional_count,
)

if TYPE_CHECKING:
    from ticklake.core.audit_log import AuditEntry
    from ticklake.core.results import Backup, Compaction, Problem, Rebuilt, Vacuumed
    from ticklake.core.statistics import LakeStats

__all__ = ["Admin"]


class Admin:
    """Maintenance of a lake: ``lake.admin.compact()``, ``lake.admin.verify(deep=True)``, ...

    Parameters
    ----------
    root
        The lake's folder; ``None`` if it is in memory.
    catalog_file
        The name of the catalog's file.
    keep
        The retention of each kind in days: the setting ``keep``.
    rebuild
        Called with the folder and *force* to make a new catalog.
    """

    def __init__(
        self,
        engine: Engine,
        runs: Runs,
        root: Path | None,
        catalog_file: str,
        keep: Mapping[str, int],
        rebuild: Callable[[Path, bool], Rebuilt],
    ) -> None:
        self._engine = engine
        self._runs = runs
        self._root = root
        self._catalog_file = catalog_file
        self._keep = keep
        self._rebuild = rebuild

    def stats(self) -> LakeStats:
        """Return how much the lake holds and how much space that takes: in Parquet files, in the catalog, retired.

        Only the catalog is read, so it is fast however many files there are.

        Returns
        -------
        LakeStats
            ``datasets``, ``rows``, ``files``, ``bytes``, ``raw_bytes``, ``compression``, ``catalog_bytes``, ``wal_bytes``,
            ``total(name)``, and ``groups``, the same by exchange and kind.
        """
        from ticklake.catalog.statistics import lake_stats

        return lake_stats(self._engine.catalog.database)

    def compact(self, dataset: DatasetLike | Iterable[DatasetLike] | None = None) -> list[Compaction]:
        """Make few large files of many small segments: of one dataset, several, or all. Order books get checkpoints.

        Raises
        ------
        CorruptSegment
            If segments are damaged: they are named and left alone, all others are compacted; see :meth:`Lake.repair`.
        """
        datasets = self._datasets("dataset", dataset)
        done = self._engine.compact(datasets)
        if datasets is None:
            datasets = all_datasets(self._engine)
        books = [dataset for dataset in datasets if dataset.kind == "book"]
        if books:
            from ticklake.query.book_checkpoints import write_checkpoints

            for dataset in books:
                # Without checkpoints a book is the same: what prevents them, like a damaged file, is no error of the compaction.
                with suppress(TicklakeError):
                    write_checkpoints(self._engine, dataset)
        return done

    def verify(
        self, dataset: DatasetLike | Iterable[DatasetLike] | None = None, *, deep: bool = False
    ) -> list[Problem]:
        """Check that every segment is there and is what was written; return the problems found.

        Parameters
        ----------
        dataset
            One or several; by default all, with the catalog and files that it does not name.
        deep
            Decode every value again, too.
        """
        problems = list(self._engine.verify(self._datasets("dataset", dataset), deep=deep))
        if dataset is None and not problems:
            self._note("verify")
        return problems

    def vacuum(self, keep: DurationLike = KEEP, *, dry_run: bool = False) -> Vacuumed:
        """Remove versions older than *keep*, and garbage.

        Parameters
        ----------
        keep
            A length of time: ``"7d"`` (the default), ``"24h"``, a timedelta, or 0 to keep the newest version only.
        dry_run
            Only say what would be removed.

        Raises
        ------
        BadInput
            If *keep* is a small integer, which has no unit.
        """
        done = self._engine.vacuum(parse_duration(keep), dry_run=dry_run)
        if not dry_run:
            from ticklake.query.book_checkpoints import sweep

            sweep(self._engine)
        return done

    def backup(self, folder: str | Path) -> Backup:
        """Copy the lake as it is now to a folder that becomes a lake itself; running it again copies only what is new.

        Raises
        ------
        BadInput
            If the folder lies inside the lake, or holds something else.
        """
        from ticklake.engine.backup import backup

        target = as_path("folder", folder)
        if self._root is not None and self._root.resolve() in target.resolve().parents:
            raise BadInput(f"{folder} lies inside the lake: choose a folder of its own")
        done = backup(self._engine.store, target, self._catalog_file)
        self._note("backup")
        return done

    def last_done(self) -> dict[str, int]:
        """Return when the lake was last backed up (``backup``) and last verified as sound (``verify``), if it ever was; in nanoseconds."""
        from ticklake.storage.upkeep import last_done

        if self._root is None:
            return {}
        return last_done(self._root / self._catalog_file)

    def _note(self, what: str) -> None:
        from ticklake.storage.upkeep import note_done

        if self._root is not None:
            note_done(self._root / self._catalog_file, what, self._engine.now())

    def rebuild(self, *, force: bool = False) -> Rebuilt:
        """Make a new catalog from what can be read of the old one and from the files; the old one is kept beside it.

        This lake and all others that have it open go on in the new catalog. A catalog that cannot be opened at all is
        rebuilt by ``ticklake rebuild``.

        Parameters
        ----------
        force
            Rebuild a catalog that is sound, too.

        Raises
        ------
        BadInput
            If the catalog is sound, unless *force* is true, or if the lake is in memory.
        """
        if self._root is None:
            raise BadInput("a lake in memory has no files to rebuild its catalog from")
        return self._rebuild(self._root, force)

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
        """Remove rows that are older than they are to be kept; the lake remembers that it was on purpose.

        Coverage of the removed time is ``expired``: it is no gap, and neither backfill nor repair asks for it again
        until :meth:`Lake.delete` forgets it. Files wait for :meth:`vacuum`: older versions still hold them.

        Parameters
        ----------
        days_to_keep
            Whole days UTC before today, at least 1; by default what the setting ``keep`` says of each kind, and
            kinds that it does not name are kept for ever.
        kinds, exchange, datasets
            Only these; of kinds one, or several in a list.
        history
            Also remove refused rows and revisions of that time, and log lines of runs from before it.
        dry_run
            Only say what would be removed.

        Raises
        ------
        BadInput
            If nothing says how long anything is kept, or a kind is unknown.
        UnknownDataset
            If the lake has nothing of *exchange*, or no dataset of a name.
        CorruptSegment
            If a damaged segment had to be cut; everything else was cleaned.
        """
        from ticklake.core.retention import days_by_kind, midnight

        chosen_kinds = None
        if kinds is not None:
            chosen_kinds = parse_names("kinds", kinds)
        days = days_by_kind(self._keep, days_to_keep, chosen_kinds)
        if exchange is not None:
            exchange = known_exchange(self._engine, exchange)
        chosen = self._datasets("datasets", datasets)
        if chosen is None:
            chosen = all_datasets(self._engine)
        if exchange is not None:
            chosen = [dataset for dataset in chosen if dataset.exchange == exchange]
        if days_to_keep is not None and kinds is None:
            # Without kinds all rows are meant, those of kinds that the lake declares, too.
            days = {**days, **dict.fromkeys((dataset.kind for dataset in chosen), days_to_keep)}
        rules = [(dataset, days[dataset.kind]) for dataset in chosen if dataset.kind in days]
        cleaned = tuple(self._engine.cleanup(rules, history=history, dry_run=dry_run))
        log_lines = 0
        if history:
            # Log lines belong to no kind: they are kept as long as the kind that is kept longest.
            oldest = midnight(self._engine.now(), max(days.values()))
            log_lines = self._runs.trim_logs(oldest, dry_run=dry_run)
        return Cleanup(cleaned, log_lines, dry_run)

    def audit_log(self, last: int = 100, *, before: int | None = None) -> list[AuditEntry]:
        """Return the newest entries of the audit log of this lake's servers, the last one first.

        Parameters
        ----------
        last
            How many.
        before
            The ``id`` of an entry: return those before it.

        Returns
        -------
        list of AuditEntry
            A request that changed something, a sign-in, or a refusal: ``at`` (ns UTC), ``caller``, ``role``, ``address``, ``method``,
            ``path``, ``status``, ``detail`` (like ``job 12``), and ``count``, how many such requests it stands for.
        """
        from ticklake.catalog.audit_log import AuditLog

        limit = parse_count("last", last, 1, of="entries")
        return AuditLog(self._engine.catalog.database).newest(limit, optional_count("before", before, of="entries"))

    def _datasets(self, argument: str, names: DatasetLike | Iterable[DatasetLike] | None) -> list[Dataset] | None:
        """Return the datasets whose names the caller passed as *argument*, or ``None`` for all."""
        if names is None:
            return None
        return [known_dataset(self._engine, name) for name in as_list(argument, names)]
