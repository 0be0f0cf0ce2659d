"""Reader of recorded answers of REST APIs: JSON lines with an answer each, with or without the URL of the call."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ticklake.core.events import intervals_of
from ticklake.core.native_ids import Market
from ticklake.core.time import MINUTE, MS, parse_time
from ticklake.errors import InvalidData
from ticklake.files.binance_markets import market_of_message
from ticklake.files.decompress import Unpacked
from ticklake.files.filenames import venue_of
from ticklake.files.frames import Origin, RecordFrame, RecordingInfo, frames_by_market, parse_line
from ticklake.sources.wire.answers import EXCHANGES, Answer, Reading, host_of, is_reference, read_answer
from ticklake.sources.wire.channels import Channels
from ticklake.sources.wire.messages import read_message
from ticklake.sources.wire.rows import Row

__all__ = ["answer_of_call", "answers", "rows_of_call"]

_OK = 200
_PAGES = re.compile(r"candles_(?P<timeframe>\d+[mhdwDM])_(?P<symbol>[A-Z0-9]+)")
_MESSAGE_KEYS = frozenset({"arg", "channel", "topic", "stream", "params", "table", "event", "e"})
"""Keys that only messages have, and answers have not."""
_SHARED_NAMES = frozenset({"bybit"})
"""Exchanges whose native names are those of spot markets as well as of contracts, and whose answers may not say which."""

_NumberedMarket = tuple[str, Market | None, str]
"""Exchange, market and native name of rows with ids."""


def answers(stream: Unpacked, info: RecordingInfo) -> Iterator[RecordFrame]:
    """Yield the rows of recorded answers, one a line.

    Lines are objects with the ``body`` (JSON, or its text) and the call: a ``uri``; ``path`` and ``query`` without the host; the
    ``start`` of a page of bars, whose market is in the name of the file; or the name of a ``fixture``. Where lines do not say which
    exchange answered, the caller or the name of the file does.
    """
    records = [parse_line(line, number) for number, line in enumerate(stream, 1)]
    exchange = _exchange_of(info)
    info.tally.exchange, info.tally.unit = exchange, "answer"
    _refuse_unknown_exchange(exchange, records)
    recorded = []
    for record, end in zip(records, _ends_of_pages(records), strict=True):
        recorded.append(_read(record, exchange, end, info))
    # Aggregated trades may come before the single ones that forbid them: all lines are read before any row is taken.
    single_trades: set[_NumberedMarket] = set()
    for line in recorded:
        single_trades |= line.numbered_markets("raw")

    def rows() -> Iterator[Origin]:
        for number, (record, line) in enumerate(zip(records, recorded, strict=True)):
            # Pages follow one another without a hole. Other answers may have been recorded hours apart.
            answer = None if "start" in record else number
            yield from _count(line, single_trades, info, answer)

    yield from frames_by_market(rows())


def _refuse_unknown_exchange(exchange: str, records: list[dict[str, Any]]) -> None:
    if exchange in EXCHANGES or all("uri" in record for record in records):
        return
    problem = "known"
    if exchange:
        problem = f"one of {', '.join(sorted(EXCHANGES))}, but {exchange}"
    raise InvalidData(
        f"the exchange of its answers is not {problem}: say it with exchange='kraken' (--exchange kraken)"
    )


@dataclass(frozen=True, slots=True)
class _RecordedAnswer:
    """One line of a file: the answer, and what its reader makes of it."""

    answer: Answer
    reading: Reading
    is_control: bool = False

    @property
    def market(self) -> Market | None:
        """The market that the answer names."""
        return self.reading.market

    def numbered_markets(self, space: str) -> set[_NumberedMarket]:
        """Return the markets of which it has rows with ids of one numbering."""
        rows = self.reading.rows or ()
        return {(self.answer.exchange, self.market, row.native) for row in rows if row.space == space}


def answer_of_call(url: str, body: Any, received: int | None, info: RecordingInfo) -> Answer:
    """Return the answer to the call of a URL."""
    address = urlsplit(url)
    host = address.hostname or ""
    exchange, market = host_of(host)
    query = dict(parse_qsl(address.query))
    return Answer(exchange, body, host, address.path, query, received, market, info.symbol, info.timeframe)


def rows_of_call(answer: Answer, info: RecordingInfo) -> Iterator[Origin]:
    """Count an answer and yield its rows."""
    yield from _count(_RecordedAnswer(answer, read_answer(answer)), set(), info)


def _count(
    line: _RecordedAnswer, single_trades: set[_NumberedMarket], info: RecordingInfo, answer: int | None = None
) -> Iterator[Origin]:
    """Count an answer and yield its rows; *single_trades* are the markets of which the file has trades that are not aggregated."""
    reading, tally, exchange = line.reading, info.tally, line.answer.exchange
    problem = reading.refused or _problem(reading.rows, info)
    if not problem and line.numbered_markets("agg") & single_trades:
        problem = "aggregated trades are numbered otherwise than the single trades beside them: divide the file"
    if problem:
        tally.refuse(reading.channel, problem)
    elif line.is_control or (reading.rows is None and is_reference(line.answer.path)):
        tally.control(reading.channel)
    else:
        is_ambiguous = line.market is None and exchange in _SHARED_NAMES
        for row in tally.read(reading.channel, reading.rows):
            if is_ambiguous:
                yield Origin(row._replace(native=""), exchange, line.market, answer)
            else:
                yield Origin(row, exchange, line.market, answer)


def _problem(rows: list[Row] | None, info: RecordingInfo) -> str:
    """Say why rows are not accepted: a book without a time belongs nowhere."""
    if not rows or rows[0].values[0] is not None or info.has_times:
        return ""
    return "books without a time: say it with constants={'ts': '...'} (--set ts=...)"


def _exchange_of(info: RecordingInfo) -> str:
    """Return the exchange of all answers, from the caller or the name of the file; empty if neither has one."""
    if info.exchange:
        return info.exchange
    words = re.split(r"[^a-z0-9]+", info.name.lower())
    exchanges = {venue_of(word)[0] for word in words} & EXCHANGES
    if len(exchanges) != 1:
        return ""
    return exchanges.pop()


def _read(record: dict[str, Any], exchange: str, end: int | None, info: RecordingInfo) -> _RecordedAnswer:
    """Read one line; *end* is when the bars of its page are over for sure."""
    body = _body_of(record)
    bare = Answer(exchange, body, symbol=info.symbol, timeframe=info.timeframe)
    if record.get("status", _OK) != _OK or body is None:
        problem = "the answer is an error, or no JSON"
        return _RecordedAnswer(bare, Reading(_channel_of(record), refused=problem))
    if "uri" in record:
        answer = answer_of_call(record["uri"], body, _received(record), info)
    elif "path" in record:
        answer = replace(bare, path=record["path"], query=dict(parse_qsl(record.get("query", ""))))
    elif "start" in record:
        answer = _page(bare, end, info)
    else:
        return _read_without_call(record, bare)
    return _RecordedAnswer(answer, read_answer(answer))


def _channel_of(record: dict[str, Any]) -> str:
    """Return the last word of the path, by which an answer is counted that cannot be read."""
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


def _received(record: dict[str, Any]) -> int | None:
    """Return when an answer came, from its ``Date`` header, else from the recorder."""
    date = record.get("recorded_at")
    for name, value in (record.get("headers") or {}).items():
        if name.lower() == "date" and value:
            date = value
    if isinstance(date, list) and date:
        date = date[0]
    if not isinstance(date, str):
        return None
    # The header is written as in mails, a recorder's time in ISO 8601.
    try:
        return parse_time(parsedate_to_datetime(date))
    except ValueError:
        return parse_time(date)


def _page(answer: Answer, end: int | None, info: RecordingInfo) -> Answer:
    """Return one page of bars; the name of the file has the market, like ``bitfinex_candles_1m_BTCUSD_201906``."""
    answer = replace(answer, heard=end)
    match = _PAGES.search(info.name)
    if match is None:
        return answer
    query = {}
    if not info.symbol:
        query["symbol"] = match["symbol"]
    return replace(answer, query=query, timeframe=info.timeframe or match["timeframe"])


def _ends_of_pages(records: list[dict[str, Any]]) -> list[int | None]:
    """Return until when the bars of each page are over for sure.

    All pages but the last were followed by a later call, so their bars were over. Of the last one this is known only if its bars
    fill it; else its newest bar may be unfinished.
    """
    starts = []
    for record in records:
        start = None
        if "start" in record:
            start = parse_time(record["start"])
        starts.append(start)
    times = sorted({start for start in starts if start is not None})
    if not times:
        return [None] * len(records)
    last = times[-1]
    # The shortest step is the length of a page: a longer one lies beside a page that is missing.
    length = min(intervals_of(times), default=0)
    newest = 0
    for record, start in zip(records, starts, strict=True):
        if start == last:
            newest = max(newest, _newest_bar(_body_of(record)))
    is_full = length > 0 and newest + MINUTE >= last + length
    if is_full:
        return [last + length] * len(records)
    ends: list[int | None] = []
    for start in starts:
        if start == last:
            ends.append(None)
        else:
            ends.append(last)
    return ends


def _newest_bar(body: Any) -> int:
    """Return the open time of the newest bar of a page, in nanoseconds; 0 if there is none."""
    newest = 0
    if isinstance(body, list):
        for bar in body:
            if isinstance(bar, list) and bar:
                newest = max(newest, int(bar[0]) * MS)
    return newest


def _read_without_call(record: dict[str, Any], answer: Answer) -> _RecordedAnswer:
    """Read an answer, or a message, that only its content identifies.

    Messages are identified first: they wrap the same lists as answers do, but these may be changes, or bars of another length.
    """
    is_message = isinstance(answer.body, dict) and not _MESSAGE_KEYS.isdisjoint(answer.body)
    if not is_message:
        reading = read_answer(answer)
        if reading.rows is not None or reading.refused:
            return _RecordedAnswer(answer, reading)
    sort = Channels().of(answer.body)
    name, rows = sort.channel, None
    if name == "?":
        name = _channel_of(record)
    message = None
    try:
        if not sort.is_control:
            message = read_message(answer.body, None, exchange=answer.exchange)
    except InvalidData as error:
        return _RecordedAnswer(answer, Reading(name, refused=str(error)))
    if message is not None and not message.unread:
        rows = message.rows
    return _RecordedAnswer(answer, Reading(name, rows, market=market_of_message(answer.body)), sort.is_control)
