"""Collecting: the methods that ask sources for rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from ticklake.core.dataset import SNAPSHOTS, Dataset
from ticklake.core.requests import BackfillRequest
from ticklake.core.symbol import exchange_id
from ticklake.core.time import SECOND, TimeLike
from ticklake.errors import BadInput, UnknownDataset
from ticklake.lake.arguments import DatasetLike, as_list, as_request, known_dataset
from ticklake.lake.writer import Writer

if TYPE_CHECKING:
    from ticklake.core.fetch_plan import FetchPlan
    from ticklake.core.progress import Watch
    from ticklake.core.runs import Run

__all__ = ["Collecting"]


class Collecting(Writer):
    """The data of a lake, for reading and writing, with the sources that it comes from."""

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
        request = as_request(
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
        request = as_request(
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
            One for each exchange; ``failed`` if that could not be asked. The others are asked all the same.

        Raises
        ------
        UnknownDataset
            If the lake has none of a name; the likely one is named.
        BadInput
            If one of them was never collected.
        """
        collected = self.collected() if dataset is None else self._collected_only(dataset)
        # One run for each exchange: one that cannot be reached must not fail the others.
        by_exchange: dict[str, list[Dataset]] = {}
        for each in collected:
            by_exchange.setdefault(each.exchange, []).append(each)
        return [self._collector.update(exchange, by_exchange[exchange], watch) for exchange in sorted(by_exchange)]

    def poll(
        self,
        datasets: DatasetLike | Sequence[DatasetLike],
        *,
        every: str = "5s",
        watch: Watch = lambda _progress: None,
    ) -> Run:
        """Keep datasets of one exchange up to now, until it is interrupted or *watch* raises.

        The exchange is asked for what is new at an interval, *every* (``5s``, ``1m``), in one run. It goes on where the
        lake's history ends, so that nothing is missing in between. It is given up after three rounds in a row that failed,
        or if the exchange bans.

        Raises
        ------
        UnknownDataset
            If the lake has none of a name; the likely one is named.
        BadInput
            If one was never asked for ('ticklake backfill' begins it), or they are of several exchanges.
        """
        from ticklake.core.schedules import parse_every

        collected = self._collected_only(datasets)
        exchanges = sorted({dataset.exchange for dataset in collected})
        if len(exchanges) != 1:
            raise BadInput(f"one stream is of one exchange: these are of {', '.join(exchanges) or 'none'}")
        return self._collector.poll(exchanges[0], collected, parse_every(every) / SECOND, watch)

    def collected(self) -> list[Dataset]:
        """Return the datasets that sources were asked for and can bring up to now; books are snapshots and cannot be."""
        names = self._collector.collected()
        return [dataset for dataset in self.datasets() if str(dataset) in names]

    def _collected_only(self, datasets: DatasetLike | Sequence[DatasetLike]) -> list[Dataset]:
        """Return the named datasets, and refuse those that no source was asked for."""
        collected_names = self._collector.collected()
        collected: list[Dataset] = []
        for dataset in map(Dataset.parse, as_list("dataset", datasets)):
            # A dataset may have been asked for in vain: then the lake has none of its rows.
            if str(dataset) not in collected_names:
                dataset = self._known_before_update(dataset)
            if str(dataset) not in collected_names:
                raise BadInput(_why_not_updated(dataset))
            collected.append(dataset)
        return collected

    def _known_before_update(self, dataset: Dataset) -> Dataset:
        """Return the dataset of that name, which the lake must have; the error also says how a new one begins."""
        try:
            return known_dataset(self.engine, dataset)
        except UnknownDataset as error:
            raise UnknownDataset(f"{error} ('ticklake backfill' begins what was never asked for)") from None

    def symbols(self, exchange: str) -> pl.DataFrame:
        """Return what an exchange lists: ``symbol``, ``native_id``, ``market_type``, ``active``."""
        listed = self._collector.listed(exchange_id(exchange))
        rows = [(market.symbol, market.native_id, market.market_type, market.active) for market in listed]
        return pl.DataFrame(rows, schema=["symbol", "native_id", "market_type", "active"], orient="row")


def _why_not_updated(dataset: Dataset) -> str:
    """Say why a dataset that the lake has cannot be brought up to now."""
    if dataset.variant is not None:
        return f"{dataset} is made of other rows: update those, and it follows"
    if dataset.kind in SNAPSHOTS:
        return f"{dataset} holds snapshots of now and cannot be brought up to now: 'ticklake backfill' takes one"
    return f"{dataset} was never asked for, so nobody knows since when it is wanted: 'ticklake backfill' begins it"
