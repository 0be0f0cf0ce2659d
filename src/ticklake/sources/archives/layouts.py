"""The table of layouts: what dump sites publish, at which address, and in which columns.

Sources
-------
Binance
    https://github.com/binance/binance-public-data (README: paths, column tables, ``.CHECKSUM`` files with a
    SHA-256, ``1mo`` for months; spot times are microseconds from 2025-01-01 on). Where files have a header
    (futures), its names are used. ``fundingRate`` is monthly only, ``metrics`` daily only; their columns, and
    those of ``bookTicker``, are named by the files' own headers. COIN-M klines count contracts in column 6
    and the base currency in column 8.
Bybit
    https://public.bybit.com/trading/ (derivatives): daily gzipped CSV whose header names the columns, decimal
    seconds, newest first in old files. No checksums. The spot files number their trades from 1 in every file,
    which is no identity, so they are left out.
OKX
    https://www.okx.com/historical-data: daily zips whose header names the columns; a file's day is China's, so
    it begins at 16:00 UTC of the day before. No checksums. Sizes of swaps are contracts in ``size`` and ``vol``
    and coins in ``vol_ccy``. Files that bundle many markets (futures and option chains, funding) are left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

from ticklake.core.archive_plan import ArchiveFile, Period
from ticklake.core.dataset import Dataset
from ticklake.core.instrument import Instrument
from ticklake.core.time import HOUR, MINUTE
from ticklake.errors import InvalidName

__all__ = ["LAYOUTS", "Layout", "layout_of", "market_of", "site_of", "url_of"]

Market = Literal["spot", "linear", "inverse"]
_NATIVE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_BOTH = (Period.DAY, Period.MONTH)


@dataclass(frozen=True, slots=True)
class Layout:
    """One row of the table.

    Parameters
    ----------
    exchange, market, kind
        The data it describes: a ccxt id; ``spot``, ``linear`` or ``inverse``; a kind of ``core/kinds.py``.
    path
        The file's path on the site, with the placeholders ``{period}``, ``{symbol}``, ``{timeframe}``, ``{date}`` and
        ``{compact}`` (the date without dashes).
    columns
        The names of the columns in order. If the file has a header, its names are used instead.
    takes
        The site's column for each of ours; ``taker`` is the one that says which side the taker was on.
    periods
        Daily files, monthly files, or both.
    checksum
        ``sha256`` if ``{path}.CHECKSUM`` holds one in the form of ``sha256sum``; ``crc`` if files are checked only by
        the CRC inside them.
    header
        ``optional`` if files may lack a header.
    timeframes
        Timeframes that are published, with their names in paths.
    id_space
        The numbering that the trade ids belong to.
    offset
        When a file's day begins, in nanoseconds relative to midnight UTC.
    grid
        The length of a step in nanoseconds, if rows are stamped with the end of a step. Such a file begins one step
        late and ends at the next midnight, so its coverage is read from its rows.
    ordered
        Whether rows come oldest first. If not, the whole file is sorted in memory.
    """

    exchange: str
    market: Market
    kind: str
    path: str
    columns: tuple[str, ...]
    takes: dict[str, str]
    periods: tuple[Period, ...] = _BOTH
    checksum: Literal["sha256", "crc"] = "sha256"
    header: Literal["optional", "always"] = "optional"
    timeframes: dict[str, str] = field(default_factory=dict)
    id_space: str = ""
    offset: int = 0
    grid: int = 0
    ordered: bool = True


_KLINE = (
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close_time",
    "quote_volume",
    "count",
    "taker_buy_volume",
    "taker_buy_quote_volume",
    "ignore",
)
_PRICES = {"ts": "open_time", "open": "open", "high": "high", "low": "low", "close": "close"}
_BARS = {**_PRICES, "volume": "volume", "quote_volume": "quote_volume", "trades": "count"}
_INVERSE_BARS = {**_PRICES, "volume": "quote_volume", "trades": "count"}
_AGG = (
    "agg_trade_id",
    "price",
    "quantity",
    "first_trade_id",
    "last_trade_id",
    "transact_time",
    "is_buyer_maker",
    "is_best_match",
)
_AGG_TAKES = {
    "ts": "transact_time",
    "id": "agg_trade_id",
    "price": "price",
    "amount": "quantity",
    "taker": "is_buyer_maker",
}
_RAW = ("id", "price", "qty", "quote_qty", "time", "is_buyer_maker", "is_best_match")
_RAW_TAKES = {"ts": "time", "id": "id", "price": "price", "amount": "qty", "taker": "is_buyer_maker"}
_FUNDING = ("calc_time", "funding_interval_hours", "last_funding_rate")
_FUNDING_TAKES = {"ts": "calc_time", "rate": "last_funding_rate", "interval": "funding_interval_hours"}
_TICKER = (
    "update_id",
    "best_bid_price",
    "best_bid_qty",
    "best_ask_price",
    "best_ask_qty",
    "transaction_time",
    "event_time",
)
_TICKER_TAKES = {
    "ts": "transaction_time",
    "seq": "update_id",
    "bid_price": "best_bid_price",
    "bid_amount": "best_bid_qty",
    "ask_price": "best_ask_price",
    "ask_amount": "best_ask_qty",
}
_METRICS = ("create_time", "symbol", "sum_open_interest", "sum_open_interest_value")
_METRICS_TAKES = {
    "ts": "create_time",
    "open_interest": "sum_open_interest",
    "open_interest_value": "sum_open_interest_value",
}
_INTERVALS = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w")
_FUTURES_FRAMES = {**dict(zip(_INTERVALS, _INTERVALS, strict=True)), "1M": "1mo"}
_SPOT_FRAMES = {"1s": "1s", **_FUTURES_FRAMES}
_FOLDERS: dict[Market, str] = {"spot": "spot", "linear": "futures/um", "inverse": "futures/cm"}


def _binance(exchange: str, market: Market) -> list[Layout]:
    base = f"data/{_FOLDERS[market]}/{{period}}"

    frames = _FUTURES_FRAMES
    if market == "spot":
        frames = _SPOT_FRAMES
    volumes = _BARS
    if market == "inverse":
        volumes = _INVERSE_BARS

    def bars(kind: str, folder: str, takes: dict[str, str]) -> Layout:
        path = f"{base}/{folder}/{{symbol}}/{{timeframe}}/{{symbol}}-{{timeframe}}-{{date}}.zip"
        return Layout(exchange, market, kind, path, _KLINE, takes, timeframes=frames)

    def flat(kind: str, name: str, columns: tuple[str, ...], takes: dict[str, str], **rest: Any) -> Layout:
        path = f"{base}/{name}/{{symbol}}/{{symbol}}-{name}-{{date}}.zip"
        return Layout(exchange, market, kind, path, columns, takes, **rest)

    layouts = [
        bars("ohlcv", "klines", volumes),
        flat("trades", "aggTrades", _AGG, _AGG_TAKES, id_space="agg"),
        flat("trades", "trades", _RAW, _RAW_TAKES, id_space="raw"),
    ]
    if market == "spot":
        return layouts
    return [
        *layouts,
        bars("mark_ohlcv", "markPriceKlines", _PRICES),
        bars("index_ohlcv", "indexPriceKlines", _PRICES),
        flat("funding", "fundingRate", _FUNDING, _FUNDING_TAKES, periods=(Period.MONTH,)),
        flat("quotes", "bookTicker", _TICKER, _TICKER_TAKES),
        flat("open_interest", "metrics", _METRICS, _METRICS_TAKES, periods=(Period.DAY,), grid=5 * MINUTE),
    ]


def _bybit(market: Market) -> Layout:
    return Layout(
        "bybit",
        market,
        "trades",
        "trading/{symbol}/{symbol}{date}.csv.gz",
        ("timestamp", "symbol", "side", "size", "price", "tickDirection", "trdMatchID"),
        {"ts": "timestamp", "id": "trdMatchID", "price": "price", "amount": "size", "side": "side"},
        (Period.DAY,),
        "crc",
        "always",
        ordered=False,
    )


def _okx(market: Market) -> list[Layout]:
    def daily(kind: str, name: str, takes: dict[str, str], timeframes: dict[str, str]) -> Layout:
        return Layout(
            "okx",
            market,
            kind,
            f"cdn/okex/traderecords/{name}/daily/{{compact}}/{{symbol}}-{name}-{{date}}.zip",
            tuple(takes.values()),
            takes,
            (Period.DAY,),
            "crc",
            "always",
            timeframes,
            offset=-8 * HOUR,
            ordered=False,
        )

    # "vol" counts coins on spot and contracts everywhere else.
    volume = "vol_ccy"
    if market == "spot":
        volume = "vol"
    trade = {"ts": "created_time", "id": "trade_id", "price": "price", "amount": "size", "side": "side"}
    bars = {**_PRICES, "volume": volume, "quote_volume": "vol_quote"}
    return [daily("trades", "trades", trade, {}), daily("ohlcv", "candlesticks", bars, {"1m": "1m"})]


LAYOUTS: tuple[Layout, ...] = (
    *_binance("binance", "spot"),
    *_binance("binance", "linear"),
    *_binance("binance", "inverse"),
    *_binance("binanceusdm", "linear"),
    *_binance("binancecoinm", "inverse"),
    _bybit("linear"),
    _bybit("inverse"),
    *_okx("spot"),
    *_okx("linear"),
    *_okx("inverse"),
)

_SITES = {
    "binance": "https://data.binance.vision",
    "binanceusdm": "https://data.binance.vision",
    "binancecoinm": "https://data.binance.vision",
    "bybit": "https://public.bybit.com",
    "okx": "https://static.okx.com",
}


def site_of(exchange: str) -> str | None:
    """Return the address of an exchange's dump site, or ``None`` if none is known."""
    return _SITES.get(exchange)


