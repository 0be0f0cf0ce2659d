"""Recorded answers of REST APIs: JSON lines that hold an answer each, with or without the address that was asked."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ticklake.core.native_ids import Market
from ticklake.core.time import MINUTE, parse_time
from ticklake.errors import InvalidData
from ticklake.files.binance_markets import market_of_message
from ticklake.files.decompress import Unpacked
from ticklake.files.filenames import venue_of
from ticklake.files.frames import Origin, Session, Shaped, gathered, loaded
from ticklake.sources.wire.answers import EXCHANGES, Answer, Reading, host_of, is_reference, read_answer
from ticklake.sources.wire.channels import Channels
from ticklake.sources.wire.messages import read_message
from ticklake.sources.wire.rows import Row

__all__ = ["answers", "called", "rows_of_call"]

_OK = 200
_PAGES = re.compile(r"candles_(?P<timeframe>\d+[mhdwDM])_(?P<symbol>[A-Z0-9]+)")
_MESSAGE_KEYS = frozenset({"arg", "channel", "topic", "stream", "params", "table", "event", "e"})
"""Keys that messages have and answers have not."""
_SHARED_NAMES = frozenset({"bybit"})
"""Where a native name is that of a spot market as well as of a contract, and messages do not tell which."""


def answers(stream: Unpacked, session: Session) -> Iterator[Shaped]:
    """Yield the rows of recorded answers, one a line.

    Lines are objects with the ``body`` (JSON, or its text) and what was asked: a ``uri``; ``path`` and ``query`` without the host; the
    ``start`` of a page of bars, whose market is in the name of the file; or the name of a ``fixture``. Where lines do not say which
    exchange answered, the caller or the name of the file does.
    """
    records = [loaded(line, number) for number, line in enumerate(stream, 1)]
    exchange = _exchange_of(session)
    session.tally.exchange, session.tally.unit = exchange, "answer"
    if exchange not in EXCHANGES and not all("uri" in record for record in records):
        raise InvalidData(
            f"whose answers it holds is not {'known' if not exchange else f'one of {_known()}, but {exchange}'}: "
            f"say it with exchange='kraken' (--exchange kraken)"
        )
    pages = _ends_of_pages(records)
    read = [_read(record, exchange, end, session) for record, end in zip(records, pages, strict=True)]
    single = {market for one in read for market in one.markets("raw")}
    yield from gathered(row for one in read for row in _counted(one, single, session))


@dataclass(frozen=True, slots=True)
class _Read:
    """What one line of a file holds."""

    answer: Answer
    reading: Reading
    is_control: bool = False

    @property
    def market(self) -> Market | None:
        return self.reading.market

    def markets(self, space: str) -> set[tuple[str, Market | None, str]]:
        """Return the markets of which it has rows with ids of one numbering."""
        rows = self.reading.rows or ()
        return {(self.answer.exchange, self.market, row.native) for row in rows if row.space == space}


def called(url: str, body: Any, heard: int | None, session: Session) -> Answer:
    """Return an answer with its address."""
    address = urlsplit(url)
    host = address.hostname or ""
    exchange, market = host_of(host)
    query = dict(parse_qsl(address.query))
    return Answer(exchange, body, host, address.path, query, heard, market, session.symbol, session.timeframe)


def rows_of_call(answer: Answer, session: Session) -> Iterator[Origin]:
    """Count an answer and yield its rows."""
    yield from _counted(_Read(answer, read_answer(answer)), set(), session)


def _counted(one: _Read, single: set[tuple[str, Market | None, str]], session: Session) -> Iterator[Origin]:
    reading, tally = one.reading, session.tally
    rows = reading.rows
    problem = reading.refused or _problem(rows, session)
    if not problem and one.markets("agg") & single:
        problem = "aggregated trades are numbered otherwise than the single trades beside them: divide the file"
    if problem:
        tally.refuse(reading.channel, problem)
    elif one.is_control or (rows is None and is_reference(one.answer.path)):
        tally.control(reading.channel)
    else:
        for row in tally.read(reading.channel, rows):
            is_named = one.market is not None or one.answer.exchange not in _SHARED_NAMES
            yield row if is_named else replace(row, native=""), one.answer.exchange, one.market


def _problem(rows: list[Row] | None, session: Session) -> str:
    """Say why rows may not come in: a book is worth nothing without a time."""
    if not rows or rows[0].values[0] is not None or session.has_times:
        return ""
    return "books without a time: say it with constants={'ts': '...'} (--set ts=...)"


def _known() -> str:
    return ", ".join(sorted(EXCHANGES))


def _exchange_of(session: Session) -> str:
    """Return whose answers a file holds: as the caller says, or its name."""
    if session.exchange:
        return session.exchange
    words = re.split(r"[^a-z0-9]+", session.name.lower())
    named = {venue_of(word)[0] for word in words} & EXCHANGES
    return named.pop() if len(named) == 1 else ""


def _read(record: dict[str, Any], exchange: str, end: int | None, session: Session) -> _Read:
    body = _body_of(record)
    bare = Answer(exchange, body, symbol=session.symbol, timeframe=session.timeframe)
    if record.get("status", _OK) != _OK or body is None:
        problem = "the answer is an error, or no JSON"
        return _Read(bare, Reading(_channel_of(record), refused=problem))
    if "uri" in record:
        answer = called(record["uri"], body, _heard(record), session)
    elif "path" in record:
        answer = replace(bare, path=record["path"], query=dict(parse_qsl(record.get("query", ""))))
    elif "start" in record:
        answer = _page(bare, end, session)
    else:
        return _unaddressed(record, bare)
    return _Read(answer, read_answer(answer))


def _channel_of(record: dict[str, Any]) -> str:
    path = urlsplit(record.get("uri") or record.get("path") or "").path
    return path.rpartition("/")[2] or str(record.get("fixture", "answer"))


def _body_of(record: dict[str, Any]) -> Any:
    """Return the JSON of a body, numbers as the digits that were sent: as floats they would lose some."""
    body = record["body"]
    if not isinstance(body, str):
        return body
    try:
        return json.loads(body, parse_float=str, parse_int=str)
    except ValueError:
        return None


def _heard(record: dict[str, Any]) -> int | None:
    """Return when an answer came: as its header says, else as the recorder does."""
    headers = {name.lower(): value for name, value in (record.get("headers") or {}).items()}
    date = headers.get("date") or record.get("recorded_at")
    text = date[0] if isinstance(date, list) and date else date
    if not isinstance(text, str):
        return None
    try:
        return parse_time(parsedate_to_datetime(text))
    except ValueError:
        return parse_time(text)


def _page(answer: Answer, end: int | None, session: Session) -> Answer:
    """Return one page of bars; the name of the file says of what, like ``bitfinex_candles_1m_BTCUSD_201906``."""
    match = _PAGES.search(session.name)
    if match is None:
        return replace(answer, heard=end)
    query = {} if session.symbol else {"symbol": match["symbol"]}
    return replace(answer, heard=end, query=query, timeframe=session.timeframe or match["timeframe"])


def _ends_of_pages(records: list[dict[str, Any]]) -> list[int | None]:
    """Return until when each page's bars are over for sure: the next pages were asked for later than that, the last one was not."""
    starts = [parse_time(record["start"]) if "start" in record else None for record in records]
    known = sorted({start for start in starts if start is not None})
    if not known:
        return [None] * len(records)
    steps = [later - earlier for earlier, later in itertools.pairwise(known)]
    last, length = known[-1], min(steps, default=0)
    newest = [_newest(_body_of(record)) for record, start in zip(records, starts, strict=True) if start == last]
    is_full = bool(length) and max(newest, default=0) + MINUTE >= last + length
    return [None if start == last and not is_full else last + length * is_full for start in starts]


def _newest(body: Any) -> int:
    times = [int(bar[0]) * 1_000_000 for bar in body if isinstance(bar, list) and bar] if isinstance(body, list) else []
    return max(times, default=0)


def _unaddressed(record: dict[str, Any], answer: Answer) -> _Read:
    """Read an answer, or a message, that is told by its look alone.

    Messages are told first: they wrap the same lists as answers do, but these may be changes, or bars of another length.
    """
    is_message = isinstance(answer.body, dict) and not _MESSAGE_KEYS.isdisjoint(answer.body)
    if not is_message:
        reading = read_answer(answer)
        if reading.rows is not None or reading.refused:
            return _Read(answer, reading)
    sort = Channels().of(answer.body)
    name = _channel_of(record) if sort.channel == "?" else sort.channel
    rows = None if sort.is_control else read_message(answer.body, None)
    return _Read(answer, Reading(name, rows, market=market_of_message(answer.body)), sort.is_control)
