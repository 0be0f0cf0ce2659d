"""From ccxt's unified structures to frames: pure, tested on recorded payloads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from ticklake.core.instrument import Instrument
from ticklake.core.kinds import KINDS, TIME
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
"""What ccxt's ``precisionMode`` says."""


def with_raw_columns(parse: Callable[..., list[Any]], quirks: Quirks) -> Callable[..., list[Any]]:
    """Wrap ccxt's ``parse_ohlcv`` so that quote volume and trade count survive it."""

    def parsed(raw: Any, market: Any = None) -> list[Any]:
        bar = parse(raw, market)
        inverse = bool((market or {}).get("inverse"))
        extra = [None if inverse else _item(raw, quirks.quote_volume, float), _item(raw, quirks.bar_trades, int)]
        return [*bar[:6], *extra]

    return parsed


def split_by_time(kind: str, rows: Rows, quirks: Quirks) -> tuple[list[Any], list[Dropped]]:
    """Return the rows whose time 64 bits of nanoseconds hold, and why the others are refused."""
    kept, refused = [], []
    for row in rows:
        text = row[0] if isinstance(row, list) else row.get("timestamp")
        if _time_of(kind, row, quirks) is not None:
            kept.append(row)
        elif text is None:
            refused.append(Dropped(None, f"{REFUSED} without a time"))
        else:
            refused.append(Dropped(None, f"{REFUSED} as its time {text} is outside 1677..2262"))
    return kept, refused


def _time_of(kind: str, row: Any, quirks: Quirks) -> int | None:
    if kind != "trades":
        return to_ns(row[0]) if isinstance(row, list) else event_time(row)
    try:
        ts = quirks.trade_time(row)
    except (InvalidTime, TypeError, ValueError, OverflowError):
        return None
    return ts if ts is not None and -LAST <= ts <= LAST else None


def bars(rows: Rows) -> pl.DataFrame:
    """Return ohlcv rows from ccxt's candles: milliseconds, open, high, low, close, volume, and what was added."""
    names = KINDS["ohlcv"].names
    whole = [[*row, *[None] * (len(names) - len(row))] for row in rows]
    columns = list(zip(*whole, strict=True)) or [()] * len(names)
    return pl.DataFrame(
        [
            pl.Series("ts", [None if ts is None else int(ts) * MS for ts in columns[0]], dtype=pl.Int64).cast(TIME),
            *(pl.Series(name, columns[at], dtype=pl.Float64) for at, name in enumerate(names[1:7], 1)),
            pl.Series("trades", columns[7], dtype=pl.Int64),
        ]
    )


def trades(rows: Rows, quirks: Quirks) -> pl.DataFrame:
    """Return trades rows from ccxt's trades, in time order, then by arrival."""
    frame = pl.DataFrame(
        {
            "ts": [quirks.trade_time(row) for row in rows],
            "id": [None if row.get("id") is None else str(row["id"]) for row in rows],
            "price": [row["price"] for row in rows],
            "amount": [row["amount"] for row in rows],
            "side": [row.get("side") for row in rows],
        },
        schema={
            "ts": pl.Int64,
            "id": pl.String,
            "price": pl.Float64,
            "amount": pl.Float64,
            "side": pl.String,
        },
    )
    number = pl.col("id").str.to_integer(strict=False, dtype=pl.Int128)
    return frame.with_columns(pl.col("ts").cast(TIME)).sort("ts", number, maintain_order=True, nulls_last=True)


def events(kind: str, rows: Rows) -> pl.DataFrame:
    """Return funding or open interest rows from ccxt's structures, in time order."""
    if kind == "funding":
        values = [(event_time(row), row.get("fundingRate"), _mark_price(row)) for row in rows]
        names = ("ts", "rate", "mark_price")
    else:
        values = [(event_time(row), row.get("openInterestAmount"), row.get("openInterestValue")) for row in rows]
        names = ("ts", "open_interest", "open_interest_value")
    schema = {name: pl.Int64 if name == "ts" else pl.Float64 for name in names}
    frame = pl.DataFrame(values, schema=schema, orient="row")
    return frame.with_columns(pl.col("ts").cast(TIME)).sort("ts", maintain_order=True)


