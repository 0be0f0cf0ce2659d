"""What OKX sends: v5, and v3 of OKEx until 2022. Formats are those of its public API documentation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ticklake.sources.wire.reading import Item, Mark, Reader
from ticklake.sources.wire.rows import Row, iso, ms, trade
from ticklake.sources.wire.states import best

__all__ = ["READERS"]


def _trades(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for entry in message["data"]:
        yield trade(entry["instId"], ms(entry["ts"]), heard, entry["px"], entry["sz"], entry["side"], entry["tradeId"])


def _tickers(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for entry in message["data"]:
        sides = (*best(entry["bidPx"], entry["bidSz"]), *best(entry["askPx"], entry["askSz"]))
        yield Row("quotes", entry["instId"], (ms(entry["ts"]), heard, None, *sides))


def _best(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    """Yield the best levels, which come as a book of one level a side."""
    native = message["arg"]["instId"]
    for entry in message["data"]:
        bid, ask = entry["bids"] or [(None, None)], entry["asks"] or [(None, None)]
        values = (ms(entry["ts"]), heard, entry.get("seqId"), bid[0][0], bid[0][1], ask[0][0], ask[0][1])
        yield Row("quotes", native, values)


def _books(message: Mapping[str, Any], heard: int | None) -> Iterator[Item]:
    """Yield the levels of a book, or of a change of it. A level is (price, amount, 0, orders)."""
    argument = message["arg"]
    # Channels that send the whole book each time have no action.
    whole = message.get("action", "snapshot") == "snapshot"
    for entry in message["data"]:
        native, ts, number = argument["instId"], ms(entry["ts"]), entry.get("seqId")
        seq, space = number, ""
        if number is None:  # before 2023
            seq, space = ts, "time"
        for side, side_levels in (("bid", entry["bids"]), ("ask", entry["asks"])):
            for level in side_levels:
                values = (ts, heard, seq, side, level[0], level[1], level[3], whole)
                yield Row("book", native, values, "", space)
        previous, checksum = entry.get("prevSeqId"), entry.get("checksum")
        if whole:
            previous = None
        # 0 is written where no checksum is offered.
        yield Mark("book", native, number, number, previous, whole, checksum or None, argument["channel"])


_PREFIXES = {"mark-price-candle": "mark_ohlcv", "index-candle": "index_ohlcv", "candle": "ohlcv"}


def _bars(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    """Yield the bars whose last field says that they are over."""
    del heard
    channel, native = message["arg"]["channel"], message["arg"]["instId"]
    prefix = channel[: channel.index("candle") + len("candle")]
    kind, timeframe = _PREFIXES[prefix], _timeframe(channel.removeprefix(prefix))
    for ts, open_, high, low, close, *volumes, confirm in message["data"]:
        if confirm != "1":
            continue
        volume = quote_volume = None
        if kind == "ohlcv":
            # Contracts, or the coin; then the coin; then the quote. Names of contracts have more than two parts.
            volume = volumes[0]
            if native.count("-") > 1 and len(volumes) > 1:
                volume = volumes[1]
            if len(volumes) > 2:
                quote_volume = volumes[2]
        yield Row(kind, native, (ms(ts), open_, high, low, close, volume, quote_volume, None), timeframe)


def _timeframe(text: str) -> str:
    """Return a timeframe of OKX: ``1H`` and ``1Dutc`` are our ``1h`` and ``1d``; ``1D`` begins at midnight of Hong Kong."""
    name = text.removesuffix("utc")
    if name[-1:] in {"H", "D", "W"}:
        return name.lower()
    return name


def _funding(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    """Yield the rate that will be paid, and the one that was paid if the message has it."""
    for entry in message["data"]:
        native, ts = entry["instId"], heard
        if entry.get("ts"):
            ts = ms(entry["ts"])
        if entry.get("fundingRate"):
            next_ts = ms(entry["fundingTime"])
            yield Row("predicted_funding", native, (ts, heard, entry["fundingRate"], next_ts, None, None))
        if entry.get("settState") == "settled" and entry.get("settFundingRate") and entry.get("prevFundingTime"):
            paid = ms(entry["prevFundingTime"])
            yield Row("funding", native, (paid, entry["settFundingRate"], None, None, None, None))


def _open_interest(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    del heard
    for entry in message["data"]:
        yield Row("open_interest", entry["instId"], (ms(entry["ts"]), entry["oi"], entry.get("oiUsd") or None))


def _liquidations(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for entry in message["data"]:
        for order in entry["details"]:
            values = (ms(order["ts"]), heard, None, order["bkPx"], order["sz"], order["side"])
            yield Row("liquidations", entry["instId"], values)


_CHANNELS: dict[Any, Callable[[Mapping[str, Any], int | None], Iterator[Item]]] = {
    "trades": _trades,
    "trades-all": _trades,
    "tickers": _tickers,
    "bbo-tbt": _best,
    "books": _books,
    "books5": _books,
    "books50-l2-tbt": _books,
    "books-l2-tbt": _books,
    "funding-rate": _funding,
    "open-interest": _open_interest,
    "liquidation-orders": _liquidations,
}
# OKX counts days from midnight of Hong Kong unless the name says UTC: such days, weeks and months are not those of a lake.
_HOURS = ("1s", "1m", "3m", "5m", "15m", "30m", "1H", "2H", "4H")
for _length in (*_HOURS, "6Hutc", "12Hutc", "1Dutc", "1Wutc", "1Mutc"):
    for _prefix in _PREFIXES:
        _CHANNELS[f"{_prefix}{_length}"] = _bars


def _old_trades(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for entry in message["data"]:
        size = entry.get("size") or entry["qty"]
        ts, native = iso(entry["timestamp"]), entry["instrument_id"]
        yield trade(native, ts, heard, entry["price"], size, entry["side"], entry["trade_id"])


def _old_tickers(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for entry in message["data"]:
        bid = best(entry["best_bid"], entry.get("best_bid_size"))
        ask = best(entry["best_ask"], entry.get("best_ask_size"))
        yield Row("quotes", entry["instrument_id"], (iso(entry["timestamp"]), heard, None, *bid, *ask))


def _old_books(message: Mapping[str, Any], heard: int | None) -> Iterator[Item]:
    """Yield the levels of a book, or of a change of it. A level ends with its orders. Nothing numbers it: its time does."""
    whole = message.get("action", "partial") == "partial"
    for entry in message["data"]:
        native, ts = entry["instrument_id"], iso(entry["timestamp"])
        for side, side_levels in (("bid", entry["bids"]), ("ask", entry["asks"])):
            for level in side_levels:
                yield Row("book", native, (ts, heard, ts, side, level[0], level[1], level[-1], whole), "", "time")
        yield Mark("book", native, starts=whole, checksum=entry.get("checksum") or None, channel=message["table"])


_TABLES: dict[Any, Callable[[Mapping[str, Any], int | None], Iterator[Item]]] = {}
for _part in ("spot", "swap", "futures", "option"):
    _TABLES[f"{_part}/trade"] = _old_trades
    _TABLES[f"{_part}/ticker"] = _old_tickers
    for _name in ("depth", "depth5", "depth_l2_tbt"):
        _TABLES[f"{_part}/{_name}"] = _old_books


def _read_table(message: Mapping[str, Any], heard: int | None) -> Iterator[Item]:
    return _TABLES[message["table"]](message, heard)


def _read(message: Mapping[str, Any], heard: int | None) -> Iterator[Item]:
    return _CHANNELS[message["arg"]["channel"]](message, heard)


def _fits(message: Mapping[str, Any]) -> bool:
    argument = message.get("arg")
    return type(argument) is dict and argument.get("channel") in _CHANNELS and "data" in message


READERS: tuple[Reader, ...] = (
    Reader(_fits, _read),
    Reader(lambda m: m.get("table") in _TABLES and "data" in m, _read_table),
)
"""The readers of its messages. The first that fits reads the message."""
