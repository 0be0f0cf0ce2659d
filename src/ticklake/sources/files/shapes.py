"""Shapes: what turns the bytes of files that are no tables into frames of rows, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ticklake.sources.files.answers import answers
from ticklake.sources.files.exports import bi5, bitstamp_log, candles_db, gdax_export
from ticklake.sources.files.recordings import messages, old_recording, recording, stamped
from ticklake.sources.files.shaped import Session, Shaped
from ticklake.sources.files.tickers import derivative_ticker
from ticklake.sources.files.unpacking import Entry, Unpacked

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
