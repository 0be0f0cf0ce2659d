"""The namespace ``lake.instruments``: the markets that exchanges list and listed, as far as the lake has seen them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from ticklake.core.kinds import TIME
from ticklake.core.symbol import exchange_id
from ticklake.core.time import TimeLike, parse_time
from ticklake.lake.arguments import optional_time

if TYPE_CHECKING:
    from ticklake.collect.collector import Collector
    from ticklake.core.instrument import Instrument, Rename, Sighting

__all__ = ["LakeInstruments"]

_COLUMNS: dict[str, Any] = {
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
_SEARCHED = ("symbol", "native_id", "renamed_from", "renamed_to")


class LakeInstruments:
    """The instruments of exchanges; ``lake.instruments("binance")`` is short for ``lake.instruments.list("binance")``."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def __call__(self, exchange: str, search: str = "", at: TimeLike | None = None) -> pl.DataFrame:
        """Return what :meth:`list` returns."""
        return self.list(exchange, search, at)

    def list(self, exchange: str, search: str = "", at: TimeLike | None = None) -> pl.DataFrame:
        """Return the markets that an exchange lists or listed, as far as the lake knows: a row for each symbol, as last described.

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
        name = exchange_id(exchange)
        renames = self._collector.instruments.links(name)
        rows: list[dict[str, Any]] = []
        for instrument in self._collector.instruments.history(name, optional_time(at)):
            row = _row(instrument, renames)
            if _matches(row, search):
                rows.append(row)
        return pl.DataFrame(rows, schema=_COLUMNS, orient="row").with_columns(pl.col(_TIMES).cast(TIME))

    def refresh(self, exchange: str) -> Sighting:
        """Ask an exchange what it lists now; backfills do that once a UTC day by themselves.

        Returns
        -------
        Sighting
            What is ``new``, ``changed`` and ``gone`` since the last time; ``listed`` is how many there are.
        """
        return self._collector.look(exchange_id(exchange))

    def rename(self, exchange: str, old: str, new: str, at: TimeLike) -> Rename:
        """Record that since *at* a symbol has another name. It is only a link: the data of the two stay apart."""
        from ticklake.core.instrument import Rename
        from ticklake.core.symbol import Symbol

        rename = Rename(exchange_id(exchange), str(Symbol(old)), str(Symbol(new)), parse_time(at))
        self._collector.instruments.link(rename)
        return rename


def _row(instrument: Instrument, renames: Sequence[Rename]) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(_COLUMNS)
    for name in _COLUMNS.keys() - {"renamed_from", "renamed_to"}:
        row[name] = getattr(instrument, name)
    # The renames are in order of time: the last one that fits is the newest.
    for rename in renames:
        if rename.new == instrument.symbol:
            row["renamed_from"] = rename.old
        if rename.old == instrument.symbol:
            row["renamed_to"] = rename.new
    return row


def _matches(row: dict[str, Any], search: str) -> bool:
    return any(search in (row[name] or "") for name in _SEARCHED)
