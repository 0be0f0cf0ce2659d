"""Instruments: the list of an exchange is stored once a day, and delisted markets are made available to sources."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator

from ticklake.catalog.instruments import Instruments
from ticklake.core.dataset import Dataset
from ticklake.core.instrument import Instrument, Sighting
from ticklake.core.time import DAY, format_time
from ticklake.errors import Unsupported
from ticklake.sources.base import Source

__all__ = ["delisted_text", "look", "look_daily", "recall"]

_MOST_NAMES = 5


async def look(source: Source, instruments: Instruments) -> Sighting:
    """Store the instruments that the exchange lists now, and return what has changed."""
    listed, now = await source.instruments(), await source.now()
    return await asyncio.to_thread(instruments.snapshot, source.exchange, listed, now)


async def look_daily(source: Source, instruments: Instruments) -> list[str]:
    """Store the instruments that the exchange lists, unless that was done on this UTC day. Return remarks for the log."""
    last = await asyncio.to_thread(instruments.checked_at, source.exchange)
    if last is not None and last // DAY == await source.now() // DAY:
        return []
    try:
        seen = await look(source, instruments)
    # Sources of equities have no list.
    except Unsupported:
        return []
    if last is None:
        # Everything is new at the first look, which is nothing to report.
        return []
    return list(_remarks(source.exchange, seen))


async def recall(source: Source, instruments: Instruments, datasets: Iterable[Dataset]) -> None:
    """Give the source the stored descriptions of delisted markets, so that it can still fetch their history."""
    for dataset in datasets:
        instrument = await asyncio.to_thread(instruments.get, dataset.exchange, str(dataset.symbol))
        if instrument is not None and instrument.delisted_at is not None:
            await source.recall(instrument)


def delisted_text(instrument: Instrument, instruments: Instruments) -> str:
    """Return a message: the exchange serves nothing of a symbol any more, since when, and what it is called now."""
    renamed = ""
    for link in instruments.links(instrument.exchange):
        if link.old == instrument.symbol:
            renamed += f", which is {link.new} since {format_time(link.at)}"
    since = format_time(instrument.delisted_at or 0)
    return (
        f"{instrument.exchange} listed {instrument.symbol}{renamed}, until {since} and serves nothing of it any more: "
        "what the lake has of it can still be read"
    )


def _remarks(exchange: str, seen: Sighting) -> Iterator[str]:
    changed, new, gone = _symbols(seen.changed), _symbols(seen.new), _symbols(seen.gone)
    for verb, symbols in (("lists", new - changed), ("lists no longer", gone), ("has other terms for", changed)):
        if symbols:
            yield f"{exchange} {verb} {_first_few(symbols)}"


def _symbols(instruments: Iterable[Instrument]) -> set[str]:
    return {instrument.symbol for instrument in instruments}


def _first_few(symbols: Collection[str]) -> str:
    text = ", ".join(sorted(symbols)[:_MOST_NAMES])
    if len(symbols) > _MOST_NAMES:
        text += f" and {len(symbols) - _MOST_NAMES} more"
    return text
