"""From ccxt's unified structures to frames: pure, tested on recorded payloads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from ticklake.core.instrument import Instrument
from ticklake.core.kinds import KINDS
from ticklake.core.symbol import Symbol
from ticklake.core.time import MS
from ticklake.core.timeframe import Timeframe
from ticklake.errors import BadResponse, InvalidTime, UnknownTimeframe
from ticklake.sources.ccxt.exact_time import LAST, event_time, to_ns
from ticklake.sources.ccxt.quirks import Quirks
from ticklake.sources.ccxt.row_counts import REFUSED, Dropped

__all__ = [
    "bars",
    "book",
    "created",
    "events",
    "instrument",
    "market",
    "predicted_funding",
    "split_by_time",
    "trades",
    "with_raw_columns",
]

Rows = Sequence[Any]
SIGNIFICANT_DIGITS, TICK_SIZE = 3, 4
"""Values of ccxt's ``precisionMode``."""
_CONTRACT_FIELDS = ("linear", "inverse", "contractSize", "expiry", "strike", "optionType")
_CURRENCIES = ("base", "quote", "settle")


def with_raw_columns(parse: Callable[..., list[Any]], quirks: Quirks) -> Callable[..., list[Any]]:
    """Wrap ccxt's ``parse_ohlcv`` so that quote volume and trade count survive it."""

    def parsed(raw: Any, market: Any = None) -> list[Any]:
        bar = parse(raw, market)
        quote_volume = None
        # In its place, inverse contracts have an amount of the base coin.
        if not (market or {}).get("inverse"):
            quote_volume = _item(raw, quirks.quote_volume, float)
        return [*bar[:6], quote_volume, _item(raw, quirks.bar_trades, int)]

    return parsed


def split_by_time(kind: str, rows: Rows, quirks: Quirks) -> tuple[list[Any], list[Dropped]]:
    """Return the rows whose time 64 bits of nanoseconds hold, and why the others are refused."""
    kept, refused = [], []
    for row in rows:
        if _time_of(kind, row, quirks) is not None:
            kept.append(row)
            continue
        raw_time = _raw_time(row)
        reason = f"{REFUSED} as its time {raw_time} is outside 1677..2262"
        if raw_time is None:
            reason = f"{REFUSED} without a time"
        refused.append(Dropped(None, reason))
    return kept, refused


def _time_of(kind: str, row: Any, quirks: Quirks) -> int | None:
    """Return the time of a row in nanoseconds, if it has one that 64 bits hold."""
    if kind == "trades":
        return _trade_time(row, quirks)
    if isinstance(row, list):
        return to_ns(row[0])
    return event_time(row)


def _trade_time(row: Any, quirks: Quirks) -> int | None:
    try:
        ts = quirks.trade_time(row)
    except (InvalidTime, TypeError, ValueError, OverflowError):
        return None
    if ts is None or not -LAST <= ts <= LAST:
        return None
    return ts


def _raw_time(row: Any) -> Any:
    """Return the time of a row as ccxt has it: in a bar it comes first, other rows name it."""
    if isinstance(row, list):
        return row[0]
    return row.get("timestamp")


