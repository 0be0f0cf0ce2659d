"""Rows of a remote lake: stored ones, and bars."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import polars as pl
from polars.io.plugins import register_io_source

from ticklake.core.dataset import Dataset
from ticklake.core.kinds import KINDS, PROVENANCE, Kind
from ticklake.core.selection import parse_columns, parse_count
from ticklake.core.span import Span
from ticklake.core.time import TimeLike
from ticklake.core.timeframe import Timeframe
from ticklake.core.words import Columns, DatasetLike
from ticklake.errors import BadInput
from ticklake.interfaces.client.asking import Asking, Pin
from ticklake.interfaces.client.connection import ARROW
from ticklake.interfaces.client.rows import frame_of, load_parts, load_rows
from ticklake.interfaces.client.wire import in_path, named, parameters

if TYPE_CHECKING:
    from ticklake.core.adjust import Adjust
    from ticklake.core.bars import Bars
    from ticklake.core.estimate import Estimate

__all__ = ["RemoteReads"]

_MOST = 1_000_000
"""A server counts so many of the newest rows; of more, all are read."""


class RemoteReads(Asking):
    """The verbs that answer with rows and bars."""

    def load(
        self,
        dataset: DatasetLike,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        columns: Columns | None = None,
        last: int | None = None,
        provenance: bool = False,
    ) -> pl.DataFrame:
        """Return the rows of a dataset in ``[start, end)``; the newest *last* ones if given.

        Whole stored files travel as they are and are decoded here, which is why a large read takes little more time than one at
        hand, and next to none of the server's.

        Raises
        ------
        UnknownDataset
            If the lake has no such dataset.
        InvalidData
            If a column is not one of the kind's, or none is named.
        """
        dataset = Dataset.parse(dataset)
        Span.parse(start, end)
        kind = _known_kind(dataset)
        names = columns
        if kind is not None:
            names = parse_columns(kind, columns)
        span = {**self._pin.parameters, "start": start, "end": end}
        wanted = {**span, "columns": names, "provenance": provenance or None}
        if last is not None:
            return self._load_last(dataset, wanted, parse_count("last", last))
        if kind is None:
            return load_rows(self._connection, dataset, wanted)
        if names is None:
            names = kind.names
        if provenance and PROVENANCE not in names:
            names = [*names, PROVENANCE]
        if 2 * len(names) < len(kind.names):
            # The files have all columns: a few of them are fewer bytes as Arrow.
            return load_rows(self._connection, dataset, wanted)
        return load_parts(self._connection, dataset, span, names)

    def _load_last(self, dataset: Dataset, wanted: dict[str, Any], last: int) -> pl.DataFrame:
        if last > _MOST:
            return load_rows(self._connection, dataset, wanted).tail(last)
        rows = load_rows(self._connection, dataset, {**wanted, "last": max(last, 1)})
        return rows.tail(last)

    def scan(
        self,
        dataset: DatasetLike,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        columns: Columns | None = None,
        last: int | None = None,
        provenance: bool = False,
    ) -> pl.LazyFrame:
        """Return the rows that :meth:`load` returns as a lazy frame, pinned to the version that is newest now.

        Only columns that the query needs are fetched.
        """
        dataset = Dataset.parse(dataset)
        wanted = {"start": start, "end": end, "columns": columns, "provenance": provenance or None}
        # One row tells which columns there are, and of which version.
        path = f"/datasets/{in_path(dataset)}/rows"
        first = self._connection.get(path, parameters({**self._pin.parameters, **wanted, "limit": 1}), ARROW)
        pinned = RemoteReads(self._connection, Pin(int(first.headers["ticklake-version"])))
        schema = frame_of(first).schema
        if last is not None:
            last = parse_count("last", last)

        def source(
            names: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _batch: int | None
        ) -> Iterator[pl.DataFrame]:
            needed = list(names or schema)
            if predicate is not None:
                needed = list(dict.fromkeys([*needed, *predicate.meta.root_names()]))
            rows = pinned._first(dataset, start, end, needed, last, n_rows)
            if predicate is not None:
                rows = rows.filter(predicate)
            yield rows.select(names or list(schema))

        # A version never changes, so Polars may collect it once for several uses.
        return register_io_source(source, schema=schema, is_pure=True)

    def _first(
        self,
        dataset: Dataset,
        start: TimeLike | None,
        end: TimeLike | None,
        columns: list[str],
        last: int | None,
        count: int | None,
    ) -> pl.DataFrame:
        """Return the first *count* rows of a read, or all."""
        if last is not None or count is None or count > _MOST:
            rows = self.load(dataset, start, end, columns=columns, last=last)
            return rows.head(rows.height if count is None else count)
        wanted = {**self._pin.parameters, "start": start, "end": end, "columns": columns, "limit": max(count, 1)}
        return load_rows(self._connection, dataset, wanted).head(count)

    def ohlcv(
        self,
        exchange: str,
        symbol: str,
        timeframe: str | Timeframe,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        adjust: Adjust | None = None,
        columns: Columns | None = None,
        last: int | None = None,
    ) -> pl.DataFrame:
        """Return bars: ``ts`` (open time), open, high, low, close, volume, quote_volume, trades; see :meth:`Lake.ohlcv <ticklake.Lake.ohlcv>`."""
        dataset = Dataset.of(exchange, symbol, "ohlcv", timeframe)
        if adjust is None:
            return self.load(dataset, start, end, columns=columns, last=last)
        bars: pl.DataFrame = self._ask(
            "adjusted",
            exchange=exchange,
            symbol=symbol,
            timeframe=dataset.timeframe,
            start=start,
            end=end,
            adjust=adjust,
            columns=parse_columns(dataset.spec, columns, with_provenance=False),
        )
        if last is not None:
            bars = bars.tail(parse_count("last", last))
        return bars

    def estimate(
        self,
        dataset: DatasetLike,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        columns: Columns | None = None,
    ) -> Estimate:
        """Return how many rows :meth:`load` would return, and about what they take in each format; no row is read."""
        told: Estimate = self._ask(
            "estimate", dataset=Dataset.parse(dataset), start=start, end=end, columns=named("columns", columns)
        )
        return told

    def trades(
        self,
        exchange: str,
        symbol: str,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        columns: Columns | None = None,
        last: int | None = None,
    ) -> pl.DataFrame:
        """Return trades: ``ts``, received_at, id, price, amount, side (the taker's)."""
        return self.load(Dataset.of(exchange, symbol, "trades"), start, end, columns=columns, last=last)

    def funding(
        self,
        exchange: str,
        symbol: str,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        columns: Columns | None = None,
        last: int | None = None,
    ) -> pl.DataFrame:
        """Return settled funding rates: ``ts``, rate, predicted_rate, next_ts, mark_price, interval."""
        return self.load(Dataset.of(exchange, symbol, "funding"), start, end, columns=columns, last=last)

    def resample(
        self,
        dataset: DatasetLike,
        rule: str | Timeframe | Bars | None = None,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        columns: Columns | None = None,
        last: int | None = None,
        partial: bool = False,
        timeframe: str | Timeframe | None = None,
        **edges: Any,
    ) -> pl.DataFrame:
        """Return bars made from trades or from shorter bars: see :meth:`Lake.resample <ticklake.Lake.resample>`."""
        from ticklake.core.bars import Bars

        dataset = Dataset.parse(dataset)
        if rule is not None and timeframe is not None:
            raise BadInput("rule and timeframe are the same: pass one of them")
        kept = Bars.parse(rule or timeframe or "", **edges).to_json()
        if last is not None:
            last = parse_count("last", last)
        rows: pl.DataFrame = self._ask(
            "resample",
            dataset=dataset,
            rule=kept.pop("bars"),
            start=start,
            end=end,
            columns=named("columns", columns),
            last=last or None,
            partial=partial,
            **kept,
        )
        if last == 0:
            return rows.clear()
        return rows


def _known_kind(dataset: Dataset) -> Kind | None:
    """Return what the rows of a dataset are, if every lake knows it; features are known to theirs alone."""
    return KINDS.get(dataset.kind)
