"""Guess a mapping from the names and the values of a file's columns; the guess is reported, and can be overruled."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import polars as pl

from ticklake.core.kinds import kind_of
from ticklake.errors import InvalidData
from ticklake.files.mapping import KIND_COLUMNS, Mapping

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
"""Names that files use for our columns; of several in one file, the first here is taken. Case, ``_``, ``-``, ``<>`` do not count."""
_HEADLESS = {
    6: ("ts", "open", "high", "low", "close", "volume"),
    5: ("ts", "open", "high", "low", "close"),
    7: ("ts", "open", "high", "low", "close", "volume", "trades"),
    3: ("ts", "price", "amount"),
}
"""The columns of files without names, by how many there are."""
_CCXT_TRADES = ("ts", "id", "type", "side", "price", "amount", "cost")
"""Trades as freqtrade lists them."""
_BARS = ("open", "high", "low", "close")
_BY_KIND: tuple[tuple[str, frozenset[str]], ...] = (
    ("ohlcv", frozenset({"ts", *_BARS})),
    ("book", frozenset({"ts", "seq", "side", "price", "amount", "is_snapshot"})),
    ("trades", frozenset({"ts", "price", "amount"})),
    ("quotes", frozenset({"ts", "bid_price", "ask_price"})),
    ("funding", frozenset({"ts", "rate"})),
    ("open_interest", frozenset({"ts", "open_interest"})),
)
"""The columns that show a kind; the first that fits is taken, so that books, which have all columns of trades, come before them."""
_SEPARATORS = re.compile(r"[^a-z0-9]+")


def column_called(name: str) -> str | None:
    """Return the column of ours that files call *name*, like ``close`` for ``Close`` or ``ts`` for ``Date``."""
    plain = _plain(name)
    for column, names in _NAMES.items():
        if plain in names:
            return column
    return None


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
    columns = _columns_of(raw, named=named)
    kind = kind or kind_by_columns(columns)
    if kind is None:
        raise InvalidData(
            f"the columns {', '.join(raw.columns)[:300]} match no kind of data: "
            "say which is which, like columns={'ts': 'Date', 'open': 'O', ...} (--columns ts=Date,open=O,...)"
        )
    allowed = {*kind_of(kind).names, "symbol"}
    if "side" in allowed:
        allowed.add("buyer_maker")
    return kind, Mapping({ours: theirs for ours, theirs in columns.items() if ours in allowed}, header=named)


def kind_by_columns(columns: Iterable[str]) -> str | None:
    """Return the kind whose required columns are among *columns*."""
    names = set(columns)
    for kind, required in _BY_KIND:
        if required <= names:
            return kind
    return None


def looks_like_header(cells: Sequence[str]) -> bool:
    """Whether the first line of a table has names: none of its cells is a number or a time."""
    has_text = False
    for cell in map(str.strip, cells):
        if cell.lstrip("+-.")[:1].isdigit():
            return False
        has_text = has_text or cell != ""
    return has_text


def _columns_of(raw: pl.DataFrame, *, named: bool) -> dict[str, str]:
    if named:
        return _by_name(raw.columns)
    return _by_position(raw)


def _by_name(columns: Sequence[str]) -> dict[str, str]:
    """Return for each of our columns the file's, as far as their names are known."""
    # Reversed: of columns with one plain name the first counts.
    by_plain_name = {_plain(name): name for name in reversed(columns)}
    mapped: dict[str, str] = {}
    for ours, names in _NAMES.items():
        for name in names:
            if name in by_plain_name:
                mapped[ours] = by_plain_name[name]
                break
    # What was exported can be imported again.
    for name in columns:
        if name in KIND_COLUMNS:
            mapped.setdefault(name, name)
    # A date alone would make every row of a day midnight.
    if "date" in by_plain_name and "time" in by_plain_name and by_plain_name["date"] not in mapped.values():
        mapped["ts"] = f"{by_plain_name['date']}+{by_plain_name['time']}"
    return mapped


def _plain(name: str) -> str:
    return _SEPARATORS.sub(" ", name.strip().lower()).strip()


def _by_position(raw: pl.DataFrame) -> dict[str, str]:
    """Identify columns without names by how many there are, and by what their values can be."""
    if raw.width == len(_CCXT_TRADES) and _has_sides(raw.to_series(_CCXT_TRADES.index("side"))):
        positions = _positions(_CCXT_TRADES)
        del positions["type"], positions["cost"]
        return positions
    if raw.width not in _HEADLESS:
        return {}
    positions = _positions(_HEADLESS[raw.width])
    if "open" not in positions:
        return positions
    # Some exchanges like Bitfinex send the close before high and low.
    for order in (_BARS, ("open", "close", "high", "low")):
        prices = {name: raw.to_series(at).cast(pl.Float64, strict=False) for at, name in enumerate(order, 1)}
        if _is_possible(prices):
            return {**positions, **_positions(order, 1)}
    return {}


def _positions(names: Sequence[str], first: int = 0) -> dict[str, str]:
    return {name: str(position) for position, name in enumerate(names, first)}


def _has_sides(cells: pl.Series) -> bool:
    words = set(cells.cast(pl.String).drop_nulls().unique().to_list())
    return bool(words) and words <= {"buy", "sell"}


def _is_possible(prices: dict[str, pl.Series]) -> bool:
    """Whether no price is above the high or below the low, in any row."""
    high = pl.col("high") >= pl.max_horizontal(*_BARS)
    low = pl.col("low") <= pl.min_horizontal(*_BARS)
    return bool(pl.DataFrame(prices).select((high & low).fill_null(False).all()).item())
