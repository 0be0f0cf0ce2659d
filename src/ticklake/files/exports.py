"""Files of single programs: databases, logs."""

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
from ticklake.files.frames import Heap, Origin, Shaped, gathered, loaded
from ticklake.sources.dukascopy.files import decode, points_of
from ticklake.sources.wire.messages import Row

__all__ = ["bi5", "bitstamp_log", "candles_db", "gdax_export"]

_LARGEST = 64 * 2**20
"""No file of ticks is larger, even unpacked."""


def candles_db(stream: Unpacked, entry: Entry) -> Iterator[Shaped]:
    """Yield OctoBot's candles: JSON text that begins with the open time; the column ``timestamp`` is the close."""
    with spooled(stream, entry) as path:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            found = connection.execute("select exchange_name, symbol, time_frame, candle from ohlcv").fetchall()
        except sqlite3.Error as error:
            raise InvalidData(f"its SQLite has no table of candles: {error}") from error
        finally:
            connection.close()
    heap = Heap()
    for exchange, symbol, timeframe, candle in found:
        ts, *prices = json.loads(candle)
        heap.add(Row("ohlcv", symbol, (int(ts) * SECOND, *prices[:5], None, None), timeframe), exchange.lower())
    yield from heap.rest()


_HOUR = re.compile(r"([A-Z]{3})([A-Z]{3})/(\d{4})/(\d\d)/(\d\d)/(\d\d)h_ticks")


def bi5(stream: Unpacked, entry: Entry) -> Iterator[Shaped]:
    """Yield Dukascopy's ticks of an hour; which one, and of which pair, the path says."""
    match = _HOUR.search(entry.label)
    if match is None:
        raise InvalidData("a file of ticks must lie like EURUSD/2024/00/05/13h_ticks.bi5: its path says what it is")
    base, quote, year, month, day, hour = match.groups()
    symbol = Symbol(f"{base}/{quote}")
    start = parse_time(f"{year}-{int(month) + 1:02d}-{day}T{hour}:00")
    yield Shaped(decode(stream.read(_LARGEST), start, points_of(symbol)), "quotes", str(symbol))


def gdax_export(stream: Unpacked, entry: Entry) -> Iterator[Shaped]:
    """Yield the rows of MongoDB's export of GDAX messages: lists are Python's, and the counter in ``_id`` keeps their order."""
    del entry
    csv.field_size_limit(2**27)

    def rows() -> Iterator[Origin]:
        for line in csv.DictReader(io.TextIOWrapper(stream, "utf-8", newline="")):
            for row in _gdax_rows(line):
                yield row, "coinbase", None

    yield from gathered(rows())


def _gdax_rows(line: dict[str, str]) -> Iterator[Row]:
    native, seq, time = line["product_id"], int(line["_id"][-6:], 16), line["time"] or None
    if line["type"] in {"match", "last_match"}:
        side = {"buy": "sell", "sell": "buy"}[line["side"]]
        ident = line["trade_id"].partition(".")[0]
        yield Row("trades", native, (time, None, ident, line["price"], line["size"], side))
    elif line["type"] == "l2update":
        for side, price, amount in _python_list(line["changes"]):
            word = "bid" if side == "buy" else "ask"
            yield Row("book", native, (time, None, seq, word, price, amount, None, False))
    elif line["type"] == "snapshot":
        for word, levels in (("bid", line["bids"]), ("ask", line["asks"])):
            for price, amount in _python_list(levels):
                yield Row("book", native, (time, None, seq, word, price, amount, None, True))


def _python_list(text: str) -> Any:
    return json.loads(text.replace("'", '"'))


def bitstamp_log(stream: Unpacked, entry: Entry) -> Iterator[Shaped]:
    """Yield the rows of Bitstamp's old feed: trades, and the best hundred levels; orders of participants have no kind."""
    del entry

    def rows() -> Iterator[Origin]:
        for number, line in enumerate(stream, 1):
            heard, sort, text = line.split(b" ", 2)
            if sort in {b"trade", b"order_book"}:
                for row in _bitstamp_rows(int(heard), loaded(text, number), number):
                    yield row, "bitstamp", None

    yield from gathered(rows())


def _bitstamp_rows(heard: int, one: dict[str, Any], number: int) -> Iterator[Row]:
    ts = heard * MS
    if "bids" not in one:
        yield Row("trades", "", (ts, ts, str(one["id"]), one["price"], one["amount"], None))
        return
    for side, levels in (("bid", one["bids"]), ("ask", one["asks"])):
        for price, amount in levels:
            yield Row("book", "", (ts, ts, number, side, price, amount, None, True))
