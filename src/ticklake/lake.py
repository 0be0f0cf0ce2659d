"""Lake: the facade a user holds. Thin: it reads what was typed and delegates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.provenance import Provenance
from ticklake.core.span import ALL_TIME, Span
from ticklake.core.time import TimeLike, parse_time
from ticklake.core.timeframe import Timeframe
from ticklake.engine.engine import Engine
from ticklake.engine.vacuuming import KEEP

if TYPE_CHECKING:
    from ticklake.catalog.runs import Run
    from ticklake.core.adjust import Adjust
    from ticklake.core.batch import Records
    from ticklake.core.coverage import Coverage
    from ticklake.core.fetchplan import FetchPlan
    from ticklake.core.gaps import Gap
    from ticklake.engine.appending import Receipt
    from ticklake.engine.backing_up import Backup
    from ticklake.engine.compacting import Compaction
    from ticklake.engine.vacuuming import Vacuumed
    from ticklake.engine.verifying import Problem
    from ticklake.ingest.collector import Collector, Repaired
    from ticklake.ingest.planning import Asked
    from ticklake.ingest.progress import Watch

__all__ = ["Lake"]

DatasetLike = str | Dataset


class Lake:
    """A complete, correct, deduplicated copy of market data.

    Made by :func:`ticklake.open`; use it as a context manager or call :meth:`close`. Frames that come out are
    Polars frames sorted by ``ts``; spans are half-open ``[start, end)``; a naive time means UTC.

    Attributes
    ----------
    runs
        What was executed and how it went: ``runs.list(state="failed")``, ``runs.get(id)``, ``runs.tail(id)``.
    """

    def __init__(
        self, engine: Engine, collector: Collector, root: Path | None, catalog_file: str, version: int | None = None
    ) -> None:
        self.engine = engine
        self.runs = collector.runs
        self.root = root
        self._collector = collector
        self._catalog_file = catalog_file
        self._version = version

    def __enter__(self) -> Lake:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the catalog."""
        self.engine.catalog.database.close()

    # collect

    def backfill(
        self,
        exchange: str,
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
            CCXT's id, like ``binance``.
        symbols
            One or several of CCXT's unified symbols; ``BTC/*`` matches all that the exchange lists.
        timeframe
            For bars, like ``1h``; then *kind* is ``ohlcv`` unless said otherwise.
        kind
            ``ohlcv``, ``mark_ohlcv``, ``index_ohlcv``, ``trades``, ``funding``, ``open_interest``, or ``book``
            for a snapshot of now.
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
            Called with a :class:`~ticklake.ingest.progress.Progress` after every committed page.

        Returns
        -------
        Run
            Finished: ``succeeded``, ``incomplete`` (see :meth:`gaps`) or ``failed``. Interrupted at any moment,
            the lake keeps what was committed, and the same call goes on from there.

        Raises
        ------
        UnknownExchange, UnknownSymbol, UnknownTimeframe, Unsupported, InvalidTime
        """
        from ticklake.ingest.collector import Selection

        selection = Selection(exchange, symbols, timeframe, kind, all_quote, archives)
        return self._collector.backfill(selection, _asked(start, end, retry=retry), depth, watch)

    def plan(
        self,
        exchange: str,
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
        from ticklake.ingest.collector import Selection

        selection = Selection(exchange, symbols, timeframe, kind, all_quote, archives)
        return self._collector.plan(selection, _asked(start, end, retry=retry))

    def save(self, dataset: DatasetLike, records_or_frame: Records, provenance: Provenance | str = "user") -> Receipt:
        """Add rows of your own: a Polars, pandas or Arrow frame, or a list of records.

        Returns
        -------
        Receipt
            How many rows were received, new, changed, duplicate, quarantined; the version.

        Raises
        ------
        InvalidData
            If columns or types do not fit the kind, or times are naive. Nothing is stored then.
        """
        return self.save_all([(dataset, records_or_frame)], provenance)[0]

    def save_all(
        self, items: Iterable[tuple[DatasetLike, Records]], provenance: Provenance | str = "user"
    ) -> list[Receipt]:
        """Add rows to many datasets with one commit and one fsync; like :meth:`save`, a receipt an item.

        All of them are durable when this returns; if it raises, none was stored. A dataset that is named twice
        gets its second batch in a second commit.
        """
        origin = Provenance(provenance) if isinstance(provenance, str) else provenance
        return self.engine.append_all([(Dataset.parse(dataset), rows) for dataset, rows in items], origin)

    def symbols(self, exchange: str) -> pl.DataFrame:
        """Return what an exchange lists: ``symbol``, ``native_id``, ``market_type``, ``active``."""
        names = ("symbol", "native_id", "market_type", "active")
        rows = [tuple(getattr(instrument, name) for name in names) for instrument in self._collector.listed(exchange)]
        return pl.DataFrame(rows, schema=list(names), orient="row")

    # read

    def load(
        self,
        dataset: DatasetLike,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        columns: Sequence[str] | None = None,
        last: int | None = None,
        provenance: bool = False,
    ) -> pl.DataFrame:
        """Return the rows of a dataset in ``[start, end)``; the newest *last* ones if given.

        An unknown dataset is an empty frame. With *provenance*, a column says where each row came from.
        """
        return self.engine.load(
            Dataset.parse(dataset),
            Span.parse(start, end),
            columns=columns,
            last=last,
            version=self._version,
            provenance=provenance,
        )

    def scan(
        self,
        dataset: DatasetLike,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        provenance: bool = False,
    ) -> pl.LazyFrame:
        """Return the same rows as a lazy frame, pinned to the version of now."""
        span = Span.parse(start, end)
        return self.engine.scan(Dataset.parse(dataset), span, version=self._version, provenance=provenance)

    def ohlcv(
        self,
        exchange: str,
        symbol: str,
        timeframe: str,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        adjust: Adjust | None = None,
    ) -> pl.DataFrame:
        """Return bars: ``ts`` (open time), open, high, low, close, volume, quote_volume, trades.

        Stored prices are raw. With *adjust* they are returned as they look after the newest event that the lake holds:
        ``splits`` divides prices before a split by its ratio and multiplies volumes; ``all`` also multiplies prices
        before a dividend by ``1 - dividend / close of the session before``. The formula is CRSP's
        (:mod:`ticklake.core.adjust`).

        Raises
        ------
        BadInput
            If the symbol's splits or dividends were never brought in.
        """
        dataset = Dataset.of(exchange, symbol, "ohlcv", timeframe)
        if adjust is None:
            return self.load(dataset, start, end)
        return self.engine.load_adjusted(dataset, Span.parse(start, end), adjust, version=self._version)

    def trades(
        self, exchange: str, symbol: str, start: TimeLike | None = None, end: TimeLike | None = None
    ) -> pl.DataFrame:
        """Return trades: ``ts``, received_at, id, price, amount, side (the taker's)."""
        return self.load(Dataset.of(exchange, symbol, "trades"), start, end)

    def funding(
        self, exchange: str, symbol: str, start: TimeLike | None = None, end: TimeLike | None = None
    ) -> pl.DataFrame:
        """Return settled funding rates: ``ts``, rate, predicted_rate, next_ts, mark_price, interval."""
        return self.load(Dataset.of(exchange, symbol, "funding"), start, end)

    def resample(
        self,
        dataset: DatasetLike,
        timeframe: str | Timeframe,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
    ) -> pl.DataFrame:
        """Return bars made from trades or from shorter bars: columns of kind ``ohlcv``, none where there were no rows.

        A bar that *start* or *end* cuts through is made of the rows inside. Rows are streamed: memory does not grow
        with them.

        Raises
        ------
        Unsupported
            If the dataset holds neither trades nor bars of which *timeframe* is a whole multiple.
        """
        span, frame = Span.parse(start, end), Timeframe.parse(timeframe)
        return self.engine.resample(Dataset.parse(dataset), frame, span, version=self._version)

    def book(self, exchange: str, symbol: str, at: TimeLike | None = None, depth: int | None = None) -> pl.DataFrame:
        """Return the newest snapshot of the order book at or before *at* (now): best prices first.

        Columns are those of kind ``book``; *depth* keeps that many levels a side. Empty if there is none.
        """
        dataset = Dataset.of(exchange, symbol, "book")
        until = ALL_TIME.end if at is None else parse_time(at) + 1
        snapshots = self.scan(dataset, None, _moment(until)).filter("is_snapshot")
        newest = snapshots.select(pl.struct("ts", "seq").last()).collect().to_series()
        if not newest.len() or newest[0]["ts"] is None:
            return dataset.spec.empty().select(dataset.spec.names)
        rows = snapshots.filter(ts=newest[0]["ts"], seq=newest[0]["seq"]).collect()
        bids = rows.filter(side="bid").sort("price", descending=True)
        asks = rows.filter(side="ask").sort("price")
        return pl.concat([side if depth is None else side.head(depth) for side in (bids, asks)])

    def at(self, moment: int | TimeLike) -> Lake:
        """Return the lake as it was: at a version (a small integer) or at a time. For reading only."""
        version = moment if isinstance(moment, int) and moment < 10**12 else None
        if version is None:
            version = self.engine.catalog.version_at(parse_time(moment))
        return Lake(self.engine, self._collector, self.root, self._catalog_file, version)

    # know

    def datasets(self, search: str = "") -> list[Dataset]:
        """Return the datasets whose name contains *search*."""
        return [Dataset.parse(name) for name, *_ in self.engine.catalog.inventory() if search in name]

    def inventory(self, search: str = "") -> pl.DataFrame:
        """Return a row a dataset: ``dataset``, ``rows``, ``bytes``, ``first``, ``last`` (times of rows)."""
        rows = [row for row in self.engine.catalog.inventory() if search in row[0]]
        schema = {
            "dataset": pl.String,
            "rows": pl.Int64,
            "bytes": pl.Int64,
            "first": pl.Int64,
            "last": pl.Int64,
        }
        frame = pl.DataFrame(rows, schema=schema, orient="row")
        return frame.with_columns(pl.col("first", "last").cast(TIME))

    def last_timestamp(self, dataset: DatasetLike) -> int | None:
        """Return the time of the newest row in nanoseconds, or ``None``."""
        return self.engine.last_timestamp(Dataset.parse(dataset))

    def missing_intervals(
        self, dataset: DatasetLike, start: TimeLike | None = None, end: TimeLike | None = None
    ) -> list[Span]:
        """Return the spans without rows that should have them; by default inside what the lake holds."""
        parsed = Dataset.parse(dataset)
        want = self._want(parsed, start, end)
        return self.engine.missing_intervals(parsed, want) if want else []

    def gaps(self, dataset: DatasetLike, start: TimeLike | None = None, end: TimeLike | None = None) -> list[Gap]:
        """Return every hole with its reason; by default inside what the lake holds or has looked at."""
        parsed = Dataset.parse(dataset)
        want = self._want(parsed, start, end)
        return self.engine.gaps(parsed, want) if want else []

    def coverage(self, dataset: DatasetLike) -> Coverage:
        """Return which spans were looked at, and what was found."""
        return self.engine.catalog.coverage(Dataset.parse(dataset))

    def provenance(self, dataset: DatasetLike, at: TimeLike) -> list[Provenance]:
        """Return where the rows at exactly that time came from."""
        return self.engine.provenance(Dataset.parse(dataset), parse_time(at))

    def quarantine(self, dataset: DatasetLike) -> list[dict[str, Any]]:
        """Return the refused rows with ``ts``, ``reason``, ``row`` (JSON) and ``created_at``."""
        return self.engine.catalog.quarantined(Dataset.parse(dataset))

    def revisions(self, dataset: DatasetLike) -> list[dict[str, Any]]:
        """Return the changed rows with ``ts``, ``before`` and ``after`` (JSON), ``commit_id``, ``created_at``."""
        return self.engine.catalog.revisions(Dataset.parse(dataset))

    # keep

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

    def _want(self, dataset: Dataset, start: TimeLike | None, end: TimeLike | None) -> Span | None:
        if start is not None and end is not None:
            return Span.parse(start, end)
        row = self.engine.catalog.dataset(dataset)
        spans = self.engine.catalog.coverage(dataset).spans()
        if row is not None and row.min_ts is not None and row.max_ts is not None:
            frame = dataset.timeframe
            spans.append(Span(row.min_ts, frame.next(row.max_ts, dataset.anchor) if frame else row.max_ts + 1))
        if not spans:
            return None
        known = Span(min(span.start for span in spans), max(span.end for span in spans))
        return Span.parse(known.start if start is None else start, known.end if end is None else end)


def _asked(start: TimeLike | None, end: TimeLike | None, *, retry: bool) -> Asked:
    from ticklake.ingest.planning import Asked

    span = Span.parse(start, end)
    return Asked(None if start is None else span.start, None if end is None else span.end, retry)


def _moment(ns: int) -> int | None:
    return None if ns == ALL_TIME.end else ns
