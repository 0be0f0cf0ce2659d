"""Instruments: what exchanges list and listed, from when to when, and which symbols were renamed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, func, or_, select, tuple_

from ticklake.catalog import schema
from ticklake.catalog.checksums import intact, rows_of
from ticklake.catalog.database import Database
from ticklake.catalog.parameters import attributes, bind_new, new_values
from ticklake.catalog.upsert import insert_or_replace
from ticklake.core.instrument import Instrument, Rename, Sighting, compared

__all__ = ["Instruments"]

_TABLE = schema.instruments
_TERMS = ("contract_size", "tick_size", "lot_size", "native_id", "market_type", "listed_at")
_COLUMNS = (*_TERMS, "valid_from")
_SEARCH = "listing searched:"


class Instruments:
    """The markets known to the lake. Nothing is ever removed: a description that is replaced or delisted gets an end.

    Times of snapshots are the exchange's; everything else is stamped with *now*.
    """

    def __init__(self, database: Database, now: Callable[[], int]) -> None:
        self._database = database
        self._now = now

    def get(self, exchange: str, symbol: str) -> Instrument | None:
        """Return the newest description of a symbol, or ``None``."""
        query = rows_of(_TABLE).where(_TABLE.c.exchange == exchange, _TABLE.c.symbol == symbol)
        with self._database.read() as connection:
            row = connection.execute(query.order_by(_TABLE.c.valid_from.desc())).first()
        if row is None:
            return None
        return _instrument(row)

    def history(self, exchange: str, at: int | None = None) -> list[Instrument]:
        """Return the newest description of every symbol, or the one valid *at* a time, sorted by symbol.

        The first description of a market is valid from its listing date, even if it was first seen later.
        """
        is_chosen = _is_newest(exchange)
        if at is not None:
            is_chosen = _is_valid(exchange, at)
        query = rows_of(_TABLE).where(_TABLE.c.exchange == exchange, is_chosen).order_by(_TABLE.c.symbol)
        with self._database.read() as connection:
            return list(map(_instrument, connection.execute(query)))

    def names(self, exchange: str) -> list[tuple[str, str]]:
        """Return the native id and the symbol of every market that an exchange lists or ever listed."""
        query = select(_TABLE.c.native_id, _TABLE.c.symbol).where(_TABLE.c.exchange == exchange).distinct()
        with self._database.read() as connection:
            return [(row.native_id, row.symbol) for row in connection.execute(query)]

    def snapshot(self, exchange: str, listed: Sequence[Instrument], at: int) -> Sighting:
        """Record what an exchange lists at its time *at*: only differences are written, in one transaction.

        Raises
        ------
        BadResponse
            If most of the known markets are not listed; nothing is changed then.
        """
        with self._database.write() as connection:
            last = _checked_at(connection, exchange)
            valid = rows_of(_TABLE).where(_TABLE.c.exchange == exchange, _TABLE.c.valid_to.is_(None))
            known = list(map(_instrument, connection.execute(valid)))
            seen = compared(known, listed, at)
            _end(connection, seen.changed, at, None)
            # When it was delisted is not known: the last snapshot is the last time at which it was certainly listed.
            delisted_at = at
            if last is not None:
                delisted_at = last
            _end(connection, seen.gone, at, delisted_at)
            _describe(connection, seen.described)
            _insert(connection, seen.new)
            _check(connection, exchange, at, len(listed))
        return seen

    def checked_at(self, exchange: str) -> int | None:
        """Return when the last snapshot was taken, by the exchange's clock."""
        with self._database.read() as connection:
            return _checked_at(connection, exchange)

    def remember_listing(self, exchange: str, symbol: str, listed_at: int) -> None:
        """Record when a symbol's history begins."""
        known = self.get(exchange, symbol)
        instrument = known or Instrument(exchange, symbol, valid_from=self._now())
        with self._database.write() as connection:
            if known is None:
                _insert(connection, [instrument])
            connection.execute(_TABLE.update().where(_is_named()).values(listed_at=listed_at), _key(instrument))

    def last_search(self, dataset: str) -> tuple[int, int | None] | None:
        """Return when a listing was last searched for in vain, and the time of the first row served, if known."""
        query = select(intact(schema.meta.c.value)).where(schema.meta.c.key == _SEARCH + dataset)
        with self._database.read() as connection:
            text = connection.execute(query).scalar()
        if text is None:
            return None
        searched_at, first_served = json.loads(text)
        return searched_at, first_served

    def remember_search(self, dataset: str, searched_at: int, first_served: int | None) -> None:
        """Record that the exchange could not prove when a market was listed, so that it is not asked each time."""
        key = _SEARCH + dataset
        value = json.dumps([searched_at, first_served])
        with self._database.write() as connection:
            connection.execute(insert_or_replace(schema.meta), {"key": key, "value": value})

    def link(self, rename: Rename) -> None:
        """Record that a symbol continues under another name; a second call with another time corrects the time."""
        values = {
            "exchange": rename.exchange,
            "old": rename.old,
            "new": rename.new,
            "at": rename.at,
            "noted_at": self._now(),
        }
        with self._database.write() as connection:
            connection.execute(insert_or_replace(schema.renames), values)

    def links(self, exchange: str) -> list[Rename]:
        """Return the renames of an exchange, oldest first."""
        table = schema.renames
        query = rows_of(table).where(table.c.exchange == exchange).order_by(table.c.at, table.c.old)
        with self._database.read() as connection:
            return [Rename(row.exchange, row.old, row.new, row.at) for row in connection.execute(query)]


