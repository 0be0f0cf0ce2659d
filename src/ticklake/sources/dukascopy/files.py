"""Hourly tick files (.bi5): their paths and their content. Pure functions.

Dukascopy does not document the format; readers of the feed agree on it. A file is an LZMA stream (the
``alone`` container) of records of 20 bytes, big-endian: u32 milliseconds since the hour, u32 ask, u32 bid (in points),
f32 ask volume, f32 bid volume (in millions of the base currency). Months in addresses count from 00.
"""

from __future__ import annotations

import datetime as dt
import lzma
import struct
from collections.abc import Iterator

import polars as pl

from ticklake.core.kinds import TIME
from ticklake.core.symbol import Symbol
from ticklake.core.time import HOUR, MS, SECOND
from ticklake.errors import BadResponse, UnknownSymbol

__all__ = ["PAIRS", "decode", "path_of", "points_of"]

_RECORD = struct.Struct(">3I2f")
_TICK = {
    "ts": pl.Int64,
    "bid_price": pl.Float64,
    "bid_amount": pl.Float64,
    "ask_price": pl.Float64,
    "ask_amount": pl.Float64,
}
_LARGEST = 64 * 2**20
"""The most bytes that are unpacked of a file: an hour of ticks is about a megabyte."""
_HEADER = struct.Struct("<5xQ")
"""The length of the content, after five bytes of settings; all its bits are set if the file ends with a mark instead."""
_MILLION = 1_000_000
_FINE = (
    "EUR",
    "GBP",
    "AUD",
    "NZD",
    "USD",
    "CAD",
    "CHF",
    "SGD",
    "HKD",
    "CNH",
    "DKK",
    "MXN",
    "NOK",
    "PLN",
    "SEK",
    "TRY",
    "ZAR",
)
"""Currencies whose prices have five decimals, in the order in which pairs are written."""
_COARSE = ("JPY", "HUF")
"""Quote currencies whose prices have three."""
_METALS = ("XAU", "XAG")


def _pairs() -> Iterator[str]:
    for place, base in enumerate(_FINE):
        for quote in (*_FINE[place + 1 :], *_COARSE):
            yield f"{base}/{quote}"
    for metal in _METALS:
        yield f"{metal}/USD"


PAIRS = tuple(_pairs())
"""The pairs whose scale of prices is known. The feed does not have every cross."""


def points_of(symbol: Symbol) -> int:
    """Return how many points a unit of the price has.

    Raises
    ------
    UnknownSymbol
        If the scale is not known: a wrong one would make wrong prices.
    """
    if str(symbol) not in PAIRS:
        raise UnknownSymbol(
            f"dukascopy: {str(symbol)!r} is not a pair whose scale of prices is known: "
            "'ticklake symbols dukascopy' lists those that are, written like EUR/USD"
        )
    if symbol.base in _METALS or symbol.quote in _COARSE:
        return 1_000
    return 100_000


def path_of(symbol: Symbol, hour: int) -> str:
    """Return the path of the file of an hour (its start in nanoseconds).

    >>> path_of(Symbol("EUR/USD"), 1704459600 * SECOND)
    'datafeed/EURUSD/2024/00/05/13h_ticks.bi5'
    """
    time = dt.datetime.fromtimestamp(hour // SECOND, dt.UTC)
    pair = f"{symbol.base}{symbol.quote}"
    return f"datafeed/{pair}/{time.year}/{time.month - 1:02d}/{time.day:02d}/{time.hour:02d}h_ticks.bi5"


def decode(data: bytes, hour: int, points: int) -> pl.DataFrame:
    """Return the ticks of an hour's file as rows of kind ``quotes``, amounts in units of the base currency.

    Raises
    ------
    BadResponse
        If it is truncated, or not such a file.
    """
    records = _unpack(data)
    if len(records) % _RECORD.size:
        raise BadResponse(f"dukascopy: a file of ticks ends inside a record ({len(records)} bytes)")
    ticks = [
        (hour + ms * MS, bid / points, _units(bid_millions), ask / points, _units(ask_millions))
        for ms, ask, bid, ask_millions, bid_millions in _RECORD.iter_unpack(records)
    ]
    if any(tick[0] >= hour + HOUR for tick in ticks):
        raise BadResponse("dukascopy: a tick lies outside the hour of its file: it is not a file of ticks")
    frame = pl.DataFrame(ticks, _TICK, orient="row")
    return frame.with_columns(pl.col("ts").cast(TIME))


def _units(millions: float) -> float:
    """Return a volume in units. A 32-bit float holds seven digits; the digits after them are noise."""
    return float(round(float(f"{millions:.7g}") * _MILLION))


def _unpack(data: bytes) -> bytes:
    if not data:
        return b""
    decompressor = lzma.LZMADecompressor()
    try:
        records = decompressor.decompress(data, _LARGEST)
    except lzma.LZMAError as error:
        raise BadResponse(f"dukascopy: a file of ticks cannot be unpacked ({error})") from error
    if not decompressor.eof and not decompressor.needs_input:
        raise BadResponse(f"dukascopy: a file of ticks unpacks to more than {_LARGEST:,} bytes")
    # A file ends with a mark, or its header says how long its content is. Else a file that was cut would be a quiet hour.
    if not decompressor.eof and len(records) != _size_in(data):
        raise BadResponse(f"dukascopy: a file of ticks ends too early, after {len(data):,} bytes")
    return records


def _size_in(data: bytes) -> int | None:
    """Return the length of the content that a file's header says; ``None`` if the header itself is cut."""
    if len(data) < _HEADER.size:
        return None
    size: int = _HEADER.unpack_from(data)[0]
    return size
