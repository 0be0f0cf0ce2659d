"""Writer: the methods that change the rows of a lake."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ticklake.core.dataset import Dataset, refuse_derived
from ticklake.core.provenance import Provenance
from ticklake.core.span import Span
from ticklake.core.symbol import Symbol, exchange_id
from ticklake.core.time import TimeLike
from ticklake.engine.engine import Engine
from ticklake.errors import BadInput, TicklakeWarning
from ticklake.lake.arguments import DatasetLike, as_items, as_list, as_path, as_provenance, known_dataset
from ticklake.lake.view import View

if TYPE_CHECKING:
    from ticklake.collect.collector import Collector
    from ticklake.core.batch import Records
    from ticklake.core.file_reports import FileReport, Report
    from ticklake.core.native_ids import MarketList
    from ticklake.core.progress import Watch
    from ticklake.core.results import Receipt
    from ticklake.files.mapping import Mapping as FileMapping

__all__ = ["Writer"]


class Writer(View):
    """The data of a lake, for reading and writing: rows of one's own, files, other programs' lakes."""

    def __init__(self, engine: Engine, root: Path | None, collector: Collector) -> None:
        super().__init__(engine, root)
        self.runs = collector.runs
        self._collector = collector

    def save(self, dataset: DatasetLike, records_or_frame: Records, provenance: Provenance | str = "user") -> Receipt:
        """Add rows of your own: a Polars, pandas or Arrow frame, a list of records, a mapping of columns, or ccxt's rows.

        Headings may be those that files have (``Open``, ``Close``, ``timestamp``), a pandas frame may have its times as index,
        and sides may be ``BUY`` and ``SELL``. Rows that cannot be true are refused: they go to :meth:`quarantine`, with a
        :class:`~ticklake.errors.TicklakeWarning` that says why.

        Returns
        -------
        Receipt
            How many rows were received, new, changed, duplicate, quarantined (and the ``reasons``); the version.

        Raises
        ------
        InvalidData
            If columns or types do not fit the kind, or times are naive. Nothing is stored then.
        """
        return self._append([(dataset, records_or_frame)], provenance)[0]

    def save_all(
        self, items: Iterable[tuple[DatasetLike, Records]], provenance: Provenance | str = "user"
    ) -> list[Receipt]:
        """Add rows to many datasets with one commit and one fsync; like :meth:`save`, a receipt an item.

        All of them are durable when this returns; if it raises, none was stored. A dataset that is named twice
        gets its second batch in a second commit.
        """
        return self._append(items, provenance)

    def _append(self, items: Iterable[tuple[DatasetLike, Records]], provenance: Provenance | str) -> list[Receipt]:
        from ticklake.files.user_rows import accept

        origin = as_provenance(provenance)
        batches = [(refuse_derived(dataset), accept(rows, dataset.spec)) for dataset, rows in as_items(items)]
        receipts = self.engine.append_all(batches, origin)
        for (dataset, _), receipt in zip(batches, receipts, strict=True):
            if receipt.quarantined:
                # The frame after this one is save or save_all; the one after that is the caller.
                warnings.warn(receipt.refusal(dataset), TicklakeWarning, stacklevel=3)
        return receipts

    def import_files(
        self,
        paths: str | Path | Sequence[str | Path],
        dataset: DatasetLike | None = None,
        *,
        exchange: str = "",
        symbol: str = "",
        preset: str = "",
        mapping: FileMapping | None = None,
        dry_run: bool = False,
        watch: Watch = lambda _progress: None,
    ) -> list[FileReport]:
        """Bring in files that others wrote: CSV, JSON, NDJSON, Parquet, Feather, packed or not, zips, whole folders.

        The format of a file is recognised by its content. A file is checked as a whole first: then either all of its rows get
        in, those that cannot be true into quarantine, or the file is refused and none of them does.

        Parameters
        ----------
        paths
            Files, and folders, of which all files are taken.
        dataset
            What the rows are, like ``kraken:trades:BTC/USD``, unless the files say so themselves.
        exchange
            The exchange of files that name only their symbols, like a folder of freqtrade.
        symbol
            The symbol of files that do not name it. It also decides where an exchange's own name of a market can be read in
            two ways.
        preset
            The program that wrote the files, like ``freqtrade``: see docs/how-to/import-files.md. Guessed if empty.
        mapping
            What is to be read differently: columns, unit, zone, ... Everything else is guessed, and is in the report.
        dry_run
            Read and check everything, and save nothing.
        watch
            Called with a :class:`~ticklake.core.progress.Progress` after every file.

        Returns
        -------
        list of FileReport
            One a file, or one for each dataset in it.

        Raises
        ------
        BadInput
            If a file does not say of which dataset its rows are and *dataset* does not either. Nothing is saved then.
        """
        from ticklake.files.filenames import Markets
        from ticklake.files.importer import Importer
        from ticklake.files.mapping import Mapping as FileMapping
        from ticklake.files.readers import ImportOptions

        target = None
        if dataset is not None:
            target = refuse_derived(Dataset.parse(dataset))
        _refuse_contradictions(target, exchange, symbol)
        if mapping is not None and not isinstance(mapping, FileMapping):
            raise BadInput(f"mapping={mapping!r} is no mapping: pass a ticklake.Mapping")
        if exchange:
            exchange = exchange_id(exchange)
        if symbol:
            symbol = str(Symbol(symbol))
        # Cached: every file of a folder asks for it.
        markets = Markets(exchange, symbol, cache(self._market_list))
        options = ImportOptions(self.engine.now(), target, preset, mapping or FileMapping(), markets)
        files = [as_path("paths", path) for path in as_list("paths", paths)]
        return Importer(self.engine, self.runs, options, dry_run, watch, self.root).run(files)

    def _market_list(self, exchange: str) -> MarketList:
        from ticklake.core.native_ids import MarketList

        if not exchange:
            return MarketList.of(())
        return MarketList.of(self._collector.instruments.names(exchange))

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

        source = as_path("path", path)
        known_layout = guess_layout(source) if layout is None else layout_of(layout)
        work = Import(self.engine, self.runs, known_layout, source, symbols or {}, watch)
        if dry_run:
            return work.plan()
        return work.run()

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
        dataset = self._refuse_made(known_dataset(self.engine, dataset))
        # Only of these the deleted span becomes not_fetched: no source can bring imported rows back.
        is_collected = str(dataset) in self._collector.collected()
        removed = self.engine.delete(dataset, Span.parse(start, end), wanted=is_collected, dry_run=dry_run)
        self._forget_live_rows(dataset)
        return removed

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
        dataset = known_dataset(self.engine, dataset)
        if not dry_run:
            self._refuse_made(dataset)
        removed = self.engine.drop(dataset, dry_run=dry_run)
        self._forget_live_rows(dataset)
        return removed

    def rename(self, old: DatasetLike, new: DatasetLike) -> int:
        """Move a dataset to another name, with all that is known of it; return how many rows moved.

        Its rows, coverage, continuity, refused rows, revisions and notes on what sources were asked for move, and
        schedules that name it follow. It is one commit: a reader sees the old name or the new one. Older versions and
        recorded runs keep the old name.

        Raises
        ------
        UnknownDataset
            If the lake has no dataset *old*.
        BadInput
            If it already has *new*, or the two differ in kind or in the length of bars; if a job that waits or runs names
            *old*, or a schedule that cannot follow.
        """
        from ticklake.engine.rename import rename

        dataset = known_dataset(self.engine, old)
        moved = rename(self.engine.store, dataset, Dataset.parse(new))
        self._forget_live_rows(dataset)
        return moved

    def _refuse_made(self, dataset: Dataset) -> Dataset:
        """Refuse to remove rows that a rule makes: they would be missing until their inputs change."""
        if dataset.variant is not None:
            from ticklake.query.derive import made_of

            if made_of(self.engine, dataset) != dataset:
                raise BadInput(
                    f"{dataset} is made by the rule {dataset.variant!r}: drop that, or remove rows of what it is made of"
                )
        return dataset

    def _forget_live_rows(self, dataset: Dataset) -> None:
        """Forget the rows of a dataset that are kept in memory: the lake has others now."""


def _refuse_contradictions(dataset: Dataset | None, exchange: str, symbol: str) -> None:
    """Refuse an exchange or a symbol that is not that of the dataset."""
    if dataset is None:
        return
    if exchange.lower() not in ("", dataset.exchange):
        raise BadInput(f"{dataset} is not of {exchange!r}: say one of dataset (--dataset) and exchange (--exchange)")
    if symbol not in ("", str(dataset.symbol)):
        raise BadInput(f"{dataset} is not of {symbol!r}: say one of dataset (--dataset) and symbol (--symbol)")
