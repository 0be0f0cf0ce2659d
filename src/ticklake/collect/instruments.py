"""Listing: what an exchange lists is looked at once a day, and what it lists no longer is called back."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator

from ticklake.catalog.instruments import Instruments
from ticklake.core.dataset import Dataset
from ticklake.core.instrument import Instrument, Sighting
from ticklake.core.time import DAY, format_time
from ticklake.errors import Unsupported
from ticklake.sources.base import Source

__all__ = ["gone_words", "look", "look_daily", "recall"]

_NAMED = 5


async def look(source: Source, instruments: Instruments) -> Sighting:
    """Take what the exchange lists now."""
    listed, now = await source.instruments(), await source.now()
    return await asyncio.to_thread(instruments.snapshot, source.exchange, listed, now)


async def look_daily(source: Source, instruments: Instruments) -> list[str]:
    """Take what the exchange lists, unless that was done on this UTC day; return what there is to say of it."""
    last = await asyncio.to_thread(instruments.checked_at, source.exchange)
    if last is not None and last // DAY == await source.now() // DAY:
        return []
    try:
        seen = await look(source, instruments)
    except Unsupported:
        return []
    if last is None:
        # Everything is new at the first look, which is nothing to report.
        return []
    return list(_remarks(source.exchange, seen))


async def recall(source: Source, instruments: Instruments, datasets: Iterable[Dataset]) -> None:
    """Let the source serve what the exchange lists no longer, as far as it can, by what is known of it."""
    for dataset in datasets:
        known = await asyncio.to_thread(instruments.get, dataset.exchange, str(dataset.symbol))
        if known is not None and known.delisted_at is not None:
            await source.recall(known)


def gone_words(known: Instrument, instruments: Instruments) -> str:
    """Say that an exchange serves nothing of a symbol any more, since when, and what it is called now."""
    links = [link for link in instruments.links(known.exchange) if link.old == known.symbol]
    renamed = "".join(f", which is {link.new} since {format_time(link.at)}" for link in links)
    since = format_time(known.delisted_at or 0)
    return (
        f"{known.exchange} listed {known.symbol}{renamed}, until {since} and serves nothing of it any more: "
        "what the lake has of it can still be read"
    )


def _remarks(exchange: str, seen: Sighting) -> Iterator[str]:
    changed = {instrument.symbol for instrument in seen.changed}
    new = {instrument.symbol for instrument in seen.new}
    gone = {instrument.symbol for instrument in seen.gone}
    for verb, symbols in (("lists", new - changed), ("lists no longer", gone), ("has other terms for", changed)):
        if symbols:
            yield f"{exchange} {verb} {_first_few(symbols)}"


def _first_few(symbols: Collection[str]) -> str:
    text = ", ".join(sorted(symbols)[:_NAMED])
    if len(symbols) > _NAMED:
        text += f" and {len(symbols) - _NAMED} more"
    return text
