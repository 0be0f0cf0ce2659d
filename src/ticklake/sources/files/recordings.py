"""Recorded messages: of websockets, with or without the time at which they were heard."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterator
from typing import Any

from ticklake.core.natives import Market
from ticklake.core.time import SECOND, decimal_to_ns
from ticklake.sources.files.binance_markets import in_one_market, market_of_message
from ticklake.sources.files.messages import Row, rows_of_message
from ticklake.sources.files.naming import venue_of
from ticklake.sources.files.shaped import Origin, Shaped, gathered, loaded
from ticklake.sources.files.tables import read_json
from ticklake.sources.files.unpacking import Entry, Unpacked

__all__ = ["messages", "old_recording", "recording", "stamped"]


def messages(stream: Unpacked, entry: Entry) -> Iterator[Shaped]:
    """Yield the rows of messages in a JSON array, of one message, or of one a line."""
    del entry
    found = read_json(stream)
    listed = found if isinstance(found, list) else [found]
    found = ((market_of_message(message), list(rows_of_message(message, None))) for message in listed)
    yield from gathered(in_one_market(found))


def stamped(stream: Unpacked, entry: Entry) -> Iterator[Shaped]:
    """Yield the rows of lines of ``<local ns> <JSON>``, as hftbacktest's collectors write them."""
    del entry

    def found() -> Iterator[tuple[Market | None, list[Row]]]:
        for number, line in enumerate(stream, 1):
            heard, _, text = line.partition(b" ")
            message = loaded(text, number)
            yield market_of_message(message), list(rows_of_message(message, int(heard)))

    yield from gathered(in_one_market(found()))


def recording(stream: Unpacked, entry: Entry) -> Iterator[Shaped]:
    """Yield the rows of cryptofeed's recordings: JSON lines with ``t``, ``conn``, ``ts`` and ``data`` or ``b64``."""
    del entry

    def rows() -> Iterator[Origin]:
        exchange, market, places = "", None, {}
        for number, line in enumerate(stream, 1):
            record = loaded(line, number)
            if record["t"] == "header":
                exchange, market = _feed(record["exchange"])
            elif record["t"] == "connect":
                places[record["conn"]] = _market_of(record["addr"]) or market
            elif record["t"] == "recv":
                heard = decimal_to_ns(record["ts"], SECOND)
                message = _frame_of(record)
                told = market_of_message(message) if exchange in {"", "binance", "binanceus"} else None
                for row in rows_of_message(message, heard):
                    yield row, exchange, told or places.get(record["conn"], market)

    yield from gathered(rows())


def _feed(name: str) -> tuple[str, Market | None]:
    """Return the exchange; none for BitMEX, whose names do not tell what contracts are settled in."""
    return ("", None) if name == "BITMEX" else venue_of(name)


def _market_of(address: str) -> Market | None:
    told: tuple[Market, ...] = ("linear", "inverse", "spot")
    return next((market for market in told if address.endswith(f"/{market}")), None)


def _frame_of(record: dict[str, Any]) -> Any:
    """Return the message of a recorded frame; frames that are no JSON (pings) are none."""
    text = record.get("data")
    if text is None:
        raw = base64.b64decode(record["b64"])
        text = gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw
    try:
        return json.loads(text)
    except ValueError:
        return None


_OLD_LINE = re.compile(rb"^(\d{10}\.\d+): (.*)$")


def old_recording(stream: Unpacked, entry: Entry) -> Iterator[Shaped]:
    """Yield the rows of cryptofeed's older recordings: lines of ``<seconds>: <message>``; the file is named by the exchange."""
    exchange, market = _feed(entry.path.name.partition(".")[0])

    def rows() -> Iterator[Origin]:
        for number, line in enumerate(stream, 1):
            match = _OLD_LINE.match(line.strip())
            if match is None:
                continue
            heard = decimal_to_ns(match[1].decode(), SECOND)
            for row in rows_of_message(loaded(match[2], number), heard):
                yield row, exchange, market

    yield from gathered(rows())