def market_of(instrument: Instrument) -> Market | None:
    """Return the part of a site that has files of an instrument; ``None`` for options, which no site has."""
    if instrument.market_type == "spot":
        return "spot"
    if instrument.market_type not in {"swap", "future"}:
        return None
    if instrument.details.get("inverse"):
        return "inverse"
    return "linear"


def layout_of(dataset: Dataset, instrument: Instrument, id_space: str = "") -> Layout | None:
    """Return the layout of files with *dataset* whose ids are in *id_space*, or ``None`` if no site has such files."""
    key = (dataset.exchange, market_of(instrument), dataset.kind, id_space)
    for layout in LAYOUTS:
        if (layout.exchange, layout.market, layout.kind, layout.id_space) != key:
            continue
        has_timeframe = dataset.timeframe is None or str(dataset.timeframe) in layout.timeframes
        if has_timeframe and not _is_bundled(layout, instrument):
            return layout
    return None


def url_of(layout: Layout, site: str, dataset: Dataset, instrument: Instrument, file: ArchiveFile) -> str:
    """Return the address of one file.

    Raises
    ------
    InvalidName
        If the exchange's own name of the market cannot be part of an address.
    """
    symbol = instrument.native_id
    if layout.market == "inverse" and dataset.kind == "index_ohlcv":
        # COIN-M contracts share one index: its files are named BTCUSD, the contracts BTCUSD_PERP and BTCUSD_240628.
        symbol = symbol.partition("_")[0]
    if not _NATIVE.fullmatch(symbol) or ".." in symbol:
        raise InvalidName(f"{symbol!r}, which {dataset.exchange} calls {dataset.symbol}, cannot be part of an address")
    path = layout.path.format(
        period=file.period,
        symbol=quote(symbol, safe=""),
        timeframe=layout.timeframes.get(str(dataset.timeframe), ""),
        date=file.label,
        compact=file.label.replace("-", ""),
    )
    return f"{site.rstrip('/')}/{path}"


def _is_bundled(layout: Layout, instrument: Instrument) -> bool:
    """Whether the files of an instrument hold other markets too: OKX publishes dated futures by the chain."""
    return layout.exchange == "okx" and instrument.market_type == "future"
