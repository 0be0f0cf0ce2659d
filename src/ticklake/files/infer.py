"""Guessing a mapping from the names and the values of a file's columns; what is guessed is shown, and can be overruled."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import polars as pl

from ticklake.core.kinds import KINDS, kind_of
from ticklake.errors import InvalidData
from ticklake.files.mapping import Mapping

__all__ = ["column_called", "guess", "kind_by_columns", "looks_like_header"]

_NAMES: dict[str, tuple[str, ...]] = {
    "ts": (
        *("ts", "timestamp", "unix", "time", "datetime", "date", "date time", "opentime", "open time", "start", "t"),
        *("timestampms", "time seconds", "timestamp ms", "gmt time", "utc time", "utc", "transacttime", "calctime"),
        *("fundingtime", "funding time", "createdtime", "created time", "createtime", "create time", "exchange time"),
        *("local time", "starttime", "start time", "tradetime", "trade time", "executedat", "created at"),
    ),
    "received_at": ("receivedat", "localtimestamp", "local timestamp", "receipt timestamp", "received at"),
    "open": ("open", "o", "openprice", "open price", "first"),
    "high": ("high", "h", "highprice", "high price", "max"),
    "low": ("low", "l", "lowprice", "low price", "min"),
    "close": ("close", "c", "closeprice", "close price", "last"),
    "volume": ("volume", "vol", "v", "basevolume", "base volume", "volume btc", "tickvol", "tick volume"),
    "quote_volume": ("quotevolume", "quote volume", "quoteassetvolume", "quote asset volume", "volquote", "turnover"),
    "trades": ("trades", "count", "tradecount", "trade count", "number of trades", "numberoftrades", "trade num"),
    "id": ("id", "tradeid", "trade id", "tid", "trdmatchid", "execid", "aggtradeid", "agg trade id"),
    "price": ("price", "p", "rate price", "px", "trade price", "tradeprice"),
    "amount": ("amount", "size", "qty", "quantity", "q", "sz", "trade size", "tradesize", "basesize"),
    "side": ("side", "direction", "taker side", "takerside", "aggressor side"),
    "buyer_maker": ("isbuyermaker", "is buyer maker", "buyer maker"),
    "bid_price": ("bidprice", "bid price", "bid", "best bid price", "bestbidprice", "bestbid"),
    "bid_amount": ("bidamount", "bid amount", "bidsize", "bid size", "best bid qty", "bidqty", "bid volume"),
    "ask_price": ("askprice", "ask price", "ask", "best ask price", "bestaskprice", "bestask"),
    "ask_amount": ("askamount", "ask amount", "asksize", "ask size", "best ask qty", "askqty", "ask volume"),
    "rate": ("rate", "fundingrate", "funding rate", "last funding rate", "lastfundingrate", "realizedrate"),
    "predicted_rate": ("predictedrate", "predicted rate", "predicted funding rate"),
    "mark_price": ("markprice", "mark price"),
    "open_interest": ("openinterest", "open interest", "sum open interest", "sumopeninterest", "oi"),
    "open_interest_value": ("openinterestvalue", "open interest value", "sum open interest value"),
    "seq": ("seq", "sequence", "update id", "updateid", "lastupdateid"),
    "is_snapshot": ("issnapshot", "is snapshot"),
    "symbol": ("symbol", "pair", "market", "instrument", "ticker"),
}
"""What files call our columns: the earlier name is taken where a file has several. Case, ``_``, ``-``, ``<>`` do not count."""
_HEADLESS = {
    6: ("ts", "open", "high", "low", "close", "volume"),
    5: ("ts", "open", "high", "low", "close"),
    7: ("ts", "open", "high", "low", "close", "volume", "trades"),
    3: ("ts", "price", "amount"),
}
"""What stands in files without names, by how many columns there are."""
_CCXT_TRADES = ("ts", "id", "type", "side", "price", "amount", "cost")
"""Trades as freqtrade lists them."""
_OURS = frozenset(name for kind in KINDS.values() for name in kind.names)
"""Our own names: what was exported comes in again."""
_BARS = ("open", "high", "low", "close")
_BY_KIND: tuple[tuple[str, frozenset[str]], ...] = (
    ("ohlcv", frozenset({"ts", *_BARS})),
    ("book", frozenset({"ts", "seq", "side", "price", "amount", "is_snapshot"})),
    ("trades", frozenset({"ts", "price", "amount"})),
    ("quotes", frozenset({"ts", "bid_price", "ask_price"})),
    ("funding", frozenset({"ts", "rate"})),
    ("open_interest", frozenset({"ts", "open_interest"})),
)
_WORDS = re.compile(r"[^a-z0-9]+")


def column_called(name: str) -> str | None:
    """Return which of our columns files call so, like ``close`` for ``Close`` or ``ts`` for ``Date``."""
    words = _WORDS.sub(" ", name.lower()).strip()
    return next((column for column, names in _NAMES.items() if words in names), None)


def guess(raw: pl.DataFrame, *, named: bool, kind: str | None = None) -> tuple[str, Mapping]:
    """Return which kind the rows of a raw frame are of, and how its columns are to be read.

    Parameters
    ----------
    raw
        Some rows from the beginning of the file.
    named
        Whether its columns have names of their own.
    kind
        The kind, if it is known.

    Raises
    ------
    InvalidData
        If the columns are of no kind that is known, or not of *kind*.
    """
    found = _by_name(raw.columns) if named else _by_place(raw)
    told = kind or kind_by_columns(found)
    if told is None:
        raise InvalidData(
            f"the columns {', '.join(raw.columns)[:300]} are of no kind that can be told: "
            "say which is which, like columns={'ts': 'Date', 'open': 'O', ...} (--columns ts=Date,open=O,...)"
        )
    allowed = {*kind_of(told).names, "symbol", *(("buyer_maker",) if "side" in kind_of(told).names else ())}
    return told, Mapping({ours: theirs for ours, theirs in found.items() if ours in allowed}, header=named)


def kind_by_columns(columns: Iterable[str]) -> str | None:
    """Return the kind whose required columns are among *columns*."""
    has = set(columns)
    return next((kind for kind, needs in _BY_KIND if needs <= has), None)


def looks_like_header(cells: Sequence[str]) -> bool:
    """Whether the first line of a table has names: none of its cells is a number or a time."""
    filled = [cell.strip() for cell in cells if cell.strip()]
    return bool(filled) and not any(cell.lstrip("+-.")[:1].isdigit() for cell in filled)


def _by_name(columns: Sequence[str]) -> dict[str, str]:
    plain = {_plain(name): name for name in reversed(columns)}
    found: dict[str, str] = {}
    for ours, words in _NAMES.items():
        theirs = next((plain[word] for word in words if word in plain), None)
        if theirs is not None:
            found[ours] = theirs
    for name in columns:
        if name in _OURS:
            found.setdefault(name, name)
    if "date" in plain and "time" in plain and plain["date"] not in found.values():
        found["ts"] = f"{plain['date']}+{plain['time']}"
    return found


def _plain(name: str) -> str:
    return _WORDS.sub(" ", name.strip().lower()).strip()


def _by_place(raw: pl.DataFrame) -> dict[str, str]:
    """Tell columns without names by how many there are, and by what their values can be."""
    if raw.width == len(_CCXT_TRADES) and _has_sides(raw.to_series(_CCXT_TRADES.index("side"))):
        return {name: str(at) for at, name in enumerate(_CCXT_TRADES) if name not in {"type", "cost"}}
    names = _HEADLESS.get(raw.width)
    if names is None:
        return {}
    found = {name: str(at) for at, name in enumerate(names)}
    if not set(_BARS) <= set(names):
        return found
    values = [raw.to_series(at).cast(pl.Float64, strict=False) for at in range(1, 5)]
    for order in (_BARS, ("open", "close", "high", "low")):
        if _is_possible(dict(zip(order, values, strict=True))):
            return {**found, **{name: str(at + 1) for at, name in enumerate(order)}}
    return {}


def _has_sides(cells: pl.Series) -> bool:
    return set(cells.cast(pl.String).drop_nulls().unique().to_list()) in ({"buy"}, {"sell"}, {"buy", "sell"})


def _is_possible(bar: dict[str, pl.Series]) -> bool:
    table = pl.DataFrame(bar)
    high, low = pl.col("high") >= pl.max_horizontal(*_BARS), pl.col("low") <= pl.min_horizontal(*_BARS)
    return bool(table.select((high & low).fill_null(False).all()).item())
