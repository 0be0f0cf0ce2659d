"""Instruments: what exchanges list and listed, from when to when, and what became of what."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, func, or_, select, tuple_

from ticklake.catalog import schema
from ticklake.catalog.checksums import intact, rows_of
from ticklake.catalog.database import Database
from ticklake.catalog.upsert import insert_or_replace
from ticklake.core.instrument import Instrument, Rename, Sighting, compared

__all__ = ["Instruments"]

_TABLE = schema.instruments
_COLUMNS = ("contract_size", "tick_size", "lot_size", "native_id", "market_type", "listed_at", "valid_from")

_SEARCH = "listing searched:"


class Instruments:
    """The markets the lake has met. Nothing is ever removed: what is described anew or gone gets an end.

    Times of snapshots are the exchange's; *now* stamps what is found out otherwise.
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
        """Return the newest description of every symbol, or the one that held *at* a time, sorted by symbol.

        A market whose listing date is known held from then on, even if it was first seen later.
        """
        chosen = _newest(exchange) if at is None else _holding(exchange, at)
        query = rows_of(_TABLE).where(_TABLE.c.exchange == exchange, chosen).order_by(_TABLE.c.symbol)
        with self._database.read() as connection:
            return [_instrument(row) for row in connection.execute(query)]

    def names(self, exchange: str) -> list[tuple[str, str]]:
        """Return the native id and the symbol of every market that an exchange lists or ever listed."""
        query = select(_TABLE.c.native_id, _TABLE.c.symbol).where(_TABLE.c.exchange == exchange).distinct()
        with self._database.read() as connection:
            return [(row.native_id, row.symbol) for row in connection.execute(query)]

    def snapshot(self, exchange: str, listed: Sequence[Instrument], at: int) -> Sighting:
        """Take what an exchange lists at its time *at*: one transaction, in which only what is other than known is written.

        Raises
        ------
        BadResponse
            If most of what is known is not listed; nothing is changed then.
        """
        with self._database.write() as connection:
            last = _checked_at(connection, exchange)
            still = rows_of(_TABLE).where(_TABLE.c.exchange == exchange, _TABLE.c.valid_to.is_(None))
            known = [_instrument(row) for row in connection.execute(still)]
            seen = compared(known, listed, at)
            _end(connection, seen.changed, at, None)
            # When it went is not known: the last look is the last time at which it was certainly listed.
            _end(connection, seen.gone, at, at if last is None else last)
            _describe(connection, seen.described)
            _insert(connection, seen.new)
            _check(connection, exchange, at, len(listed))
        return seen

    def checked_at(self, exchange: str) -> int | None:
        """Return when, by the exchange's clock, its list was last looked at."""
        with self._database.read() as connection:
            return _checked_at(connection, exchange)

    def remember_listing(self, exchange: str, symbol: str, listed_at: int) -> None:
        """Remember when a symbol's history begins."""
        known = self.get(exchange, symbol)
        instrument = known or Instrument(exchange, symbol, valid_from=self._now())
        mine = and_(_TABLE.c.symbol == symbol, _TABLE.c.valid_from == instrument.valid_from)
        with self._database.write() as connection:
            if known is None:
                _insert(connection, [instrument])
            values = {"listed_at": listed_at}
            connection.execute(_TABLE.update().where(_TABLE.c.exchange == exchange, mine).values(values))

    def last_search(self, dataset: str) -> tuple[int, int | None] | None:
        """Return when a listing was last searched for in vain, and from when on rows are served if that was found out."""
        with self._database.read() as connection:
            known = select(intact(schema.meta.c.value)).where(schema.meta.c.key == _SEARCH + dataset)
            text = connection.execute(known).scalar()
        if text is None:
            return None
        searched_at, first_served = json.loads(text)
        return searched_at, first_served

    def remember_search(self, dataset: str, searched_at: int, first_served: int | None) -> None:
        """Remember that the exchange could not prove since when a market was listed, so that it isn't asked all the time."""
        key = _SEARCH + dataset
        value = json.dumps([searched_at, first_served])
        with self._database.write() as connection:
            connection.execute(insert_or_replace(schema.meta), {"key": key, "value": value})

    def link(self, rename: Rename) -> None:
        """Remember that a symbol goes on under another name; saying it again with another time corrects the time."""
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


def _newest(exchange: str) -> Any:
    """Choose the last description of each symbol."""
    last = select(_TABLE.c.symbol, func.max(_TABLE.c.valid_from)).where(_TABLE.c.exchange == exchange)
    return tuple_(_TABLE.c.symbol, _TABLE.c.valid_from).in_(last.group_by(_TABLE.c.symbol))


def _holding(exchange: str, at: int) -> Any:
    """Choose the description of each symbol that held *at* a time: the first one from the listing on, if that is known."""
    first = select(_TABLE.c.symbol, func.min(_TABLE.c.valid_from)).where(_TABLE.c.exchange == exchange)
    is_first = tuple_(_TABLE.c.symbol, _TABLE.c.valid_from).in_(first.group_by(_TABLE.c.symbol))
    begun = or_(_TABLE.c.valid_from <= at, and_(_TABLE.c.listed_at <= at, is_first))
    return and_(begun, or_(_TABLE.c.valid_to.is_(None), _TABLE.c.valid_to > at))


def _values(instrument: Instrument) -> dict[str, Any]:
    details = json.dumps({**instrument.details, "active": instrument.active}, default=str)
    named = {name: getattr(instrument, name) for name in _COLUMNS}
    return {"exchange": instrument.exchange, "symbol": instrument.symbol, **named, "details": details}


def _insert(connection: Connection, new: Iterable[Instrument]) -> None:
    """Add descriptions; one from the very same instant is replaced."""
    rows = [_values(instrument) for instrument in new]
    if rows:
        connection.execute(insert_or_replace(_TABLE), rows)


def _end(connection: Connection, ended: Iterable[Instrument], at: int, delisted_at: int | None) -> None:
    """Let descriptions hold until *at*."""
    rows = [{**_key(instrument), "until": max(at, instrument.valid_from + 1)} for instrument in ended]
    if rows:
        connection.execute(
            _TABLE.update().where(_is_named()).values(valid_to=bindparam("until"), delisted_at=delisted_at), rows
        )


def _describe(connection: Connection, described: Iterable[Instrument]) -> None:
    rows: list[dict[str, Any]] = []
    for instrument in described:
        values = _values(instrument)
        rows.append({**_key(instrument), **{f"new_{name}": value for name, value in values.items()}})
    if rows:
        names = [*(name for name in _COLUMNS if name != "valid_from"), "details"]
        changes: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names}
        connection.execute(_TABLE.update().where(_is_named()).values(changes), rows)


def _key(instrument: Instrument) -> dict[str, Any]:
    """Return the parameters of :func:`_is_named` for one description."""
    return {"of": instrument.exchange, "name": instrument.symbol, "since": instrument.valid_from}


def _is_named() -> Any:
    named = and_(_TABLE.c.exchange == bindparam("of"), _TABLE.c.symbol == bindparam("name"))
    return and_(named, _TABLE.c.valid_from == bindparam("since"))


def _checked_at(connection: Connection, exchange: str) -> int | None:
    table = schema.instrument_checks
    known = select(intact(table.c.checked_at)).where(table.c.exchange == exchange)
    found = connection.execute(known).scalar()
    return None if found is None else int(found)


def _check(connection: Connection, exchange: str, at: int, listed: int) -> None:
    values = {"exchange": exchange, "checked_at": at, "listed": listed}
    connection.execute(insert_or_replace(schema.instrument_checks), values)
