"""Hourly tick files (.bi5): where they lie and what is in them; pure.

The format is not documented by Dukascopy; it is what readers of the feed agree on. A file is an LZMA stream (the
``alone`` container) of records of 20 bytes, big-endian: u32 milliseconds since the hour, u32 ask, u32 bid (in points),
f32 ask volume, f32 bid volume (in millions of the base currency). Months in addresses count from 00.
"""

from __future__ import annotations

import datetime as dt
import lzma
import struct

import polars as pl

from ticklake.core.kinds import KINDS, TIME
from ticklake.core.symbol import Symbol
from ticklake.core.time import HOUR, MS, SECOND
from ticklake.errors import BadResponse, UnknownSymbol

__all__ = ["PAIRS", "decode", "path_of", "points_of"]

_RECORD = struct.Struct(">3I2f")
_LARGEST = 64 * 2**20
"""An hour of ticks is about a megabyte: more is not unpacked."""
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
PAIRS = tuple(
    [f"{base}/{quote}" for at, base in enumerate(_FINE) for quote in (*_FINE[at + 1 :], *_COARSE)]
    + [f"{metal}/USD" for metal in _METALS]
)
"""The pairs whose scale of prices is known. Not every cross is in the feed."""


def points_of(symbol: Symbol) -> int:
    """Return how many points a unit of the price has.

    Raises
    ------
    UnknownSymbol
        If that is not known: a wrong scale would be a wrong price.
    """
    if str(symbol) not in PAIRS:
        raise UnknownSymbol(
            f"dukascopy: {str(symbol)!r} is not a pair whose scale of prices is known: "
            "'ticklake symbols dukascopy' lists those that are, written like EUR/USD"
        )
    return 1_000 if symbol.base in _METALS or symbol.quote in _COARSE else 100_000


def path_of(symbol: Symbol, hour: int) -> str:
    """Return the path of the file of an hour (its start in nanoseconds).

    >>> path_of(Symbol("EUR/USD"), 1704459600 * SECOND)
    'datafeed/EURUSD/2024/00/05/13h_ticks.bi5'
    """
    at = dt.datetime.fromtimestamp(hour // SECOND, dt.UTC)
    name = f"{symbol.base}{symbol.quote}"
    return f"datafeed/{name}/{at.year}/{at.month - 1:02d}/{at.day:02d}/{at.hour:02d}h_ticks.bi5"


def decode(data: bytes, hour: int, points: int) -> pl.DataFrame:
    """Return the ticks of an hour's file as rows of kind ``quotes``, amounts in units of the base currency.

    Raises
    ------
    BadResponse
        If it is cut short, or not such a file.
    """
    raw = _unpacked(data)
    if len(raw) % _RECORD.size:
        raise BadResponse(f"dukascopy: a file of ticks ends inside a record ({len(raw)} bytes)")
    ms, ask, bid, ask_amount, bid_amount = list(zip(*_RECORD.iter_unpack(raw), strict=True)) or [()] * 5
    if ms and max(ms) >= HOUR // MS:
        raise BadResponse("dukascopy: a tick lies outside the hour of its file: it is not a file of ticks")
    frame = pl.DataFrame(
        {
            "ts": pl.Series([hour + step * MS for step in ms], dtype=pl.Int64).cast(TIME),
            "bid_price": [price / points for price in bid],
            "bid_amount": [_units(amount) for amount in bid_amount],
            "ask_price": [price / points for price in ask],
            "ask_amount": [_units(amount) for amount in ask_amount],
        },
        schema_overrides=dict.fromkeys(("bid_price", "bid_amount", "ask_price", "ask_amount"), pl.Float64),
    )
    return frame.cast({name: KINDS["quotes"].schema[name] for name in frame.columns})


def _units(millions: float) -> float:
    """Return a volume in units: a 32-bit float holds seven digits, which are the digits that were meant."""
    return float(round(float(f"{millions:.7g}") * _MILLION))


def _unpacked(data: bytes) -> bytes:
    if not data:
        return b""
    unpacker = lzma.LZMADecompressor()
    try:
        raw = unpacker.decompress(data, _LARGEST)
    except lzma.LZMAError as error:
        raise BadResponse(f"dukascopy: a file of ticks cannot be unpacked ({error})") from error
    if not unpacker.eof and not unpacker.needs_input:
        raise BadResponse(f"dukascopy: a file of ticks unpacks to more than {_LARGEST:,} bytes")
    return raw
