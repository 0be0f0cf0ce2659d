"""Joins: rows of several datasets brought together by time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import polars as pl

from ticklake.core.dataset import BAR_KINDS, Dataset
from ticklake.core.kinds import TIME
from ticklake.core.knowledge import Knowledge, Lags, happened_at, parse_knowledge
from ticklake.core.lookup import did_you_mean
from ticklake.core.selection import parse_columns, parse_names, parse_text, parse_word
from ticklake.core.span import Span
from ticklake.core.symbol import exchange_id
from ticklake.core.time import TimeLike
from ticklake.core.timeframe import Timeframe
from ticklake.engine.engine import Engine
from ticklake.errors import BadInput
from ticklake.lake.arguments import Columns, DatasetLike, known_dataset, matching_datasets, optional_time
from ticklake.lake.reading import Reading

if TYPE_CHECKING:
    from ticklake.core.duration import DurationLike
    from ticklake.query.panel import Fill, How, Label

__all__ = ["JoinVerbs"]


class JoinVerbs(Reading):
    """The methods that bring rows of several datasets together."""

    def asof(
        self,
        left: pl.DataFrame | DatasetLike,
        right: DatasetLike | Sequence[DatasetLike],
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        at: str | None = None,
        columns: Columns | None = None,
        max_age: DurationLike | None = None,
        knowledge: Knowledge = "default",
        lags: Mapping[str, DurationLike] | None = None,
        allow_exact: bool = True,
        suffix: str = "_right",
    ) -> pl.DataFrame:
        """Return *left* with the newest row of *right* that was known at the time of each row: one row for each, in its order.

        Where nothing was known the columns are null. A bar is known when it has closed, a live row when it was received
        (:mod:`ticklake.core.knowledge`): nothing is looked up ahead of time.

        Parameters
        ----------
        left
            A frame, or a dataset, of which the rows in ``[start, end)`` are loaded.
        right
            A dataset; or several of one kind, by names or patterns like ``binance:funding:*``: then each row gets one of its
            own ``symbol`` (and ``exchange``, if *left* has that column).
        at
            The column of *left* with the instants: ``ts`` by default. The rows of a dataset are joined as of when they
            happened, which is the close of a bar.
        columns
            Columns of *right*; all by default. Names that *left* has, too, get the *suffix*.
        max_age
            A row that happened longer ago does not count, like ``"5m"``.
        knowledge, lags
            What counts as known, and how long after it happened a row is that was not received live, by kind, like
            ``{"ohlcv": "2s"}``.
        allow_exact
            Whether a row counts that was known at the very instant.

        Raises
        ------
        UnknownDataset
            If the lake has no such dataset.
        BadInput
            If *left* does not say which dataset a row belongs to, or a time cannot be read.
        """
        from ticklake.core.duration import parse_length
        from ticklake.query.asof import Known, asof_datasets, pinned

        engine = pinned(self.engine)
        datasets = _some_datasets("right", engine, right)
        names = parse_columns(datasets[0].spec, columns) or datasets[0].spec.names
        age: int | None = None
        if max_age is not None:
            age = parse_length(max_age)
        known = Known(parse_knowledge(knowledge), Lags.parse(lags or {}), age, allow_exact)
        frame, instants = _left_rows(engine, left, start, end, at)
        return asof_datasets(engine, frame, instants, datasets, names, known, suffix)

    def panel(
        self,
        exchange: str,
        symbols: str | Sequence[str],
        timeframe: str | Timeframe | None = None,
        column: Columns = "close",
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        kind: str = "ohlcv",
        wide: bool = True,
        how: How = "outer",
        label: Label = "open",
        fill: Fill | None = None,
        known_at: TimeLike | None = None,
        knowledge: Knowledge = "default",
        lags: Mapping[str, DurationLike] | None = None,
    ) -> pl.DataFrame:
        """Return one table of many symbols by time. What is missing is null.

        Parameters
        ----------
        symbols
            One, several, or patterns like ``BTC/*``.
        column
            One column, or several in a list.
        wide
            A column for each symbol, named like it; with several columns, like ``close:BTC/USDT``. Else a row for each time
            and symbol, which has a column ``symbol``.
        how
            Which times there are: ``outer`` for those of any symbol, ``inner`` for those that all have, ``grid`` for every bar
            that may be there, also where all symbols have none.
        label
            ``open``: bars have the time at which they open, in ``ts``. ``close``: the time at which they close, in
            ``close_time``. *start* and *end* are times at which they open.
        fill
            ``forward`` gives missing values the last one before them.
        known_at
            An instant: only rows count that were known then, by *knowledge* and *lags* as for :meth:`asof`.

        Raises
        ------
        UnknownDataset
            If the lake has nothing of a symbol, or nothing that a pattern matches.
        BadInput
            If an argument is none of its words, or the kind has no such column.
        """
        from ticklake.query.asof import Known, pinned
        from ticklake.query.panel import FILLS, HOWS, LABELS, PanelShape, panel

        engine = pinned(self.engine)
        datasets = _datasets_of_symbols(engine, exchange, symbols, timeframe, kind)
        columns = parse_columns(datasets[0].spec, column, with_provenance=False) or []
        if "ts" in columns:
            raise BadInput("'ts' is the time of a panel, which is always there: name other columns")
        shape = PanelShape(
            columns,
            isinstance(column, str),
            wide,
            parse_word("how", how, HOWS),
            parse_word("label", label, LABELS),
            parse_word("fill", fill, FILLS),
        )
        known = Known(parse_knowledge(knowledge), Lags.parse(lags or {}))
        return panel(engine, datasets, Span.parse(start, end), shape, optional_time(known_at), known)


def _datasets_of_symbols(
    engine: Engine, exchange: str, symbols: str | Sequence[str], timeframe: str | Timeframe | None, kind: str
) -> list[Dataset]:
    """Return the datasets of names or patterns of symbols, each once."""
    parts = [exchange_id(exchange), parse_text("kind", kind)]
    if timeframe is None and kind.partition("@")[0] in BAR_KINDS:
        raise BadInput(f"a panel of {kind} needs a timeframe: pass one, like '1h'")
    if timeframe is not None:
        parts.append(str(Timeframe.parse(timeframe)))
    names = [":".join([*parts, symbol]) for symbol in parse_names("symbols", symbols)]
    return _some_datasets("symbols", engine, names)


def _some_datasets(name: str, engine: Engine, names: DatasetLike | Sequence[DatasetLike]) -> list[Dataset]:
    datasets = matching_datasets(engine, names)
    if not datasets:
        raise BadInput(f"{name}={names!r} names no dataset: pass one, or several in a list")
    return datasets


def _left_rows(
    engine: Engine,
    left: pl.DataFrame | DatasetLike,
    start: TimeLike | None,
    end: TimeLike | None,
    at: str | None,
) -> tuple[pl.DataFrame, pl.Series]:
    """Return the rows that are joined to, and the instant of each."""
    if isinstance(left, str | Dataset):
        dataset = known_dataset(engine, left)
        rows = engine.load(dataset, Span.parse(start, end))
        if at is None:
            return rows, happened_at(rows, dataset).cast(TIME)
    elif isinstance(left, pl.DataFrame):
        rows = left
    else:
        raise BadInput(f"left is a {type(left).__name__}: pass a Polars DataFrame or the name of a dataset")
    name = at or "ts"
    if name not in rows.columns:
        raise BadInput(
            f"the left frame has no column {name!r}{did_you_mean(name, rows.columns)}: name that of its times, at=..."
        )
    return rows, rows[name]