def book(snapshot: dict[str, Any], received_at: int) -> tuple[pl.DataFrame, str]:
    """Return book rows from ccxt's order book, and whose clock their ``ts`` is."""
    exchange_ts = snapshot.get("timestamp")
    ts = received_at if exchange_ts is None else to_ns(exchange_ts)
    if ts is None:
        raise BadResponse(f"the time {exchange_ts} of the order book is outside 1677..2262")
    seq = snapshot.get("nonce") or ts
    rows = [
        (ts, received_at, int(seq), side, float(level[0]), float(level[1]), None, True)
        for side, levels in (("bid", snapshot["bids"]), ("ask", snapshot["asks"]))
        for level in levels
    ]
    schema = {name: pl.Int64 if dtype == TIME else dtype for name, dtype in KINDS["book"].schema.items()}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    timed = frame.with_columns(pl.col("ts").cast(TIME), pl.col("received_at").cast(TIME))
    return timed, "local" if exchange_ts is None else "exchange"


def predicted_funding(rate: dict[str, Any], received_at: int) -> tuple[pl.DataFrame, str]:
    """Return the row of ccxt's funding rate of now, and whose clock its ``ts`` is; no row if it predicts nothing.

    ccxt names the coming settlement ``fundingTimestamp`` or ``nextFundingTimestamp``, as the exchange does; a rate that goes
    with a time that has passed is settled, and none of this.
    """
    exchange_ts = to_ns(rate.get("timestamp"))
    ts = received_at if exchange_ts is None else exchange_ts
    told = [
        (to_ns(rate.get(f"{name}Timestamp")), rate.get(f"{name}Rate"))
        for name in ("funding", "nextFunding")
        if rate.get(f"{name}Rate") is not None
    ]
    coming = [pair for pair in told if pair[0] is not None and pair[0] > ts]
    undated = [pair for pair in told if pair[0] is None]
    rows = []
    if coming or undated:
        next_ts, value = min(coming) if coming else (to_ns(rate.get("nextFundingTimestamp")), undated[0][1])
        rows.append((ts, received_at, value, next_ts, rate.get("markPrice"), _interval(rate.get("interval"))))
    columns = KINDS["predicted_funding"].columns
    schema = {column.name: pl.Int64 if column.is_temporal else column.dtype for column in columns}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    typed = frame.with_columns(pl.col(column.name).cast(column.dtype) for column in columns)
    return typed, "local" if exchange_ts is None else "exchange"


def _interval(text: Any) -> int | None:
    """Return the time between two settlements, which ccxt writes like a timeframe."""
    try:
        return Timeframe.parse(text).length
    except UnknownTimeframe:
        return None


def instrument(exchange: str, market: dict[str, Any], precision_mode: int = TICK_SIZE) -> Instrument:
    """Return an instrument from ccxt's market; *precision_mode* says what its precisions are: steps, or decimals."""
    kept = ("base", "quote", "settle", "linear", "inverse", "contractSize", "expiry", "strike", "optionType")
    details = {name: market.get(name) for name in kept if market.get(name) is not None}
    details |= {"precision": market.get("precision"), "limits": market.get("limits")}
    if (listed := created(market)) is not None:
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
    return int(market["created"]) * MS if market.get("created") else None


def market(instrument: Instrument) -> dict[str, Any]:
    """Return ccxt's market for an instrument that is no longer listed, as far as calls need it."""
    details, kind = instrument.details, instrument.market_type
    symbol = Symbol(instrument.symbol)
    named = {name: details.get(name) or getattr(symbol, name) for name in ("base", "quote", "settle")}
    types = {name: name == kind for name in ("spot", "swap", "future", "option")}
    return {
        **{name: details.get(name) for name in ("linear", "inverse", "contractSize", "expiry", "strike", "optionType")},
        **{name: details.get(name) or {} for name in ("precision", "limits")},
        **named,
        **{f"{name}Id": value for name, value in named.items()},
        **types,
        "id": instrument.native_id,
        "symbol": instrument.symbol,
        "type": kind,
        "contract": kind != "spot",
        "active": False,
        "info": {},
    }


def _step(market: dict[str, Any], name: str, precision_mode: int) -> float | None:
    """Return the smallest step of price or amount; none where precision means significant digits."""
    value = (market.get("precision") or {}).get(name)
    if value is None or precision_mode == SIGNIFICANT_DIGITS:
        return None
    return float(value) if precision_mode == TICK_SIZE else 10.0 ** -int(value)


def _item(raw: Any, index: int | None, convert: Callable[[Any], Any]) -> Any:
    if index is None or not isinstance(raw, list) or len(raw) <= index or raw[index] in (None, ""):
        return None
    return convert(raw[index])


def _mark_price(row: dict[str, Any]) -> float | None:
    text = (row.get("info") or {}).get("markPrice") if isinstance(row.get("info"), dict) else None
    return float(text) if text else None
