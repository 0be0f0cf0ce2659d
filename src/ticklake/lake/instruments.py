"""What exchanges list and listed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from ticklake.core.kinds import TIME
from ticklake.core.symbol import exchange_id
from ticklake.core.time import TimeLike, parse_time
from ticklake.lake.base import Base

if TYPE_CHECKING:
    from ticklake.core.instrument import Instrument, Rename, Sighting

__all__ = ["Markets"]

_SCHEMA: dict[str, Any] = {
    "symbol": pl.String,
    "native_id": pl.String,
    "market_type": pl.String,
    "active": pl.Boolean,
    "base": pl.String,
    "quote": pl.String,
    "settle": pl.String,
    "contract_size": pl.Float64,
    "tick_size": pl.Float64,
    "lot_size": pl.Float64,
    "listed_at": pl.Int64,
    "delisted_at": pl.Int64,
    "valid_from": pl.Int64,
    "valid_to": pl.Int64,
    "renamed_from": pl.String,
    "renamed_to": pl.String,
}
_TIMES = ("listed_at", "delisted_at", "valid_from", "valid_to")


class Markets(Base):
    """The verbs about instruments."""

    def instruments(self, exchange: str, search: str = "", at: TimeLike | None = None) -> pl.DataFrame:
        """Return what the lake knows that an exchange lists or listed: a row a symbol, by its newest description.

        Parameters
        ----------
        search
            Only symbols that contain this, whose native id does, or that are or were called so.
        at
            Only what was listed at that time, as it was described then.

        Returns
        -------
        DataFrame
            ``symbol``, ``native_id``, ``market_type``, ``active``, ``base``, ``quote``, ``settle``, ``contract_size``,
            ``tick_size``, ``lot_size``, ``listed_at`` (when its history begins, if that was found out),
            ``delisted_at`` (when it was last listed, if it is gone), ``valid_from`` and ``valid_to`` of the
            description, ``renamed_from``, ``renamed_to``.
        """
        exchange = exchange_id(exchange)
        known = self._collector.instruments.history(exchange, None if at is None else parse_time(at))
        links = self._collector.instruments.links(exchange)
        rows = [_row(one, links) for one in known]
        found = [row for row in rows if _matches(row, search)]
        return pl.DataFrame(found, schema=_SCHEMA, orient="row").with_columns(pl.col(_TIMES).cast(TIME))

    def refresh_instruments(self, exchange: str) -> Sighting:
        """Look at what an exchange lists now; backfills do that once a UTC day by themselves.

        Returns
        -------
        Sighting
            What is ``new``, ``changed`` and ``gone`` since the last look; ``listed`` is how many there are.
        """
        return self._collector.look(exchange_id(exchange))

    def rename_instrument(self, exchange: str, old: str, new: str, at: TimeLike) -> Rename:
        """Remember that since *at* a symbol goes on under another name. It is a link: the data of the two stay apart."""
        from ticklake.core.instrument import Rename
        from ticklake.core.symbol import Symbol

        rename = Rename(exchange_id(exchange), str(Symbol(old)), str(Symbol(new)), parse_time(at))
        self._collector.instruments.link(rename)
        return rename


def _row(one: Instrument, links: Sequence[Rename]) -> dict[str, Any]:
    values = {name: getattr(one, name) for name in _SCHEMA if not name.startswith("renamed")}
    before = next((link.old for link in reversed(links) if link.new == one.symbol), None)
    after = next((link.new for link in reversed(links) if link.old == one.symbol), None)
    return {**values, "renamed_from": before, "renamed_to": after}


def _matches(row: dict[str, Any], search: str) -> bool:
    return any(search in (row[name] or "") for name in ("symbol", "native_id", "renamed_from", "renamed_to"))
