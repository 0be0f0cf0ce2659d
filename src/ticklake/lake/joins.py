"""Joins: rows of several datasets brought together by time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import polars as pl

from ticklake.core.dataset import BAR_KINDS, Dataset
from ticklake.core.kinds import TIME
from ticklake.core.knowledge import Knowledge, Lags, happened_at, parse_knowledge
from ticklake.core.lookup import absent, did_you_mean, is_pattern
from ticklake.core.selection import parse_columns, parse_names, parse_text, parse_word
from ticklake.core.span import Span
from ticklake.core.symbol import exchange_id
from ticklake.core.time import TimeLike
from ticklake.core.timeframe import Timeframe
from ticklake.engine.engine import Engine
from ticklake.errors import BadInput, InvalidData
from ticklake.lake.arguments import (
    Columns,
    DatasetLike,
    as_list,
    known_dataset,
    matching_datasets,
    optional_count,
    optional_time,
)
from ticklake.lake.reading import Reading

if TYPE_CHECKING:
    from ticklake.core.duration import DurationLike
    from ticklake.core.event_rows import By, Form
    from ticklake.core.words import Fill, How, Label, Unit

__all__ = ["JoinVerbs", "datasets_of_symbols"]


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
            A frame (Polars, pandas or Arrow), or a dataset, of which the rows in ``[start, end)`` are loaded.
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
            ``{"ohlcv": "2s"}``: as the lake is set, by default.
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
        datasets = _some_datasets("right", self.engine, right)
        names = parse_columns(datasets[0].spec, columns) or datasets[0].spec.names
        age: int | None = None
        if max_age is not None:
            age = parse_length(max_age)
        known = Known(parse_knowledge(knowledge), _lags_of(engine, lags), age, allow_exact)
        frame, instants = _left_rows(engine, left, start, end, at)
        return asof_datasets(engine, frame, instants, datasets, names, known, parse_text("suffix", suffix))

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
        datasets = datasets_of_symbols(engine, exchange, symbols, timeframe, kind)
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
        known = Known(parse_knowledge(knowledge), _lags_of(engine, lags))
        return panel(engine, datasets, Span.parse(start, end), shape, optional_time(known_at), known)

    def markout(
        self,
        trades: pl.DataFrame | DatasetLike,
        against: DatasetLike | Sequence[DatasetLike],
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        offsets: DurationLike | Sequence[DurationLike] = ("1s", "5s", "1m", "5m"),
        price: str | None = None,
        unit: Unit = "price",
        at: str = "ts",
        max_age: DurationLike | None = None,
    ) -> pl.DataFrame:
        """Return trades with how far the price had moved in their direction some time later: ``sign * (reference - price)``.

        The sign is 1 of a ``buy`` and -1 of a ``sell``: a positive markout is a gain of whoever took. The reference is the price of
        *against* at the trade's time and the offset: of the newest row that happened at or before then. A bar happens when it
        closes. A markout is null after the last row of *against*, where that has no price yet, and where the side is not known.

        Parameters
        ----------
        trades
            A frame with ``price``, ``side`` and times, or a dataset of trades, of which the rows in ``[start, end)`` are loaded.
        against
            A dataset of quotes, bars or trades; or several, by names or patterns: then each trade is held against that of its own
            ``symbol``.
        offsets
            Lengths of time, like ``"250ms"``; with ``-`` before the trade. Each makes a column like ``markout_250ms``.
        price
            Of quotes ``mid`` (default), ``microprice`` or a column; of bars a column (``close``); of trades ``price``.
        unit
            ``price``, or ``bps``: hundredths of a percent of the trade's price.
        at
            The column of the times of a frame.
        max_age
            A reference that happened longer ago does not count.

        Raises
        ------
        UnknownDataset
            If the lake has nothing of a name.
        BadInput
            If a column or a price is missing, or an offset cannot be read.
        """
        from ticklake.core.duration import parse_length
        from ticklake.query.asof import pinned
        from ticklake.query.markout import UNITS, MarkoutShape, markouts, reference_of

        engine = pinned(self.engine)
        datasets = _some_datasets("against", self.engine, against)
        age: int | None = None
        if max_age is not None:
            age = parse_length(max_age)
        reference = reference_of(datasets[0], price)
        shape = MarkoutShape(_named_offsets(offsets), reference, parse_word("unit", unit, UNITS), age)
        frame, instants = _left_rows(engine, trades, start, end, at)
        return markouts(engine, frame, instants, datasets, shape)

    def iterate(
        self,
        datasets: DatasetLike | Sequence[DatasetLike],
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        by: By = "exchange",
        as_: Form = "objects",
        batch: int | None = None,
        columns: Sequence[str] | None = None,
        lags: Mapping[str, DurationLike] | None = None,
    ) -> Iterator[Any]:
        """Return the rows of several datasets as events in order, in memory that does not grow with their number.

        All are of one version of the lake, whoever writes meanwhile. A bar is an event when it closes, never when it opens.
        Events of one time are ordered by when they were known (with ``by="received"``: by when they happened), then by the
        order of *datasets*, then as the dataset stores them.

        Parameters
        ----------
        datasets
            Names or patterns.
        start, end
            Events have their time in ``[start, end)``. To go on, start at the time of the last event: those of that time
            come again.
        by
            The time of an event: ``exchange`` for when it happened, ``received`` for when it was known. By ``received``, a row that
            was changed comes with its first values when those were known, and again when they were changed.
        as_
            ``objects``: one :class:`~ticklake.Event` after the other, with ``dataset``, ``time`` (nanoseconds) and
            ``row`` (a named tuple; times in it are nanoseconds, too). ``arrow``: record batches; ``frames``: Polars frames.
            Both have the columns ``dataset``, ``time``, and those of all datasets, null where one has none of a name.
        batch
            Rows of a batch or frame: 65,536 by default. With ``objects``: lists of so many events.
        columns
            Of all datasets together; all by default.
        lags
            How long after it happened a row is known that was not received live, by kind, for ``received``: as the lake
            is set, by default.

        Raises
        ------
        UnknownDataset
            If the lake has nothing of a name.
        BadInput
            If an argument is none of its words, or datasets have columns of one name and different types.
        """
        from ticklake.core.event_rows import BYS, FORMS, ROWS, as_arrow, as_events, as_lists, in_batches
        from ticklake.query.asof import pinned
        from ticklake.query.iterate import events

        engine = pinned(self.engine)
        chosen = _some_datasets("datasets", self.engine, datasets)
        names = _columns_of_any(chosen, columns)
        form = parse_word("as_", as_, FORMS)
        order = parse_word("by", by, BYS)
        rows = optional_count("batch", batch, 1)
        frames = events(engine, chosen, Span.parse(start, end), order, _lags_of(engine, lags), names)
        if form == "objects" and rows is None:
            return as_events(frames, chosen, names)
        frames = in_batches(frames, rows or ROWS)
        if form == "arrow":
            return as_arrow(frames)
        if form == "objects":
            return as_lists(frames, chosen, names)
        return frames


def _lags_of(engine: Engine, lags: Mapping[str, DurationLike] | None) -> Lags:
    """Return the lags that were given, or those of the lake."""
    if lags is None:
        return engine.lags
    return Lags.parse(lags)


def _named_offsets(offsets: DurationLike | Sequence[DurationLike]) -> dict[str, int]:
    """Return offsets in nanoseconds by the names of their columns."""
    from ticklake.core.duration import parse_offset

    given: list[DurationLike] = []
    if isinstance(offsets, list | tuple):
        given += offsets
    else:
        given.append(cast("DurationLike", offsets))
    named: dict[str, int] = {}
    for value in given:
        name = _column_of_offset(value)
        if name in named:
            raise BadInput(f"offsets={offsets!r} has {value!r} twice: name it once")
        named[name] = parse_offset(value)
    if not named:
        raise BadInput("offsets=[] names none: pass some, like ['1s', '1m']")
    return named


def _column_of_offset(value: DurationLike) -> str:
    from ticklake.core.duration import format_offset, parse_offset

    if isinstance(value, str):
        return f"markout_{''.join(value.split())}"
    return f"markout_{format_offset(parse_offset(value))}"


def _columns_of_any(datasets: Sequence[Dataset], columns: Columns | None) -> list[str] | None:
    """Check that each of *columns* is one of some dataset."""
    if columns is None:
        return None
    names = parse_names("columns", columns)
    if not names:
        raise InvalidData(f"columns={columns!r} names no column: leave it out for all, or name some")
    known: list[str] = []
    for dataset in datasets:
        known += absent(dataset.spec.names, known)
    for name in absent(names, known):
        raise InvalidData(
            f"none of the datasets has a column {name!r}{did_you_mean(name, known)}: they have {', '.join(known)}"
        )
    return names


def datasets_of_symbols(
    engine: Engine, exchange: str, symbols: str | Sequence[str], timeframe: str | Timeframe | None, kind: str
) -> list[Dataset]:
    """Return the datasets of names or patterns of symbols, each once."""
    parts = [exchange_id(exchange), parse_text("kind", kind)]
    if timeframe is None and kind.partition("@")[0] in BAR_KINDS:
        raise BadInput(f"{kind} needs a timeframe: pass one, like '1h'")
    if timeframe is not None:
        parts.append(str(Timeframe.parse(timeframe)))
    names = [":".join([*parts, symbol]) for symbol in parse_names("symbols", symbols)]
    return _some_datasets("symbols", engine, names)


def _some_datasets(argument: str, engine: Engine, names: DatasetLike | Sequence[DatasetLike]) -> list[Dataset]:
    """Return the datasets of names and patterns, each once, in the order of the names."""
    # Keys of a dict are a set that keeps its order.
    chosen: dict[Dataset, None] = {}
    for name in as_list(argument, names):
        # Only a pattern is held against all names, of which a lake may have thousands.
        if is_pattern(str(name)):
            chosen.update(dict.fromkeys(matching_datasets(engine, name)))
        else:
            chosen[known_dataset(engine, name)] = None
    if not chosen:
        raise BadInput(f"{argument}={names!r} names no dataset: pass one, or several in a list")
    return list(chosen)


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
    else:
        rows = _as_frame(left)
    name = at or "ts"
    if name not in rows.columns:
        raise BadInput(
            f"the left frame has no column {name!r}{did_you_mean(name, rows.columns)}: name that of its times, at=..."
        )
    return rows, rows[name]


def _as_frame(data: Any) -> pl.DataFrame:
    if isinstance(data, pl.DataFrame):
        return data
    if hasattr(data, "__arrow_c_stream__") and not isinstance(data, pl.LazyFrame | pl.Series):
        return pl.DataFrame(data)
    raise BadInput(f"{type(data).__name__} is no frame: pass a Polars, pandas or Arrow frame, or the name of a dataset")
