"""The readers of files that are no tables, by the name of their shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ticklake.files.answers import answers
from ticklake.files.decompress import Entry, Unpacked
from ticklake.files.exports import bi5, bitstamp_log, candles_db, gdax_export
from ticklake.files.frames import RecordFrame, RecordingInfo
from ticklake.files.recordings import messages, old_recording, recording, stamped
from ticklake.files.tickers import derivative_ticker

__all__ = ["RECORDINGS", "SHAPES"]

SHAPES: dict[str, Callable[[Unpacked, Entry], Iterator[RecordFrame]]] = {
    "candles-db": candles_db,
    "bi5": bi5,
    "gdax-export": gdax_export,
    "bitstamp-log": bitstamp_log,
    "derivative-ticker": derivative_ticker,
}
"""Files of single programs."""

RECORDINGS: dict[str, Callable[[Unpacked, RecordingInfo], Iterator[RecordFrame]]] = {
    "messages": messages,
    "stamped": stamped,
    "recording": recording,
    "old-recording": old_recording,
    "answers": answers,
}
"""Recorded messages and answers: these readers count what becomes of each."""
