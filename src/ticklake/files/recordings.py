"""Readers of recorded websocket messages, with or without the time of receipt."""

from __future__ import annotations

import ast
import base64
import re
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ticklake.core.native_ids import Market
from ticklake.core.time import SECOND, decimal_to_ns
from ticklake.errors import InvalidData
from ticklake.files.answers import answer_of_call, rows_of_call
from ticklake.files.binance_markets import in_one_market, market_of_message
from ticklake.files.decompress import Unpacked
from ticklake.files.filenames import venue_of
from ticklake.files.frames import Origin, RecordFrame, RecordingInfo, frames_by_market, parse_line
from ticklake.files.tables import read_json
from ticklake.sources.wire.channels import Channels
from ticklake.sources.wire.decode import decode, gunzipped, inflated
from ticklake.sources.wire.messages import read_message
from ticklake.sources.wire.poloniex import numbers_in
from ticklake.sources.wire.rows import Row

__all__ = ["messages", "old_recording", "recording", "stamped"]


_Messages = Iterator[tuple[Market | None, Sequence[Row]]]
"""Messages: the market of Binance that each shows, and its rows."""


def messages(stream: Unpacked, info: RecordingInfo) -> Iterator[RecordFrame]:
    """Yield the rows of messages in a JSON array, of one message, or of one a line."""
    content = read_json(stream, exact=True)
    if not isinstance(content, list):
        content = [content]

    def read() -> _Messages:
        channels = Channels()
        for message in content:
            yield _read(message, None, channels, info)

    yield from frames_by_market(in_one_market(read()))


def stamped(stream: Unpacked, info: RecordingInfo) -> Iterator[RecordFrame]:
    """Yield the rows of lines of ``<local ns> <JSON>``, as hftbacktest's collectors write them."""

    def read() -> _Messages:
        channels = Channels()
        for number, line in enumerate(stream, 1):
            received, _, text = line.partition(b" ")
            yield _read(_message_of(text, number), int(received), channels, info)

    yield from frames_by_market(in_one_market(read()))


def recording(stream: Unpacked, info: RecordingInfo) -> Iterator[RecordFrame]:
    """Yield the rows of cryptofeed's recordings: JSON lines with ``t``, ``conn``, ``ts`` and ``data`` or ``b64``."""
    yield from frames_by_market(_Recording(info).rows(stream))


@dataclass
class _Recording:
    """The exchange, connections and channels that the lines of a recording have named so far."""

    info: RecordingInfo
    exchange: str = ""
    market: Market | None = None
    connections: dict[str, Market | None] = field(default_factory=dict)
    channels: defaultdict[str, Channels] = field(default_factory=lambda: defaultdict(Channels))
    numbers: dict[Any, Mapping[str, Any]] = field(default_factory=dict)
    _crc: int = 0
    """Of the lines so far of a frame of a capture (:mod:`ticklake.storage.captures`)."""

    def rows(self, stream: Unpacked) -> Iterator[Origin]:
        """Yield the rows of all lines."""
        answered: list[Origin] = []
        for number, line in enumerate(stream, 1):
            record = parse_line(line, number)
            if record["t"] == "header":
                self.exchange, self.market = _feed(record["exchange"])
                self.info.tally.exchange = venue_of(record["exchange"])[0]
            elif record["t"] == "connect":
                self.connections[record["conn"]] = _market_of(record["addr"]) or self.market
                # What a connection numbered and said is nothing to the one that took its place.
                if self.channels.pop(record["conn"], None) is not None:
                    self.info.tally.reconnect(record["conn"])
            elif record["t"] == "http":
                received = decimal_to_ns(record["ts"], SECOND)
                body = _content_of(record)
                if self.exchange == "poloniex":
                    self.numbers |= numbers_in(body)
                answered += _rows_of_answer(record["url"], body, received, self.info)
            elif record["t"] == "recv":
                yield from self._rows_of_message(record)
            self._check(record, line, number)
        # A change that ends where a book begins may name the same time, number and price: the book counts, so it comes last.
        yield from answered

    def _check(self, record: Mapping[str, Any], line: bytes, number: int) -> None:
        """Refuse the lines of a frame of a capture that are not those that were written."""
        if record["t"] == "checksum" and record["crc32"] != self._crc:
            raise InvalidData(
                f"the lines before line {number:,} are damaged: their CRC-32 is {self._crc}, not {record['crc32']}"
            )
        if record["t"] == "frame":
            self._crc = 0
        else:
            self._crc = zlib.crc32(line, self._crc)

    def _rows_of_message(self, record: dict[str, Any]) -> Iterator[Origin]:
        connection, received = record["conn"], decimal_to_ns(record["ts"], SECOND)
        if connection not in self.channels:
            self.channels[connection] = Channels(dict(self.numbers))
        market, rows = _read(_content_of(record), received, self.channels[connection], self.info, connection)
        # Other exchanges have fields of the same names, which say nothing about the market.
        if market is None or self.exchange not in {"", "binance", "binanceus"}:
            market = self.connections.get(connection, self.market)
        for row in rows:
            yield Origin(row, self.exchange, market)


