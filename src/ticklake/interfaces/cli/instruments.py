"""Commands about what exchanges list and listed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.output import print_error, print_json, print_records, say

if TYPE_CHECKING:
    from datetime import datetime

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

    # ccxt writes the ids of exchanges in lower case; people write Binance.
    exchange = exchange.lower()
    with o.opened(lake_path, create=refresh, exchange_url=exchange_url) as lake:
        if refresh:
            seen = lake.instruments.refresh(exchange)
            changes = f"{len(seen.new):,} new, {len(seen.changed):,} changed, {len(seen.gone):,} gone"
            print_error(f"{exchange} lists {seen.listed:,}: {changes}")
        if rename is not None:
            lake.instruments.rename(exchange, *_rename(rename))
        markets = lake.instruments.list(exchange, search, at)
    if as_json:
        return print_json(markets)
    rows = markets.rows(named=True)
    if not rows:
        if not search and at is None:
            # An exchange that no source has is an error; one that was not looked at yet is not.
            Registry().check_known(exchange)
        return say(f"nothing of {exchange} is known like that: --refresh looks at what it lists")
    for row in rows:
        row["listed"] = _time_text(row["listed_at"])
        row["state"] = _state(row)
    return print_records([*_SHOWN, "listed", "state"], rows)


def _state(row: dict[str, Any]) -> str:
    """Return whether a market is traded, since when it is delisted, and its other names."""
    words: list[str] = []
    if row["delisted_at"] is not None:
        words.append(f"gone since {_time_text(row['delisted_at'])}")
    elif not row["active"]:
        words.append("not trading")
    if row["renamed_to"]:
        words.append(f"now {row['renamed_to']}")
    if row["renamed_from"]:
        words.append(f"was {row['renamed_from']}")
    return "; ".join(words)


def _time_text(time: datetime | None) -> str | None:
    from ticklake.core.time import format_time, parse_time

    if time is None:
        return None
    return format_time(parse_time(time))


def _rename(text: str) -> tuple[str, str, str]:
    from ticklake.errors import BadInput

    names, at, moment = text.rpartition("@")
    old, arrow, new = names.partition(">")
    if not (at and arrow):
        raise BadInput(f"{text!r} is no rename: write it like 'MATIC/USDT>POL/USDT@2024-09-13T10:00'")
    return old, new, moment
