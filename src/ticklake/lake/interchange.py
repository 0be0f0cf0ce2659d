"""What goes between this lake and those of other programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ticklake.core.dataset import Dataset
from ticklake.core.span import Span
from ticklake.core.time import TimeLike
from ticklake.errors import BadInput
from ticklake.lake.base import Base, DatasetLike, View, as_list, as_path

if TYPE_CHECKING:
    from ticklake.core.file_reports import Report
    from ticklake.core.progress import Watch

__all__ = ["Exporting", "Moving"]


class Moving(Base):
    """The verbs that bring in other lakes and write them."""

    def import_lake(
        self,
        path: str | Path,
        layout: str | None = None,
        *,
        symbols: Mapping[str, str] | None = None,
        dry_run: bool = False,
        watch: Watch = lambda _progress: None,
    ) -> Report:
        """Bring in what another program's lake holds; that lake is only read. The same again changes nothing.

        Parameters
        ----------
        path
            The other lake's folder.
        layout
            ``dccd``, ``dl-datalake`` or ``hive``; guessed from the names of the files if not given.
        symbols
            Our symbols by names there that do not say which market they are, like
            ``{"FUTURE/BTCUSDT": "BTC/USDT:USDT"}``; the report names those that need it.
        dry_run
            Only say what would be read.
        watch
            Called after every committed piece; what it raises ends the work, what was committed stays.

        Returns
        -------
        Report
            File by file: rows, how many were new, and why a file was refused or could not be read.

        Raises
        ------
        BadInput
            If there is no such folder or layout, or no layout knows its files.
        """
        from ticklake.interchange.importer import Import
        from ticklake.interchange.layouts import guess_layout, layout_of

        root = as_path("path", path)
        known = guess_layout(root) if layout is None else layout_of(layout)
        work = Import(self.engine, self.runs, known, root, symbols or {}, watch)
        return work.plan() if dry_run else work.run()


class Exporting(View):
    """The verb that writes rows for other programs, outside the lake."""

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
            All by default; names, or patterns like ``binance:*:BTC/*``.
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

        root = check_place(as_path("path", path), self.root)
        version = self.engine.catalog.version()
        work = Export(self.engine, layout_of(layout), root, Span.parse(start, end), version, overwrite, watch)
        return work.run(self._chosen(datasets))

    def _chosen(self, names: Sequence[DatasetLike] | None) -> list[Dataset]:
        """Return the datasets that names or patterns mean, each once."""
        known = {name: Dataset.parse(name) for name, *_ in self.engine.catalog.inventory()}
        chosen: dict[str, Dataset] = known if names is None else {}
        for name in map(str, as_list("datasets", names or ())):
            found = {text: known[text] for text in known if known[text].matches(name)}
            if not found:
                raise BadInput(f"the lake has no {name}: 'ticklake list' shows what it holds")
            chosen = chosen | found
        return list(chosen.values())
