"""What Bitfinex (v2) sends: lists that begin with the number of their channel. Formats are those of its public API documentation.

Lists end with a number of the connection if its flags ask for that (``SEQ_ALL``), and then with a time (``TIMESTAMP``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ticklake.sources.wire.reading import Item, Mark, Memory, Reader
from ticklake.sources.wire.rows import Row, ms, signed, trade
from ticklake.sources.wire.states import best, closed

__all__ = ["READERS"]

_FIRST_TIME = 1_000_000_000_000
"""Numbers at the end of a message are counts below this, and times in milliseconds from it on (2001)."""

_Subscription = Mapping[str, Any]
_Message = Sequence[Any]


def _time(message: _Message, heard: int | None) -> int | None:
    """Return the time of a message that has no other: its own if the connection asked for it, else that of its receipt."""
    last = message[-1]
    if len(message) > 2 and isinstance(last, int) and last >= _FIRST_TIME:
        return ms(last)
    return heard


def _number(message: _Message) -> int | None:
    """Return the number of a message in its connection, if the connection asked for numbers."""
    payload = 2
    if message[1] in ("cs", "te", "tu"):
        payload = 3
    for value in message[payload:]:
        if isinstance(value, int) and not isinstance(value, bool) and value < _FIRST_TIME:
            return value
    return None


def _entries(payload: Any) -> Sequence[Any]:
    """Return the entries of a payload, which has a list of them at first, and one later."""
    if payload and isinstance(payload[0], list):
        return list(payload)
    if payload:
        return [payload]
    return ()


def _book(message: _Message, heard: int | None, subscription: _Subscription) -> Iterator[Item]:
    """Yield levels: (price, orders, amount). Amounts of asks are negative; a level of no orders is gone."""
    native, channel = subscription["symbol"], _book_name(subscription)
    payload, ts = message[1], _time(message, heard)
    if payload == "cs":
        # Read as an unsigned number, as all checksums here.
        yield Mark("book", native, checksum=message[2] & 0xFFFFFFFF, channel=channel)
        return
    whole = not payload or isinstance(payload[0], list)
    for price, count, amount in _entries(payload):
        size, is_ask = signed(amount)
        side = "bid"
        if is_ask:
            side = "ask"
        if count == 0:
            size = 0
        yield Row("book", native, (ts, heard, ts, side, price, size, count, whole), "", "time")
    yield Mark("book", native, starts=whole, channel=channel)


def _book_name(subscription: _Subscription) -> str:
    return f"{subscription.get('prec', 'P0')} {subscription.get('len', '25')}"


def _trades(message: _Message, heard: int | None, subscription: _Subscription) -> Iterator[Row]:
    """Yield trades: (id, time, amount, price). Each comes twice, as ``te`` when it is made and as ``tu`` when it is settled."""
    payload = message[1]
    if payload == "tu":
        return
    if payload == "te":
        payload = message[2]
    for ident, time, amount, price in _entries(payload):
        size, is_sell = signed(amount)
        side = "buy"
        if is_sell:
            side = "sell"
        yield trade(subscription["symbol"], ms(time), heard, price, size, side, ident)


def _ticker(message: _Message, heard: int | None, subscription: _Subscription) -> Iterator[Row]:
    bid_price, bid_amount, ask_price, ask_amount = message[1][:4]
    sides = (*best(bid_price, bid_amount), *best(ask_price, ask_amount))
    yield Row("quotes", subscription["symbol"], (_time(message, heard), heard, None, *sides))


def _candles(message: _Message, heard: int | None, subscription: _Subscription, memory: Memory) -> Iterator[Row]:
    """Yield bars of which a later one came: (time, open, close, high, low, volume)."""
    _, timeframe, native = subscription["key"].split(":", 2)
    bars = []
    for time, open_, close, high, low, volume in _entries(message[1]):
        bars.append(Row("ohlcv", native, (ms(time), open_, high, low, close, volume, None, None), _frame(timeframe)))
    yield from closed(memory, bars, heard)


def _frame(timeframe: str) -> str:
    """Return a timeframe of Bitfinex, which writes ``1D`` and ``1W`` for ours."""
    if timeframe[-1:] in {"D", "W"}:
        return timeframe.lower()
    return timeframe


def _status(message: _Message, heard: int | None, subscription: _Subscription) -> Iterator[Row]:
    """Yield the state of a derivative, or liquidations of all of them."""
    topic, _, native = subscription["key"].partition(":")
    for entry in _entries(message[1]):
        if topic == "deriv":
            yield from _derivative(native, entry, heard)
        elif topic == "liq":
            yield from _liquidation(entry, heard)


def _derivative(native: str, state: Sequence[Any], heard: int | None) -> Iterator[Row]:
    ts = ms(state[0])
    if state[8] is not None:
        next_ts = None
        if state[7]:
            next_ts = ms(state[7])
        yield Row("predicted_funding", native, (ts, heard, state[8], next_ts, state[14], None))
    if len(state) > 17 and state[17] is not None:
        yield Row("open_interest", native, (ts, state[17], None))


def _liquidation(entry: Sequence[Any], heard: int | None) -> Iterator[Row]:
    """Yield a liquidation: ('pos', id, time, -, symbol, amount, base price, -, is a match, is sold, -, price).

    The first message of one announces it (is a match: 0), the others are its parts. The amount is that of the position: a long
    one is sold.
    """
    if not entry[8]:
        return
    size, is_short = signed(entry[5])
    side = "sell"
    if is_short:
        side = "buy"
    price = entry[6]
    if len(entry) > 11 and entry[11] is not None:
        price = entry[11]
    yield Row("liquidations", entry[4], (ms(entry[2]), heard, None, price, size, side))


def _read(message: _Message, heard: int | None, subscription: _Subscription, memory: Memory) -> Iterator[Item]:
    channel = subscription["channel"]
    if channel == "candles":
        yield from _candles(message, heard, subscription, memory)
    else:
        yield from _CHANNELS[channel](message, heard, subscription)
    yield from _marks(message, heard)


def _marks(message: _Message, heard: int | None) -> Iterator[Mark]:
    del heard
    number = _number(message)
    if number is not None:
        yield Mark("", "", number, number)


_CHANNELS = {"book": _book, "trades": _trades, "ticker": _ticker, "status": _status}


def _accepts(subscription: _Subscription) -> bool:
    """Whether a channel has data of a kind: markets of trade (t), not of loans (f); levels (P0 - P4), not orders (R0)."""
    channel, symbol = subscription["channel"], str(subscription.get("symbol", ""))
    key = str(subscription.get("key", ""))
    if channel == "book":
        return symbol.startswith("t") and subscription.get("prec", "P0") == "P0"
    if channel in {"trades", "ticker"}:
        return symbol.startswith("t")
    if channel == "candles":
        return key.partition(":t")[2] != "" and key.count(":") > 1
    return channel == "status" and key.startswith(("deriv:", "liq:"))


def _fits(message: _Message) -> bool:
    return len(message) > 1 and type(message[0]) is int


READERS: tuple[Reader, ...] = (
    Reader(lambda m: _fits(m) and m[1] != "hb", _read, form=list, numbered=True, remembers=True, accepts=_accepts),
    # Heartbeats and single orders are numbered, too.
    Reader(_fits, _marks, form=list, unread=True),
)
"""The readers of its messages. The first that fits reads the message."""
