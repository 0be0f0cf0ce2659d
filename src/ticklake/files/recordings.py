"""Recorded messages: of websockets, with or without the time at which they were heard."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from ticklake.core.native_ids import Market
from ticklake.core.time import SECOND, decimal_to_ns
from ticklake.files.answers import called, rows_of_call
from ticklake.files.binance_markets import in_one_market, market_of_message
from ticklake.files.decompress import Unpacked
from ticklake.files.filenames import venue_of
from ticklake.files.frames import Origin, Session, Shaped, gathered, loaded
from ticklake.files.tables import read_json
from ticklake.sources.wire.channels import Channels
from ticklake.sources.wire.messages import read_message
from ticklake.sources.wire.rows import Row

__all__ = ["messages", "old_recording", "recording", "stamped"]


def messages(stream: Unpacked, session: Session) -> Iterator[Shaped]:
    """Yield the rows of messages in a JSON array, of one message, or of one a line."""
    listed = read_json(stream)
    channels = Channels()
    found = (_read(message, None, channels, session) for message in (listed if isinstance(listed, list) else [listed]))
    yield from gathered(in_one_market(found))


def stamped(stream: Unpacked, session: Session) -> Iterator[Shaped]:
    """Yield the rows of lines of ``<local ns> <JSON>``, as hftbacktest's collectors write them."""
    channels = Channels()

    def found() -> Iterator[tuple[Market | None, Sequence[Row]]]:
        for number, line in enumerate(stream, 1):
            heard, _, text = line.partition(b" ")
            yield _read(loaded(text, number), int(heard), channels, session)

    yield from gathered(in_one_market(found()))


def recording(stream: Unpacked, session: Session) -> Iterator[Shaped]:
    """Yield the rows of cryptofeed's recordings: JSON lines with ``t``, ``conn``, ``ts`` and ``data`` or ``b64``."""

    def rows() -> Iterator[Origin]:
        exchange, market = "", None
        answered: list[Origin] = []
        places: dict[str, Market | None] = {}
        channels: defaultdict[str, Channels] = defaultdict(Channels)
        for number, line in enumerate(stream, 1):
            record = loaded(line, number)
            if record["t"] == "header":
                exchange, market = _feed(record["exchange"])
                session.tally.exchange = venue_of(record["exchange"])[0]
            elif record["t"] == "connect":
                places[record["conn"]] = _market_of(record["addr"]) or market
            elif record["t"] == "http":
                answered += _http(record["url"], _frame_of(record), decimal_to_ns(record["ts"], SECOND), session)
            elif record["t"] == "recv":
                conn, heard = record["conn"], decimal_to_ns(record["ts"], SECOND)
                told, found = _read(_frame_of(record), heard, channels[conn], session)
                is_told = exchange in {"", "binance", "binanceus"}
                for row in found:
                    yield row, exchange, (told if is_told else None) or places.get(conn, market)
        # A change that ends where a book begins may name the same time, number and price: the book counts, so it comes last.
        yield from answered

    yield from gathered(rows())


def _read(message: Any, heard: int | None, channels: Channels, session: Session) -> tuple[Market | None, Sequence[Row]]:
    """Count a message; return which part of Binance it is of, if it tells, and its rows."""
    sort = channels.of(message)
    if sort.is_control:
        session.tally.control(sort.channel)
        return None, ()
    return market_of_message(message), session.tally.read(sort.channel, read_message(message, heard))


def _http(url: str, body: Any, heard: int, session: Session) -> Iterator[Origin]:
    """Yield the rows of an answer that was fetched beside the messages, as the books that their changes begin at."""
    yield from rows_of_call(called(url, body, heard, session), session)


def _feed(name: str) -> tuple[str, Market | None]:
    """Return the exchange; none for BitMEX, whose names do not tell what contracts are settled in."""
    return ("", None) if name == "BITMEX" else venue_of(name)


def _market_of(address: str) -> Market | None:
    told: tuple[Market, ...] = ("linear", "inverse", "spot")
    return next((market for market in told if address.endswith(f"/{market}")), None)


def _frame_of(record: dict[str, Any]) -> Any:
    """Return the message of a recorded frame; frames that are no JSON (pings) stay text."""
    text = record.get("data")
    if text is None:
        raw = base64.b64decode(record["b64"])
        text = gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw
    try:
        return json.loads(text)
    except ValueError:
        return text.decode("utf-8", "replace") if isinstance(text, bytes) else text


_OLD_LINE = re.compile(rb"^(\d{10}\.\d+): (.*)$")
_OLD_ANSWER = re.compile(rb"^(https?://\S+) -> (\d{10}\.\d+): (.*)$")


def old_recording(stream: Unpacked, session: Session) -> Iterator[Shaped]:
    """Yield the rows of cryptofeed's older recordings: lines of ``<seconds>: <message>``; the file is named by the exchange."""
    feed = session.name.partition(".")[0]
    exchange, market = _feed(feed)
    session.tally.exchange = venue_of(feed)[0]
    channels = Channels()

    def rows() -> Iterator[Origin]:
        for number, line in enumerate(stream, 1):
            answer, match = _OLD_ANSWER.match(line.strip()), _OLD_LINE.match(line.strip())
            if answer is not None:
                body, heard = loaded(answer[3], number), decimal_to_ns(answer[2].decode(), SECOND)
                yield from _http(answer[1].decode(), body, heard, session)
            elif match is not None:
                heard = decimal_to_ns(match[1].decode(), SECOND)
                _, found = _read(loaded(match[2], number), heard, channels, session)
                for row in found:
                    yield row, exchange, market

    yield from gathered(rows())
