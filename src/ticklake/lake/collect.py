"""What brings rows into a lake."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from ticklake.core.dataset import SNAPSHOTS, Dataset
from ticklake.core.provenance import Provenance
from ticklake.core.requests import BackfillRequest
from ticklake.core.symbol import exchange_id
from ticklake.core.time import SECOND, TimeLike
from ticklake.errors import BadInput, TicklakeWarning
from ticklake.files.user_rows import accept
from ticklake.lake.base import Base, DatasetLike, as_list, as_path

if TYPE_CHECKING:
    from ticklake.catalog.catalog import Catalog
    from ticklake.catalog.runs import Run
    from ticklake.core.batch import Records
    from ticklake.core.fetch_plan import FetchPlan
    from ticklake.core.native_ids import MarketList
    from ticklake.core.progress import Watch
    from ticklake.core.results import Receipt
    from ticklake.files.importer import Imported
    from ticklake.files.mapping import Mapping

__all__ = ["Collecting"]


class Collecting(Base):
    """The verbs that collect."""

    def backfill(
        self,
        exchange: str | BackfillRequest,
        symbols: str | Sequence[str] = (),
        timeframe: str | None = None,
        *,
        kind: str | None = None,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        all_quote: str | None = None,
        retry: bool = False,
        depth: int | None = None,
        archives: bool = True,
        watch: Watch = lambda _progress: None,
    ) -> Run:
        """Bring history into the lake: what is missing of it, nothing twice.

        Parameters
        ----------
        exchange
            CCXT's id, like ``binance``; or all of it as a :class:`~ticklake.BackfillRequest`.
        symbols
            One or several of CCXT's unified symbols; ``BTC/*`` matches all that the exchange lists.
        timeframe
            For bars, like ``1h``; then *kind* is ``ohlcv`` unless said otherwise.
        kind
            ``ohlcv``, ``mark_ohlcv``, ``index_ohlcv``, ``trades``, ``funding``, ``open_interest``, or ``book``
            or ``predicted_funding`` for a snapshot of now.
        start, end
            From the listing to now by default.
        all_quote
            Also every active spot market priced in this currency.
        retry
            Also ask again for what was ``unavailable`` or ``lost``.
        depth
            Levels of a book on each side.
        archives
            Whether files of public dump sites are taken first, where there are some; see docs/how-to/archives.md.
        watch
            Called with a :class:`~ticklake.core.progress.Progress` after every committed page.

        Returns
        -------
        Run
            Finished: ``succeeded``, ``incomplete`` (see :meth:`gaps`) or ``failed``. Interrupted at any moment,
            the lake keeps what was committed, and the same call goes on from there.

        Raises
        ------
        UnknownExchange, UnknownSymbol, UnknownTimeframe, Unsupported, InvalidTime
        """
        request = _requested(
            exchange,
            symbols,
            timeframe,
            kind=kind,
            start=start,
            end=end,
            all_quote=all_quote,
            retry=retry,
            depth=depth,
            archives=archives,
        )
        return self._collector.backfill(request, watch)

    def update(
        self,
        dataset: DatasetLike | Sequence[DatasetLike] | None = None,
        *,
        watch: Watch = lambda _progress: None,
    ) -> list[Run]:
        """Bring datasets, or all that were collected, up to now, each from where its history in the lake begins.

        Books, and datasets that were only imported or saved, are left alone: see :meth:`collected`.

        Returns
        -------
        list of Run
            One an exchange; ``failed`` if it could not be asked, which keeps no other exchange from being asked.

        Raises
        ------
        BadInput
            If one that is named was never collected.
        """
        asked = self.collected() if dataset is None else self._collected_only(_listed(dataset))
        by_exchange = groupby(sorted(asked, key=_exchange_of), key=_exchange_of)
        return [self._collector.update(exchange, list(some), watch) for exchange, some in by_exchange]

    def collected(self) -> list[Dataset]:
        """Return the datasets that sources were asked for and can bring up to now; books are snapshots and cannot be."""
        asked = self._collector.collected()
        return [one for one in map(Dataset.parse, _names(self.engine.catalog)) if str(one) in asked]

    def poll(
        self,
        datasets: DatasetLike | Sequence[DatasetLike],
        *,
        every: str = "5s",
        watch: Watch = lambda _progress: None,
    ) -> Run:
        """Keep datasets of one exchange up to now, until it is interrupted or *watch* raises.

        The exchange's calls are asked for what is new, *every* so often (``5s``, ``1m``); it is one run. It goes on where
        the lake's history ends, so that nothing is missing in between, and is given up only after three rounds in a row
        that failed, or when the exchange bans.

        Raises
        ------
        BadInput
            If one was never asked for ('ticklake backfill' begins it), or they are of several exchanges.
        """
        from ticklake.core.schedules import parse_every

        asked = self._collected_only(_listed(datasets))
        exchanges = sorted({one.exchange for one in asked})
        if len(exchanges) != 1:
            raise BadInput(f"one stream is of one exchange: these are of {', '.join(exchanges) or 'none'}")
        return self._collector.poll(exchanges[0], asked, parse_every(every) / SECOND, watch)

    def _collected_only(self, datasets: Sequence[DatasetLike]) -> list[Dataset]:
        known = [Dataset.parse(one) for one in datasets]
        collected = self._collector.collected()
        left = [one for one in known if str(one) not in collected]
        if left and left[0].kind in SNAPSHOTS:
            raise BadInput(
                f"{left[0]} holds snapshots of now and cannot be brought up to now: 'ticklake backfill' takes one"
            )
        if left:
            raise BadInput(
                f"{left[0]} was never asked for, so nobody knows since when it is wanted: 'ticklake backfill' begins it"
            )
        return known

    def plan(
        self,
        exchange: str | BackfillRequest,
        symbols: str | Sequence[str] = (),
        timeframe: str | None = None,
        *,
        kind: str | None = None,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        all_quote: str | None = None,
        retry: bool = False,
        archives: bool = True,
    ) -> list[FetchPlan]:
        """Return what :meth:`backfill` would fetch: spans, files, pages, seconds and bytes (estimates)."""
        request = _requested(
            exchange,
            symbols,
            timeframe,
            kind=kind,
            start=start,
            end=end,
            all_quote=all_quote,
            retry=retry,
            archives=archives,
        )
        return self._collector.plan(request)

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
        return self._saved([(dataset, records_or_frame)], provenance)[0]

    def save_all(
        self, items: Iterable[tuple[DatasetLike, Records]], provenance: Provenance | str = "user"
    ) -> list[Receipt]:
        """Add rows to many datasets with one commit and one fsync; like :meth:`save`, a receipt an item.

        All of them are durable when this returns; if it raises, none was stored. A dataset that is named twice
        gets its second batch in a second commit.
        """
        return self._saved(items, provenance)

    def _saved(self, items: Iterable[tuple[DatasetLike, Records]], provenance: Provenance | str) -> list[Receipt]:
        origin = Provenance(provenance) if isinstance(provenance, str) else provenance
        if not isinstance(origin, Provenance):
            raise BadInput(f"provenance={provenance!r} is none: pass a text, like 'user', or a Provenance")
        pairs = as_list("items", items)
        odd = next((pair for pair in pairs if not isinstance(pair, tuple | list) or len(pair) != 2), None)
        if odd is not None:
            raise BadInput(f"{odd!r} is no pair: pass pairs of a dataset and its rows, like [(name, rows), ...]")
        named = [(Dataset.parse(dataset), rows) for dataset, rows in pairs]
        listed = [(dataset, accept(rows, dataset.spec)) for dataset, rows in named]
        receipts = self.engine.append_all(listed, origin)
        for (dataset, _), receipt in zip(listed, receipts, strict=True):
            if receipt.quarantined:
                reasons = ", ".join(f"{count:,} {reason}" for reason, count in receipt.reasons.items())
                told = f"{dataset}: {receipt.quarantined:,} of {receipt.received:,} rows were refused ({reasons})"
                # The frame after this one is save or save_all; the one after that is the caller.
                warnings.warn(f"{told}: lake.quarantine('{dataset}') has them", TicklakeWarning, stacklevel=3)
        return receipts

    def import_files(
        self,
        paths: str | Path | Sequence[str | Path],
        dataset: DatasetLike | None = None,
        *,
        exchange: str = "",
        symbol: str = "",
        preset: str = "",
        mapping: Mapping | None = None,
        dry_run: bool = False,
        watch: Watch = lambda _progress: None,
    ) -> list[Imported]:
        """Bring in files that others wrote: CSV, JSON, NDJSON, Parquet, Feather, packed or not, zips, whole folders.

        What a file is, is told from its content. It is checked as a whole first; then all of its rows get in, those that
        cannot be true into quarantine, or it is refused and none of them does.

        Parameters
        ----------
        paths
            Files, and folders, of which all files are taken.
        dataset
            What the rows are, like ``kraken:trades:BTC/USD``, unless the files say so themselves.
        exchange
            Where files were traded that say all but that, like a folder of freqtrade with many symbols.
        symbol
            Which symbol files are of that say all but that; it also says which is meant where an exchange's own name of a
            market can be read in two ways.
        preset
            Who wrote the files, like ``freqtrade``: see docs/how-to/import-files.md. Guessed if empty.
        mapping
            What is to be read differently: columns, unit, zone, ... Everything else is guessed, and stands in the report.
        dry_run
            Read and check everything, and save nothing.
        watch
            Called with a :class:`~ticklake.core.progress.Progress` after every file.

        Returns
        -------
        list of Imported
            One a file, or one for each dataset in it.

        Raises
        ------
        BadInput
            If a file does not say of which dataset its rows are and *dataset* does not either. Nothing is saved then.
        """
        from ticklake.core.symbol import Symbol
        from ticklake.files.filenames import Markets
        from ticklake.files.importer import Importer
        from ticklake.files.mapping import Mapping
        from ticklake.files.readers import ImportOptions

        named = None if dataset is None else Dataset.parse(dataset)
        if named and exchange.lower() not in ("", named.exchange):
            raise BadInput(f"{named} is not of {exchange!r}: say one of dataset (--dataset) and exchange (--exchange)")
        if named and symbol not in ("", str(named.symbol)):
            raise BadInput(f"{named} is not of {symbol!r}: say one of dataset (--dataset) and symbol (--symbol)")
        where = exchange_id(exchange) if exchange else ""
        markets = Markets(where, str(Symbol(symbol)) if symbol else "", cache(self._market_list))
        if mapping is not None and not isinstance(mapping, Mapping):
            raise BadInput(f"mapping={mapping!r} is no mapping: pass a ticklake.Mapping")
        options = ImportOptions(self.engine.now(), named, preset, mapping or Mapping(), markets)
        files = [as_path("paths", path) for path in as_list("paths", paths)]
        return Importer(self.engine, self.runs, options, dry_run, watch, self.root).run(files)

    def _market_list(self, exchange: str) -> MarketList:
        from ticklake.core.native_ids import MarketList

        return MarketList.of(self._collector.instruments.names(exchange) if exchange else ())

    def symbols(self, exchange: str) -> pl.DataFrame:
        """Return what an exchange lists: ``symbol``, ``native_id``, ``market_type``, ``active``."""
        names = ("symbol", "native_id", "market_type", "active")
        rows = [
            tuple(getattr(instrument, name) for name in names)
            for instrument in self._collector.listed(exchange_id(exchange))
        ]
        return pl.DataFrame(rows, schema=list(names), orient="row")


def _listed(datasets: DatasetLike | Sequence[DatasetLike]) -> Sequence[DatasetLike]:
    return as_list("dataset", datasets)


def _exchange_of(dataset: Dataset) -> str:
    return dataset.exchange


def _names(catalog: Catalog) -> list[str]:
    return [name for name, *_ in catalog.inventory()]


def _requested(exchange: str | BackfillRequest, *words: Any, **options: Any) -> BackfillRequest:
    """Return the request that was passed whole, or the one that is written in its parts."""
    return exchange if isinstance(exchange, BackfillRequest) else BackfillRequest.of(exchange, *words, **options)
