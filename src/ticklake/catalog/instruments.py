"""Instruments: what an exchange lists, and since when."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from sqlalchemy import select

from ticklake.catalog import schema
from ticklake.catalog.database import Database
from ticklake.core.instrument import Instrument

__all__ = ["Instruments"]


class Instruments:
    """The instruments the lake has met, with their listing dates."""

    def __init__(self, database: Database, now: Callable[[], int]) -> None:
        self._database = database
        self._now = now

    def get(self, exchange: str, symbol: str) -> Instrument | None:
        """Return the newest description of a symbol, or ``None``."""
        table = schema.instruments
        query = (
            select(table)
            .where(table.c.exchange == exchange, table.c.symbol == symbol)
            .order_by(table.c.valid_from.desc())
        )
        with self._database.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        details = json.loads(row.details)
        active = details.pop("active", True)
        return Instrument(**{**row._mapping, "details": details, "active": active})

    def see(self, instruments: Iterable[Instrument]) -> None:
        """Remember instruments that are not known yet."""
        for instrument in instruments:
            if self.get(instrument.exchange, instrument.symbol) is None:
                self._insert(instrument)

    def remember_listing(self, exchange: str, symbol: str, listed_at: int) -> None:
        """Remember when a symbol's history begins."""
        if self.get(exchange, symbol) is None:
            self._insert(Instrument(exchange, symbol))
        table = schema.instruments
        with self._database.write() as connection:
            connection.execute(
                table.update().where(table.c.exchange == exchange, table.c.symbol == symbol).values(listed_at=listed_at)
            )

    def _insert(self, instrument: Instrument) -> None:
        with self._database.write() as connection:
            connection.execute(
                schema.instruments.insert().values(
                    exchange=instrument.exchange,
                    symbol=instrument.symbol,
                    valid_from=self._now(),
                    native_id=instrument.native_id,
                    market_type=instrument.market_type,
                    listed_at=instrument.listed_at,
                    details=json.dumps({**instrument.details, "active": instrument.active}, default=str),
                )
            )
