"""Commands about what exchanges list and listed."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.output import errors, print_json, print_table, say

__all__ = ["instruments"]

At = Annotated[str | None, typer.Option("--at", help="Only what was listed at this time, as described then.")]
Search = Annotated[
    str, typer.Option("--search", help="Only those whose symbol, native id or former name contains this.")
]
Refresh = Annotated[bool, typer.Option("--refresh", help="Look at what the exchange lists now, first.")]
Renamed = Annotated[
    str | None, typer.Option("--rename", metavar="'OLD>NEW@TIME'", help="Remember that a symbol goes on as another.")
]
_SHOWN = ("symbol", "native_id", "market_type", "contract_size", "tick_size", "lot_size")


def instruments(
    exchange: o.ExchangeName,
    search: Search = "",
    at: At = None,
    refresh: Refresh = False,
    rename: Renamed = None,
    lake_path: o.LakePath = None,
    exchange_url: o.ExchangeUrl = None,
    as_json: o.AsJson = False,
) -> None:
    """List what an exchange lists and listed, as far as the lake has seen it: terms, and since and until when."""
    from ticklake.sources.registry import Registry

    exchange = exchange.lower()
    with o.opened(lake_path, create=refresh, exchange_url=exchange_url) as lake:
        if refresh:
            seen = lake.instruments.refresh(exchange)
            told = f"{exchange} lists {seen.listed:,}: {len(seen.new):,} new, {len(seen.changed):,} changed, {len(seen.gone):,} gone"
            errors().print(told, markup=False, soft_wrap=True)
        if rename is not None:
            lake.instruments.rename(exchange, *_rename(rename))
        found = lake.instruments.list(exchange, search, at)
    if as_json:
        return print_json(found)
    rows = found.rows(named=True)
    if not rows:
        if not search and at is None:
            Registry().check_known(exchange)
        return say(f"nothing of {exchange} is known like that: --refresh looks at what it lists")
    return print_table([*_SHOWN, "listed", "state"], [(*(row[name] for name in _SHOWN), *_state(row)) for row in rows])


def _state(row: dict[str, Any]) -> tuple[Any, str]:
    """Return since when a market is there, and how it stands."""
    state = "" if row["active"] else "not trading"
    if row["delisted_at"] is not None:
        state = f"gone since {_plain(row['delisted_at'])}"
    if row["renamed_to"]:
        state += f"; now {row['renamed_to']}"
    if row["renamed_from"]:
        state += f"; was {row['renamed_from']}"
    return _plain(row["listed_at"]), state.removeprefix("; ")


def _plain(value: Any) -> Any:
    import datetime as dt

    from ticklake.core.time import format_time, parse_time

    return format_time(parse_time(value)) if isinstance(value, dt.datetime) else value


def _rename(text: str) -> tuple[str, str, str]:
    from ticklake.errors import BadInput

    names, at, moment = text.rpartition("@")
    old, arrow, new = names.partition(">")
    if not (at and arrow):
        raise BadInput(f"{text!r} is no rename: write it like 'MATIC/USDT>POL/USDT@2024-09-13T10:00'")
    return old, new, moment
