"""Shapes: what turns the bytes of files that are no tables into frames of rows, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ticklake.sources.files.exports import bi5, bitstamp_log, bodies, candles_db, gdax_export
from ticklake.sources.files.recordings import messages, old_recording, recording, stamped
from ticklake.sources.files.shaped import Shaped
from ticklake.sources.files.tickers import derivative_ticker
from ticklake.sources.files.unpacking import Entry, Unpacked

__all__ = ["SHAPES"]

SHAPES: dict[str, Callable[[Unpacked, Entry], Iterator[Shaped]]] = {
    "messages": messages,
    "stamped": stamped,
    "recording": recording,
    "old-recording": old_recording,
    "bodies": bodies,
    "candles-db": candles_db,
    "bi5": bi5,
    "gdax-export": gdax_export,
    "bitstamp-log": bitstamp_log,
    "derivative-ticker": derivative_ticker,
}
"""Every shape by its name."""
