"""The one table of kinds: what can be recorded, and what a row of it is.

Adding a built-in kind is adding one entry to :data:`KINDS`. A lake declares kinds of its own in a :class:`KindRegistry`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import polars as pl

from ticklake.core.lookup import absent, did_you_mean
from ticklake.errors import BadInput, InvalidName

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

__all__ = ["BUILT_IN", "DURATION", "KINDS", "PROVENANCE", "TIME", "Column", "Kind", "KindRegistry", "kind_of"]

TIME = pl.Datetime("ns", "UTC")
DURATION = pl.Duration("ns")
PROVENANCE = "provenance"
"""The hidden column that says where a row came from; shown only when asked for."""

Encoding = Literal["delta", "dictionary", "plain"]
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_RESERVED = frozenset({"checkpoints", "derived", "retired"})
"""Folders of a lake that hold no kind."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a kind.

    ``field_id`` is its Parquet field id and never changes; ``encoding`` is how files store it
    (``delta``: DELTA_BINARY_PACKED), ``level`` how hard zstd tries.
    """

    name: str
    dtype: PolarsDataType
    field_id: int
    required: bool = False
    encoding: Encoding = "dictionary"
    level: int = 3

    @property
    def is_temporal(self) -> bool:
        """Whether it is a time or a duration: an INT64 of nanoseconds in files."""
        return self.dtype in (TIME, DURATION)


@dataclass(frozen=True)
class Kind:
    """What a row of this kind is.

    ``key`` is the natural key: two rows with the same key are the same fact. ``same`` are the columns
    that do not make a row different (when we received it). Rows are ordered by ``order``, then by arrival.
    ``group_rows`` is how many rows a file's row group holds: small where single rows are looked for, large
    where bytes count. ``in_sessions`` is whether it is only recorded while the market is open. A row without any of ``any_of``
    says nothing. ``definition`` is what a lake declared it by, as JSON: files carry it, so that they can be read without the lake.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    order: tuple[str, ...] = ("ts",)
    bars: bool = False
    same: tuple[str, ...] = ("received_at",)
    hidden: tuple[Column, ...] = ()
    group_rows: int = 131_072
    in_sessions: bool = True
    any_of: tuple[str, ...] = ()
    definition: str = ""

    @cached_property
    def names(self) -> list[str]:
        """The public column names, in order."""
        return list(self.schema)

    def names_without(self, *names: str) -> list[str]:
        """Return the public column names but *names*, in order."""
        return absent(self.names, names)

    @cached_property
    def stored(self) -> tuple[Column, ...]:
        """Every column a segment holds: the public ones, then the hidden ones."""
        return (*self.columns, *self.hidden, Column(PROVENANCE, pl.Int32, 50))

    @cached_property
    def schema(self) -> dict[str, PolarsDataType]:
        """The public schema of a frame of this kind."""
        return _schema_of(self.columns)

    @cached_property
    def stored_schema(self) -> dict[str, PolarsDataType]:
        """The schema of a segment, hidden columns included."""
        return _schema_of(self.stored)

    @cached_property
    def reads(self) -> dict[str, pl.Expr]:
        """How each stored column is read from a file, in which times are plain integers."""
        expressions: dict[str, pl.Expr] = {}
        for column in self.stored:
            expression = pl.col(column.name)
            if column.is_temporal:
                expression = expression.cast(column.dtype)
            expressions[column.name] = expression
        return expressions

    @cached_property
    def required(self) -> list[str]:
        """Columns that may not be null."""
        return [column.name for column in self.columns if column.required]

    def empty(self) -> pl.DataFrame:
        """Return a frame of no rows with the stored schema."""
        return self._empty

    @cached_property
    def _empty(self) -> pl.DataFrame:
        return pl.DataFrame(schema=self.stored_schema)

    @cached_property
    def no_rows(self) -> pl.DataFrame:
        """A frame of no rows with the columns that a reader sees: made once, as its plan takes as long as most of a frame of now."""
        return self._empty.select(self.names)


