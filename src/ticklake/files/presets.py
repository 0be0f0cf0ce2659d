"""The table of presets: one for each sort of file whose program is known.

Sources
-------
cryptodatadownload
    https://www.cryptodatadownload.com: a line with the site's address, newest first, UTC; ``Volume BTC`` and ``Volume USD``.
dukascopy
    https://www.dukascopy.com/swiss/english/marketwatch/historical: ``Gmt time`` written day first; and the feed's .bi5.
freqtrade
    https://www.freqtrade.io/en/stable/data-download: ``BTC_USDT-1h.feather``, futures below ``futures/``.
metatrader
    Exports of the terminal (Symbols, Bars): tab separated ``<DATE> <TIME> <OPEN> ...``; times are the broker's, so ``zone`` must
    be given.
nautilus
    https://nautilustrader.io/docs/latest/concepts/data (Parquet catalog): fixed-point numbers, bars named by their end.
funding-history
    Tables of published funding rates, named like ``kucoin_BTC-USDT_funding`` or ``BTC-USDT_kucoin_2021-01-01_2024-01-01_funding_history``;
    times are local, so ``zone`` must be given.
crypto-chassis, ccxt, bitfinex, coinbase, bitmex
    The fields of the exchanges' own answers, or of ccxt's, as people save them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ticklake.errors import InvalidName
from ticklake.files.dumps import DUMPS, TIMEFRAME
from ticklake.files.feeds import FEEDS, TICKER
from ticklake.files.lean import LEAN
from ticklake.files.mapping import Mapping
from ticklake.files.preset import BARS, GENERIC, Preset, same_names

__all__ = ["GENERIC", "PRESETS", "SHAPED", "Preset", "preset_named", "preset_of", "shaped_as"]

_CDD = r"(?:(?P<exchange>[A-Za-z]+)_(?P<symbol>[A-Z0-9]+)_(?P<timeframe>1h|1d|1m|minute|d))?[^/]*"
_CDD_BARS = same_names(*BARS[:4])
_TITLES = tuple(map(str.title, BARS))
_FT = r"(?:data/(?P<exchange>[a-z0-9]+)/(?:futures/)?)?(?P<symbol>[A-Z0-9]+_[A-Z0-9]+(?:_[A-Z0-9]+)?)-"
_FT_BARS = Mapping(same_names(*BARS, ts="date"))
_FT_NAMES = ("date", *BARS)
_FT_TRADES = ("timestamp", "id", "type", "side", "price", "amount", "cost")
_NAUTILUS = r"(?P<symbol>[A-Z0-9_-]+?)\.(?P<exchange>[A-Z_]+)"
_NAUTILUS_TIMES = {"ts": "ts_event", "received_at": "ts_init"}
_PAIR = "[A-Z0-9]+-[A-Z0-9]+"
_MS = "ms"

PRESETS: tuple[Preset, ...] = (
    *DUMPS,
    *FEEDS,
    *LEAN,
    Preset(
        "cryptodatadownload-unix",
        "ohlcv",
        Mapping({**_CDD_BARS, "ts": "unix", "symbol": "symbol", "volume": "7", "quote_volume": "8"}),
        _CDD,
        header=("unix", "date", "symbol", *BARS[:4]),
    ),
    Preset(
        "cryptodatadownload",
        "ohlcv",
        Mapping({**_CDD_BARS, "ts": "0", "symbol": "1", "volume": "6", "quote_volume": "7"}, zone="UTC"),
        _CDD,
        header=("date", "symbol", *BARS[:4]),
    ),
    Preset(
        "dukascopy-bars",
        "ohlcv",
        Mapping({"ts": "0", **dict(zip(BARS, _TITLES, strict=True))}, zone="UTC"),
        header=("Gmt time", *_TITLES),
        exchange="dukascopy",
    ),
    Preset("freqtrade", "ohlcv", _FT_BARS, rf"{_FT}{TIMEFRAME}(?:-futures)?", names=_FT_NAMES),
    Preset("freqtrade-mark", "mark_ohlcv", _FT_BARS, rf"{_FT}{TIMEFRAME}-mark", names=_FT_NAMES),
    Preset("freqtrade-index", "index_ohlcv", _FT_BARS, rf"{_FT}{TIMEFRAME}-index", names=_FT_NAMES),
    Preset(
        "freqtrade-funding",
        "funding",
        Mapping({"ts": "date", "rate": "open"}),
        rf"{_FT}\d+[hm]-funding_rate",
        names=_FT_NAMES,
    ),
    Preset(
        "freqtrade-trades",
        "trades",
        Mapping(same_names("id", "side", "price", "amount", ts="timestamp")),
        rf"{_FT}trades",
        names=_FT_TRADES,
    ),
    Preset(
        "metatrader",
        "ohlcv",
        Mapping({"ts": "<DATE>+<TIME>", **{name: f"<{name.upper()}>" for name in BARS[:4]}, "volume": "<TICKVOL>"}),
        header=("<DATE>", "<TIME>", "<OPEN>", "<HIGH>", "<LOW>", "<CLOSE>", "<TICKVOL>"),
    ),
    Preset(
        "nautilus-bars",
        "ohlcv",
        Mapping(same_names(*BARS, ts="ts_event"), unit="ns"),
        rf"data/bars?/{_NAUTILUS}-(?P<step>\d+)-(?P<unit>[A-Z]+)-[A-Z]+-[A-Z]+/[^/]+",
        header=(*BARS, "ts_event", "ts_init"),
        at_open=True,
    ),
    Preset(
        "nautilus-trades",
        "trades",
        Mapping(
            {**_NAUTILUS_TIMES, "id": "trade_id", "price": "price", "amount": "size", "side": "aggressor_side"},
            unit="ns",
            sides={"1": "buy", "2": "sell", "0": "unknown", "no_aggressor": "unknown"},
        ),
        rf"data/trade_ticks?/{_NAUTILUS}/[^/]+",
        header=("price", "size", "aggressor_side", "trade_id", "ts_event", "ts_init"),
    ),
    Preset(
        "nautilus-quotes",
        "quotes",
        Mapping(
            {**_NAUTILUS_TIMES, **same_names("bid_price", "ask_price", bid_amount="bid_size", ask_amount="ask_size")},
            unit="ns",
        ),
        rf"data/quote_ticks?/{_NAUTILUS}/[^/]+",
        header=("bid_price", "ask_price", "bid_size", "ask_size", "ts_event", "ts_init"),
    ),
    Preset(
        "funding-history",
        "funding",
        Mapping({"ts": "Date", "rate": "Funding Rate", "symbol": "Symbol"}),
        rf"(?:(?:{_PAIR}_)?(?P<exchange>[a-z][a-z0-9]+)_(?:{_PAIR}_)?)?[^/]*funding[^/]*",
        header=("Symbol", "Date", "Funding Rate"),
        market="linear",
    ),
    Preset(
        "bitmex-funding",
        "funding",
        Mapping({"ts": "timestamp", "rate": "fundingRate", "interval_since": "fundingInterval", "symbol": "symbol"}),
        header=("timestamp", "symbol", "fundingInterval", "fundingRate"),
        exchange="bitmex",
        market="inverse",
    ),
    Preset(
        "binance-aggtrade-events",
        "trades",
        Mapping({"ts": "T", "id": "a", "price": "p", "amount": "q", "buyer_maker": "m", "symbol": "s"}, unit=_MS),
        header=("e", "E", "s", "a", "p", "q", "T", "m"),
        exchange="binance",
        id_space="agg",
    ),
)


SHAPED: tuple[Preset, ...] = (
    TICKER,
    Preset(
        "binance-aggtrade-events", "", shape="messages", begins=rb'\[?\{"e": ?"(?:aggTrade|trade)"', exchange="binance"
    ),
    Preset("binance-depth-events", "", shape="messages", begins=rb'\[?\{"e": ?"depthUpdate"', exchange="binance"),
    Preset("binance-depth-snapshot", "", shape="messages", begins=rb'\{"lastUpdateId"', exchange="binance"),
    Preset("bybit-orderbook", "", shape="messages", begins=rb'\{"topic": ?"orderbook\.', exchange="bybit"),
    Preset("coinbase-book", "", shape="messages", begins=rb'\{"product":"[^"]+","level":', exchange="coinbase"),
    Preset("bitfinex-events", "", shape="messages", begins=rb'\[\{"event": ?"info"', exchange="bitfinex"),
    Preset("stamped-messages", "", shape="stamped", begins=rb"\d{19} [\[{]"),
    Preset("cryptofeed-recording", "", shape="recording", begins=rb'\{"t":"header"'),
    Preset(
        "cryptofeed-old-recording",
        "",
        shape="old-recording",
        begins=rb"(?:configuration: \{.*\}\s*\n)?\S+ (?:->|<->|<-) \d{10}\.\d+",
    ),
    Preset("recorded-answers", "", shape="answers", begins=rb'\{"(?:method|start|cassette|fixture|uri|path)": ?"'),
    Preset("octobot", "", shape="candles-db", begins=rb"SQLite format 3\x00"),
    Preset("gdax-export", "", shape="gdax-export", begins=rb"_id,asks,bids,changes,"),
    Preset(
        "dukascopy-ticks",
        "quotes",
        pattern=r"(?P<symbol>[A-Z]{6})/\d{4}/\d\d/\d\d/\d\dh_ticks",
        shape="bi5",
        begins=rb"\x5d\x00\x00",
        exchange="dukascopy",
    ),
    Preset("bitstamp-log", "", shape="bitstamp-log", begins=rb"\d{13} (?:order_\w+|trade) \{"),
)
"""Files that are no tables, recognised by their first bytes."""
_ALL = (*PRESETS, *SHAPED, GENERIC)


def shaped_as(head: bytes) -> Preset | None:
    """Return the preset of a file that is no table, from its first bytes."""
    for preset in SHAPED:
        if re.match(preset.begins, head):
            return preset
    return None


def preset_named(name: str, label: str) -> Preset:
    """Return the preset of a name; where several have it, the one that fits the path.

    Raises
    ------
    InvalidName
        If there is none.
    """
    presets = [preset for preset in _ALL if preset.name == name]
    if not presets:
        names = ", ".join(dict.fromkeys(preset.name for preset in _ALL))
        raise InvalidName(f"there is no preset {name!r}: use one of {names}")
    for preset in presets:
        if preset.finds(label):
            return preset
    return presets[0]


def preset_of(label: str, columns: Sequence[str], *, named: bool) -> Preset:
    """Return the first preset that fits a file, or the generic one, which guesses."""
    for preset in PRESETS:
        if preset.fits(label, columns, named=named):
            return preset
    return GENERIC
