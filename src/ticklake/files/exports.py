"""Readers of files of single programs: databases, logs, exports."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
from collections.abc import Iterator
from typing import Any

from ticklake.core.symbol import Symbol
from ticklake.core.time import MS, SECOND, parse_time
from ticklake.errors import InvalidData
from ticklake.files.decompress import Entry, Unpacked, spooled
from ticklake.files.frames import Origin, RecordFrame, frames_by_market, parse_line
from ticklake.sources.dukascopy.files import decode, points_of
from ticklake.sources.wire.rows import Row

__all__ = ["bi5", "bitstamp_log", "candles_db", "gdax_export"]

_LARGEST = 64 * 2**20
"""The most bytes that are read of a file of ticks, unpacked."""


def candles_db(stream: Unpacked, entry: Entry) -> Iterator[RecordFrame]:
    """Yield OctoBot's candles: JSON text that begins with the open time; the column ``timestamp`` is the close."""
    with spooled(stream, entry) as path:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            candles = connection.execute("select exchange_name, symbol, time_frame, candle from ohlcv").fetchall()
        except sqlite3.Error as error:
            raise InvalidData(f"its SQLite has no table of candles: {error}") from error
        finally:
            connection.close()

    def rows() -> Iterator[Origin]:
        for exchange, symbol, timeframe, candle in candles:
            ts, *values = json.loads(candle)
            row = Row("ohlcv", symbol, (int(ts) * SECOND, *values[:5], None, None), timeframe)
            yield Origin(row, exchange.lower())

    yield from frames_by_market(rows())


_HOUR = re.compile(r"([A-Z]{3})([A-Z]{3})/(\d{4})/(\d\d)/(\d\d)/(\d\d)h_ticks")


def bi5(stream: Unpacked, entry: Entry) -> Iterator[RecordFrame]:
    """Yield Dukascopy's ticks of an hour; the path has the hour and the pair."""
    match = _HOUR.search(entry.label)
    if match is None:
        raise InvalidData("a file of ticks must lie like EURUSD/2024/00/05/13h_ticks.bi5: its path says what it is")
    base, quote, year, month, day, hour = match.groups()
    symbol = Symbol(f"{base}/{quote}")
    # Dukascopy counts months from 0.
    start = parse_time(f"{year}-{int(month) + 1:02d}-{day}T{hour}:00")
    yield RecordFrame(decode(stream.read(_LARGEST), start, points_of(symbol)), "quotes", str(symbol))


def gdax_export(stream: Unpacked, entry: Entry) -> Iterator[RecordFrame]:
    """Yield the rows of MongoDB's export of GDAX messages."""
    del entry
    # A cell may hold a whole book, and the csv module takes 128 KiB by default.
    csv.field_size_limit(2**27)

    def rows() -> Iterator[Origin]:
        for line in csv.DictReader(io.TextIOWrapper(stream, "utf-8", newline="")):
            for row in _gdax_rows(line):
                yield Origin(row, "coinbase")

    yield from frames_by_market(rows())


def _gdax_rows(line: dict[str, str]) -> Iterator[Row]:
    native, time = line["product_id"], line["time"] or None
    # Messages have no numbers of their own: the counter at the end of MongoDB's ``_id`` keeps their order.
    seq = int(line["_id"][-6:], 16)
    if line["type"] in {"match", "last_match"}:
        # GDAX names the side of the maker.
        side = {"buy": "sell", "sell": "buy"}[line["side"]]
        ident = line["trade_id"].partition(".")[0]
        yield Row("trades", native, (time, None, ident, line["price"], line["size"], side))
    elif line["type"] == "l2update":
        for side, price, amount in _python_list(line["changes"]):
            book_side = "ask"
            if side == "buy":
                book_side = "bid"
            yield Row("book", native, (time, None, seq, book_side, price, amount, None, False))
    elif line["type"] == "snapshot":
        for book_side, levels in (("bid", line["bids"]), ("ask", line["asks"])):
            for price, amount in _python_list(levels):
                yield Row("book", native, (time, None, seq, book_side, price, amount, None, True))


def _python_list(text: str) -> Any:
    """Return a list that was written by Python, of strings in single quotes."""
    return json.loads(text.replace("'", '"'))


def bitstamp_log(stream: Unpacked, entry: Entry) -> Iterator[RecordFrame]:
    """Yield the rows of Bitstamp's old feed: trades, and the best hundred levels; orders of participants have no kind."""
    del entry

    def rows() -> Iterator[Origin]:
        for number, line in enumerate(stream, 1):
            received, event, text = line.split(b" ", 2)
            if event in {b"trade", b"order_book"}:
                for row in _bitstamp_rows(int(received), parse_line(text, number), number):
                    yield Origin(row, "bitstamp")

    yield from frames_by_market(rows())


def _bitstamp_rows(received_ms: int, message: dict[str, Any], number: int) -> Iterator[Row]:
    """Yield the rows of a message; it has no time, so that of receipt counts, and books are numbered by their lines."""
    ts = received_ms * MS
    if "bids" not in message:
        yield Row("trades", "", (ts, ts, str(message["id"]), message["price"], message["amount"], None))
        return
    for side, levels in (("bid", message["bids"]), ("ask", message["asks"])):
        for price, amount in levels:
            yield Row("book", "", (ts, ts, number, side, price, amount, None, True))