def _schema_of(columns: Iterable[Column]) -> dict[str, PolarsDataType]:
    return {column.name: column.dtype for column in columns}


def _time(name: str, field_id: int, *, required: bool = False) -> Column:
    return Column(name, TIME, field_id, required, "delta", 4)


def _number(name: str, field_id: int, *, required: bool = False, encoding: Encoding = "dictionary") -> Column:
    return Column(name, pl.Float64, field_id, required, encoding)


def _bars(name: str) -> Kind:
    return Kind(
        name,
        (
            _time("ts", 1, required=True),
            # Nearly every price and volume in a group of bars is new, so that a dictionary would be a second copy (decision 9).
            _number("open", 2, required=True, encoding="plain"),
            _number("high", 3, required=True, encoding="plain"),
            _number("low", 4, required=True, encoding="plain"),
            _number("close", 5, required=True, encoding="plain"),
            _number("volume", 6, encoding="plain"),
            _number("quote_volume", 7, encoding="plain"),
            Column("trades", pl.Int64, 8, encoding="dictionary"),
        ),
        key=("ts",),
        bars=True,
        same=(),
        group_rows=16_384,
    )


def _event(name: str, value: str) -> Kind:
    """Return a kind of corporate actions: one value a date."""
    columns = (_time("ts", 1, required=True), _number(value, 2, required=True))
    return Kind(name, columns, key=("ts",), same=(), group_rows=16_384, in_sessions=False)


_TRADE_COLUMNS = (
    _time("ts", 1, required=True),
    _time("received_at", 2),
    # Delta encodings of ids are no smaller and read a third slower, or far slower still (decision 9).
    Column("id", pl.String, 3, encoding="plain"),
    Column("price", pl.Float64, 4, required=True, level=6),
    _number("amount", 5, required=True),
    Column("side", pl.String, 6),
)

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        _bars("ohlcv"),
        _bars("mark_ohlcv"),
        _bars("index_ohlcv"),
        Kind(
            "trades",
            _TRADE_COLUMNS,
            key=("ts", "id"),
            # Numbers identical prints of one instant: without ids nothing else tells them apart.
            hidden=(Column("n", pl.Int32, 51),),
        ),
        Kind(
            "book",
            (
                _time("ts", 1, required=True),
                _time("received_at", 2),
                Column("seq", pl.Int64, 3, required=True, encoding="delta"),
                Column("side", pl.String, 4, required=True),
                _number("price", 5, required=True),
                _number("amount", 6, required=True),
                Column("count", pl.Int64, 7),
                Column("is_snapshot", pl.Boolean, 8, required=True, encoding="plain"),
            ),
            # With seq: two snapshots of one time must not mix into a crossed book.
            key=("ts", "seq", "side", "price"),
            order=("ts", "seq"),
        ),
        Kind(
            "quotes",
            (
                _time("ts", 1, required=True),
                _time("received_at", 2),
                Column("seq", pl.Int64, 3, encoding="delta"),
                _number("bid_price", 4),
                _number("bid_amount", 5),
                _number("ask_price", 6),
                _number("ask_amount", 7),
            ),
            key=("ts", "seq", "bid_price", "bid_amount", "ask_price", "ask_amount"),
            any_of=("bid_price", "ask_price"),
        ),
        Kind(
            "funding",
            (
                # Settled, not on a grid: the interval of a market changes, and times jitter by milliseconds.
                _time("ts", 1, required=True),
                _number("rate", 2, required=True),
                _number("predicted_rate", 3),
                _time("next_ts", 4),
                _number("mark_price", 5),
                Column("interval", DURATION, 6),
            ),
            key=("ts",),
            same=(),
            group_rows=16_384,
        ),
        Kind(
            # A kind of its own, so that no prediction is ever taken for a settled rate.
            "predicted_funding",
            (
                _time("ts", 1, required=True),
                _time("received_at", 2),
                _number("predicted_rate", 3, required=True),
                _time("next_ts", 4),
                _number("mark_price", 5),
                Column("interval", DURATION, 6),
            ),
            key=("ts",),
            group_rows=16_384,
        ),
        Kind(
            "open_interest",
            (
                _time("ts", 1, required=True),
                _number("open_interest", 2),
                _number("open_interest_value", 3),
            ),
            key=("ts",),
            same=(),
            group_rows=16_384,
            any_of=("open_interest", "open_interest_value"),
        ),
        Kind(
            "liquidations",
            _TRADE_COLUMNS,
            key=("ts", "id"),
            hidden=(Column("n", pl.Int32, 51),),
        ),
        Kind(
            # Bars that end with a trade have no grid: two may open at one instant, so they are numbered.
            "bars",
            (
                _time("ts", 1, required=True),
                _time("close_time", 2, required=True),
                Column("number", pl.Int64, 3, required=True, encoding="delta"),
                _number("open", 4, encoding="plain"),
                _number("high", 5, encoding="plain"),
                _number("low", 6, encoding="plain"),
                _number("close", 7, encoding="plain"),
                _number("volume", 8, encoding="plain"),
                _number("quote_volume", 9, encoding="plain"),
                Column("trades", pl.Int64, 10, encoding="dictionary"),
                _number("vwap", 11, encoding="plain"),
                _number("buy_volume", 12, encoding="plain"),
                _number("sell_volume", 13, encoding="plain"),
                _time("known_at", 14),
            ),
            key=("ts", "number"),
            order=("ts", "number"),
            same=("known_at",),
            group_rows=16_384,
        ),
        _event("splits", "ratio"),
        _event("dividends", "amount"),
    )
}


