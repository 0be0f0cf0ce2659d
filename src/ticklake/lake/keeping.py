"""What keeps a lake whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ticklake.core.dataset import Dataset
from ticklake.core.span import Span
from ticklake.core.time import TimeLike
from ticklake.engine.vacuuming import KEEP
from ticklake.lake.base import Base, DatasetLike

if TYPE_CHECKING:
    from ticklake.engine.backing_up import Backup
    from ticklake.engine.compacting import Compaction
    from ticklake.engine.vacuuming import Vacuumed
    from ticklake.engine.verifying import Problem
    from ticklake.ingest.collector import Repaired
    from ticklake.ingest.progress import Watch

__all__ = ["Keeping"]


class Keeping(Base):
    """The verbs that keep."""

    def delete(self, dataset: DatasetLike, start: TimeLike | None = None, end: TimeLike | None = None) -> int:
        """Remove the rows in ``[start, end)`` and forget that it was covered; return how many went."""
        return self.engine.delete(Dataset.parse(dataset), Span.parse(start, end))

    def compact(self, dataset: DatasetLike | None = None) -> list[Compaction]:
        """Make few large files of many small segments.

        Raises
        ------
        CorruptSegment
            If segments are damaged: they are named and left alone, all others are compacted; see :meth:`repair`.
        """
        return self.engine.compact(None if dataset is None else [Dataset.parse(dataset)])

    def verify(self, dataset: DatasetLike | None = None, *, deep: bool = False) -> list[Problem]:
        """Return everything that is not as it should be; empty is good."""
        return list(self.engine.verify(None if dataset is None else [Dataset.parse(dataset)], deep=deep))

    def repair(
        self,
        dataset: DatasetLike | None = None,
        *,
        backup: str | Path | None = None,
        fetch: bool = True,
        watch: Watch = lambda _progress: None,
    ) -> list[Repaired]:
        """Replace what is damaged: from a *backup*, by what can still be read, and by asking the source again.

        Returns
        -------
        list of Repaired
            One for each dataset that had damaged segments; none if all is well. Spans that stay without their rows are
            ``lost`` in :meth:`gaps`, with the name of the segment that held them.
        """
        from ticklake.ingest.collector import Repaired

        some = None if dataset is None else [Dataset.parse(dataset)]
        mended = self.engine.mend(some, None if backup is None else Path(backup), self._catalog_file)
        return [self._collector.refetch(one, watch) if fetch else Repaired(one) for one in mended]

    def vacuum(self, keep: int = KEEP) -> Vacuumed:
        """Remove versions older than *keep* nanoseconds (7 days), and garbage."""
        return self.engine.vacuum(keep)

    def backup(self, folder: str | Path) -> Backup:
        """Copy the lake to a folder that is itself a lake; running it again copies what is new."""
        return self.engine.backup(Path(folder), self._catalog_file)