def _instrument(row: Row[Any]) -> Instrument:
    details = json.loads(row.details)
    active = details.pop("active", True)
    return Instrument(**{**row._mapping, "details": details, "active": active})


def _is_newest(exchange: str) -> Any:
    """Return the condition for the last description of each symbol."""
    last = select(_TABLE.c.symbol, func.max(_TABLE.c.valid_from)).where(_TABLE.c.exchange == exchange)
    return tuple_(_TABLE.c.symbol, _TABLE.c.valid_from).in_(last.group_by(_TABLE.c.symbol))


def _is_valid(exchange: str, at: int) -> Any:
    """Return the condition for the description valid *at* a time: the first one from the listing on, if that is known."""
    first = select(_TABLE.c.symbol, func.min(_TABLE.c.valid_from)).where(_TABLE.c.exchange == exchange)
    is_first = tuple_(_TABLE.c.symbol, _TABLE.c.valid_from).in_(first.group_by(_TABLE.c.symbol))
    begun = or_(_TABLE.c.valid_from <= at, and_(_TABLE.c.listed_at <= at, is_first))
    return and_(begun, or_(_TABLE.c.valid_to.is_(None), _TABLE.c.valid_to > at))


def _values(instrument: Instrument) -> dict[str, Any]:
    details = json.dumps({**instrument.details, "active": instrument.active}, default=str)
    return {**attributes(instrument, ("exchange", "symbol", *_COLUMNS)), "details": details}


def _insert(connection: Connection, new: Iterable[Instrument]) -> None:
    """Add descriptions; one that is valid from the same time is replaced."""
    rows = list(map(_values, new))
    if rows:
        connection.execute(insert_or_replace(_TABLE), rows)


def _end(connection: Connection, ended: Iterable[Instrument], at: int, delisted_at: int | None) -> None:
    """Make descriptions valid until *at*."""
    update = _TABLE.update().where(_is_named()).values(valid_to=bindparam("until"), delisted_at=delisted_at)
    # A description noted without a snapshot begins by our clock, which may be ahead of the exchange's.
    rows = [{**_key(instrument), "until": max(at, instrument.valid_from + 1)} for instrument in ended]
    if rows:
        connection.execute(update, rows)


def _describe(connection: Connection, described: Iterable[Instrument]) -> None:
    """Overwrite descriptions whose validity does not change."""
    update = _TABLE.update().where(_is_named()).values(bind_new([*_TERMS, "details"]))
    rows = [{**_key(instrument), **new_values(_values(instrument))} for instrument in described]
    if rows:
        connection.execute(update, rows)


def _key(instrument: Instrument) -> dict[str, Any]:
    """Return the parameters of :func:`_is_named` for one description."""
    return {"of": instrument.exchange, "name": instrument.symbol, "since": instrument.valid_from}


def _is_named() -> Any:
    named = and_(_TABLE.c.exchange == bindparam("of"), _TABLE.c.symbol == bindparam("name"))
    return and_(named, _TABLE.c.valid_from == bindparam("since"))


def _checked_at(connection: Connection, exchange: str) -> int | None:
    table = schema.instrument_checks
    query = select(intact(table.c.checked_at)).where(table.c.exchange == exchange)
    checked_at: int | None = connection.execute(query).scalar()
    return checked_at


def _check(connection: Connection, exchange: str, at: int, listed: int) -> None:
    values = {"exchange": exchange, "checked_at": at, "listed": listed}
    connection.execute(insert_or_replace(schema.instrument_checks), values)