class KindRegistry:
    """The kinds of a lake, by name: the built-in ones, and those that it declares. A value: it never changes.

    Raises
    ------
    InvalidName
        If a declared kind has a name that no kind can have, or one that is taken.
    BadInput
        If its columns are not those of a kind.
    """

    def __init__(self, declared: Iterable[Kind] = ()) -> None:
        kinds = dict(KINDS)
        for kind in declared:
            if kind.name in kinds:
                raise InvalidName(f"there is a kind {kind.name!r} already: choose another name")
            _check_declared(kind)
            kinds[kind.name] = kind
        self._kinds = kinds

    def __getitem__(self, name: str) -> Kind:
        try:
            return self._kinds[name]
        except KeyError:
            hint = did_you_mean(name, list(self._kinds))
            raise InvalidName(f"{name!r} is not a kind{hint}: use one of {', '.join(self._kinds)}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._kinds

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)

    def declare(self, *kinds: Kind) -> KindRegistry:
        """Return a registry that has *kinds*, too."""
        # The new registry adds the built-in kinds by itself.
        own = [kind for name, kind in self._kinds.items() if name not in KINDS]
        return KindRegistry([*own, *kinds])


def _check_declared(kind: Kind) -> None:
    if not _NAME.fullmatch(kind.name) or kind.name in _RESERVED:
        raise InvalidName(f"{kind.name!r} cannot name a kind: use lower-case letters, digits and _, like 'momentum'")
    first = kind.columns[:1]
    if not first or (first[0].name, first[0].dtype, first[0].required) != ("ts", TIME, True):
        raise BadInput(f"the kind {kind.name!r} must begin with a required column 'ts' of times")
    names: set[str] = set()
    field_ids: set[int] = set()
    for column in kind.stored:
        if column.name in names or column.field_id in field_ids:
            raise BadInput(f"two columns of the kind {kind.name!r} have the same name or field id: give each its own")
        names.add(column.name)
        field_ids.add(column.field_id)
    unknown = sorted({*kind.key, *kind.order, *kind.any_of} - names)
    if unknown:
        raise BadInput(
            f"the key or order of the kind {kind.name!r} names {', '.join(unknown)}, which it has not: name its columns"
        )
    if not kind.key:
        raise BadInput(f"the key or order of the kind {kind.name!r} is empty: name its columns")


BUILT_IN = KindRegistry()
"""The kinds that every lake has."""


def kind_of(name: str) -> Kind:
    """Return the built-in kind of that name.

    Raises
    ------
    InvalidName
        If there is none.
    """
    return BUILT_IN[name]