def _frame(kind: str, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> pl.DataFrame:
    """Return the columns *names* of a kind, in its order, from rows that have times and lengths of time in nanoseconds."""
    schema: dict[str, Any] = {}
    raw_schema: dict[str, Any] = {}
    for column in KINDS[kind].columns:
        if column.name in names:
            schema[column.name] = column.dtype
            raw_schema[column.name] = pl.Int64 if column.is_temporal else column.dtype
    return pl.DataFrame(rows, schema=raw_schema, orient="row").cast(pl.Schema(schema))


def bars(rows: Rows) -> pl.DataFrame:
    """Return ohlcv rows from ccxt's candles: milliseconds, open, high, low, close, volume, and what was added."""
    names = KINDS["ohlcv"].names
    values = []
    for row in rows:
        ts = None
        if row[0] is not None:
            ts = int(row[0]) * MS
        missing = [None] * (len(names) - len(row))
        values.append([ts, *row[1 : len(names)], *missing])
    return _frame("ohlcv", names, values)


def trades(rows: Rows, quirks: Quirks) -> pl.DataFrame:
    """Return trades rows from ccxt's trades, in time order, then by their numbers, then by arrival."""
    values = []
    for row in rows:
        trade_id = row.get("id")
        if trade_id is not None:
            trade_id = str(trade_id)
        values.append((quirks.trade_time(row), trade_id, row["price"], row["amount"], row.get("side")))
    frame = _frame("trades", ("ts", "id", "price", "amount", "side"), values)
    # Trades of one instant come in any order, and their numbers tell the true one.
    number = pl.col("id").str.to_integer(strict=False, dtype=pl.Int128)
    return frame.sort("ts", number, maintain_order=True, nulls_last=True)


def events(kind: str, rows: Rows) -> pl.DataFrame:
    """Return funding or open interest rows from ccxt's structures, in time order."""
    if kind == "funding":
        names = ("ts", "rate", "mark_price")
        values = [(event_time(row), row.get("fundingRate"), _mark_price(row)) for row in rows]
    else:
        names = ("ts", "open_interest", "open_interest_value")
        values = [(event_time(row), row.get("openInterestAmount"), row.get("openInterestValue")) for row in rows]
    return _frame(kind, names, values).sort("ts", maintain_order=True)


def book(snapshot: dict[str, Any], received_at: int) -> tuple[pl.DataFrame, str]:
    """Return book rows from ccxt's order book, and whose clock their ``ts`` is."""
    exchange_ts = snapshot.get("timestamp")
    ts: int | None = received_at
    clock = "local"
    if exchange_ts is not None:
        ts = to_ns(exchange_ts)
        clock = "exchange"
    if ts is None:
        raise BadResponse(f"the time {exchange_ts} of the order book is outside 1677..2262")
    # A snapshot without a number is numbered by its time (docs/adr/0026).
    seq = int(snapshot.get("nonce") or ts)
    rows = []
    for side, levels in (("bid", snapshot["bids"]), ("ask", snapshot["asks"])):
        rows += [(ts, received_at, seq, side, float(price), float(amount), None, True) for price, amount, *_ in levels]
    return _frame("book", KINDS["book"].names, rows), clock


def predicted_funding(rate: dict[str, Any], received_at: int) -> tuple[pl.DataFrame, str]:
    """Return the row of ccxt's funding rate of now, and whose clock its ``ts`` is; no row if it predicts nothing."""
    ts = to_ns(rate.get("timestamp"))
    clock = "exchange"
    if ts is None:
        ts = received_at
        clock = "local"
    rows = []
    prediction = _prediction(rate, ts)
    if prediction is not None:
        next_ts, value = prediction
        rows.append((ts, received_at, value, next_ts, rate.get("markPrice"), _interval(rate.get("interval"))))
    return _frame("predicted_funding", KINDS["predicted_funding"].names, rows), clock


def _prediction(rate: dict[str, Any], ts: int) -> tuple[int | None, Any] | None:
    """Return the time of the coming settlement, if it is known, and its rate.

    ccxt names it ``fundingTimestamp`` or ``nextFundingTimestamp``, as the exchange does; a rate with a time that has passed is
    settled, and no prediction.
    """
    coming = []
    undated = []
    for name in ("funding", "nextFunding"):
        value = rate.get(f"{name}Rate")
        if value is None:
            continue
        settlement = to_ns(rate.get(f"{name}Timestamp"))
        if settlement is None:
            undated.append(value)
        elif settlement > ts:
            coming.append((settlement, value))
    if coming:
        return min(coming)
    if undated:
        return to_ns(rate.get("nextFundingTimestamp")), undated[0]
    return None


def _interval(text: Any) -> int | None:
    """Return the time between two settlements, which ccxt writes like a timeframe."""
    try:
        return Timeframe.parse(text).length
    except UnknownTimeframe:
        return None


def instrument(exchange: str, market: dict[str, Any], precision_mode: int = TICK_SIZE) -> Instrument:
    """Return an instrument from ccxt's market; *precision_mode* says what its precisions are: steps, or decimals."""
    details: dict[str, Any] = {}
    for name in (*_CURRENCIES, *_CONTRACT_FIELDS):
        if market.get(name) is not None:
            details[name] = market[name]
    details["precision"] = market.get("precision")
    details["limits"] = market.get("limits")
    listed = created(market)
    if listed is not None:
        details["created"] = listed
    return Instrument(
        exchange=exchange,
        symbol=market["symbol"],
        native_id=str(market.get("id") or ""),
        market_type=str(market.get("type") or ""),
        active=market.get("active") is not False,
        details=details,
        contract_size=market.get("contractSize"),
        tick_size=_step(market, "price", precision_mode),
        lot_size=_step(market, "amount", precision_mode),
    )


def created(market: Mapping[str, Any]) -> int | None:
    """Return when the exchange says that a market was listed, in nanoseconds."""
    if not market.get("created"):
        return None
    return int(market["created"]) * MS


def market(instrument: Instrument) -> dict[str, Any]:
    """Return ccxt's market for an instrument that is no longer listed, as far as calls need it."""
    details, kind = instrument.details, instrument.market_type
    market: dict[str, Any] = {
        "id": instrument.native_id,
        "symbol": instrument.symbol,
        "type": kind,
        "contract": kind != "spot",
        "active": False,
        "info": {},
    }
    symbol = Symbol(instrument.symbol)
    for name in _CURRENCIES:
        currency = details.get(name) or getattr(symbol, name)
        market[name] = currency
        market[f"{name}Id"] = currency
    for name in _CONTRACT_FIELDS:
        market[name] = details.get(name)
    for name in ("precision", "limits"):
        market[name] = details.get(name) or {}
    for name in ("spot", "swap", "future", "option"):
        market[name] = name == kind
    return market


def _step(market: dict[str, Any], name: str, precision_mode: int) -> float | None:
    """Return the smallest step of price or amount; none where precision means significant digits."""
    value = (market.get("precision") or {}).get(name)
    if value is None or precision_mode == SIGNIFICANT_DIGITS:
        return None
    if precision_mode == TICK_SIZE:
        return float(value)
    return 10.0 ** -int(value)


def _item(raw: Any, index: int | None, convert: Callable[[Any], Any]) -> Any:
    if index is None or not isinstance(raw, list) or len(raw) <= index or raw[index] in (None, ""):
        return None
    return convert(raw[index])


def _mark_price(row: dict[str, Any]) -> float | None:
    info = row.get("info")
    if not isinstance(info, dict) or not info.get("markPrice"):
        return None
    return float(info["markPrice"])
