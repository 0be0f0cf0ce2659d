"""Shapes: what turns the bytes of files that are no tables into frames of rows, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ticklake.files.answers import answers
from ticklake.files.decompress import Entry, Unpacked
from ticklake.files.exports import bi5, bitstamp_log, candles_db, gdax_export
from ticklake.files.frames import Session, Shaped
from ticklake.files.recordings import messages, old_recording, recording, stamped
from ticklake.files.tickers import derivative_ticker

__all__ = ["SESSIONS", "SHAPES"]

SHAPES: dict[str, Callable[[Unpacked, Entry], Iterator[Shaped]]] = {
    "candles-db": candles_db,
    "bi5": bi5,
    "gdax-export": gdax_export,
    "bitstamp-log": bitstamp_log,
    "derivative-ticker": derivative_ticker,
}
"""Every shape of files by its name, except those of messages."""

SESSIONS: dict[str, Callable[[Unpacked, Session], Iterator[Shaped]]] = {
    "messages": messages,
    "stamped": stamped,
    "recording": recording,
    "old-recording": old_recording,
    "answers": answers,
}
"""Every shape of recorded messages and answers by its name: they count what becomes of each."""