def _read(
    message: Any, received: int | None, channels: Channels, info: RecordingInfo, connection: str = ""
) -> tuple[Market | None, Sequence[Row]]:
    """Count a message; return the market of Binance that it shows, if it does, and its rows."""
    sort, tally = channels.of(message), info.tally
    subscription, rows = channels.subscription_of(message), None
    try:
        reading = read_message(message, received, subscription, channels.memory, tally.exchange)
    except InvalidData as error:
        tally.refuse(sort.channel, str(error))
        return None, ()
    # Some exchanges number all messages of a connection, those without market data too.
    if reading is not None:
        tally.prove(reading, connection)
    if sort.is_control:
        tally.control(sort.channel)
        return None, ()
    if reading is not None and not reading.unread:
        rows = reading.rows
    return market_of_message(message), tally.read(sort.channel, rows)


def _rows_of_answer(url: str, body: Any, received: int, info: RecordingInfo) -> Iterator[Origin]:
    """Yield the rows of an answer that was fetched beside the messages, like the books to which their changes apply."""
    origins = list(rows_of_call(answer_of_call(url, body, received, info), info))
    info.tally.prove_answer([origin.row for origin in origins])
    yield from origins


def _feed(name: str) -> tuple[str, Market | None]:
    """Return the exchange; none for BitMEX, whose names do not tell what contracts are settled in."""
    if name == "BITMEX":
        return "", None
    return venue_of(name)


_OLD_BYBIT: dict[str, Market] = {"realtime": "inverse", "realtime_public": "linear"}
"""The ends of the addresses of Bybit's API until 2022."""


def _market_of(address: str) -> Market | None:
    """Return the market at the end of an address, like Bybit's ``wss://stream.bybit.com/v5/public/linear``."""
    if "bybit" in address and address.rpartition("/")[2] in _OLD_BYBIT:
        return _OLD_BYBIT[address.rpartition("/")[2]]
    markets: tuple[Market, ...] = ("linear", "inverse", "spot")
    for market in markets:
        if address.endswith(f"/{market}"):
            return market
    return None


def _content_of(record: dict[str, Any]) -> Any:
    """Return the message of a recorded frame; frames that are no JSON (pings) stay text."""
    content = record.get("data")
    if content is None:
        content = _unpacked(base64.b64decode(record["b64"]))
    return _decoded(content)


_PLAIN = (b"{", b"[", b"p", b"")
"""The first bytes of messages that are not compressed: JSON, pings and pongs."""


def _unpacked(content: bytes) -> bytes:
    """Return a message that was sent as bytes: HTX compresses its messages, and so did OKEx until 2021.

    One that is damaged stays as it is, and is not known.
    """
    if content[:1] in _PLAIN:
        return content
    try:
        if content.startswith(b"\x1f\x8b"):
            return gunzipped(content)
        return inflated(content)
    except InvalidData:
        return content


def _decoded(content: bytes | str) -> Any:
    """Return the message in a frame; one that is no JSON stays text."""
    try:
        return decode(content)
    except InvalidData:
        if isinstance(content, bytes):
            return content.decode("utf-8", "replace")
        return content


def _message_of(text: bytes, number: int) -> Any:
    """Return the message in a line."""
    try:
        return decode(text)
    except InvalidData as error:
        raise InvalidData(f"line {number:,} is not complete JSON: {error}") from error


def _old_message(text: bytes, number: int) -> Any:
    """Return the message in a line of an older recording."""
    if not text.startswith((b"b'", b'b"')):
        return _message_of(text, number)
    try:
        content = ast.literal_eval(text.decode("ascii"))
    except (ValueError, SyntaxError) as error:
        raise InvalidData(f"line {number:,} is no complete message of bytes: {error}") from error
    return _decoded(_unpacked(content))


_OLD_NAME = re.compile(r"(?:-[0-9a-f]{6})?(?:\.(?:ws|http)\.\w+)?\.\d+(?:\.\w+)*$")
"""What follows the exchange in the names of older recordings: ``CRYPTO.COM.ws.1.0``, ``BITMEX-d944be.0``."""
_OLD_LINE = re.compile(rb"^(\d{10}\.\d+): (.*)$")
_OLD_CONNECT = re.compile(rb"^(wss?://\S+) <-> \d{10}\.\d+$")
_OLD_ANSWER = re.compile(rb"^(https?://\S+) -> (\d{10}\.\d+): (.*)$")


def old_recording(stream: Unpacked, info: RecordingInfo) -> Iterator[RecordFrame]:
    """Yield the rows of cryptofeed's older recordings: lines of ``<seconds>: <message>``; the file is named by the exchange.

    Messages that were bytes are Python's literals of them. The line of the address begins a connection.
    """
    feed = _OLD_NAME.sub("", info.name)
    exchange, market = _feed(feed)
    info.tally.exchange = venue_of(feed)[0]

    def rows() -> Iterator[Origin]:
        market_of_connection, channels = market, Channels()
        for number, line in enumerate(stream, 1):
            text = line.strip()
            answer, message, connect = _OLD_ANSWER.match(text), _OLD_LINE.match(text), _OLD_CONNECT.match(text)
            if connect is not None:
                market_of_connection, channels = _market_of(connect[1].decode()) or market, Channels()
                info.tally.reconnect()
            elif answer is not None:
                url, received = answer[1].decode(), decimal_to_ns(answer[2].decode(), SECOND)
                yield from _rows_of_answer(url, parse_line(answer[3], number), received, info)
            elif message is not None:
                received = decimal_to_ns(message[1].decode(), SECOND)
                _, message_rows = _read(_old_message(message[2], number), received, channels, info)
                for row in message_rows:
                    yield Origin(row, exchange, market_of_connection)

    yield from frames_by_market(rows())
