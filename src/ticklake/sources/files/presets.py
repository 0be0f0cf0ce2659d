"""The table of presets: files of which it is known who writes them, and what stands where. One row a fact.

Sources
-------
binance, bybit, okx
    The layouts of :mod:`ticklake.sources.archive.layouts`, which says where they are documented.
kraken
    "Downloadable historical OHLCVT data" and "time and sales" of Kraken's support pages: no header, seconds, names like
    ``XBTUSD_60.csv`` (minutes) and ``XBTUSD.csv``.
tardis
    https://docs.tardis.dev/downloadable-csv-files: microseconds, ``exchange`` and ``symbol`` in every row.
cryptodatadownload
    https://www.cryptodatadownload.com: a line with the site's address, newest first, UTC; ``Volume BTC`` and ``Volume USD``.
lean
    https://github.com/QuantConnect/Lean/tree/master/Data (readme of each folder): milliseconds since the midnight of the
    day in the name, in the data's zone (New York for equities, whose prices are times 10,000; UTC for crypto).
dukascopy
    https://www.dukascopy.com/swiss/english/marketwatch/historical: ``Gmt time`` written day first; and the feed's .bi5.
freqtrade
    https://www.freqtrade.io/en/stable/data-download: ``BTC_USDT-1h.feather``, futures below ``futures/``.
metatrader
    Exports of the terminal (Symbols, Bars): tab separated ``<DATE> <TIME> <OPEN> ...``; the broker's time, so ``zone`` must
    be said.
cryptofeed
    https://github.com/bmoscon/cryptofeed (Parquet of cryptostore): decimal seconds, ``BTC-USDT``, ``BTC-USDT-PERP``.
crypto-chassis, ccxt, bitfinex, coinbase, bitmex
    The fields of the exchanges' own answers, or of ccxt's, as people save them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ticklake.core.mapping import Mapping
from ticklake.core.natives import Market
from ticklake.errors import InvalidName
from ticklake.sources.archive.layouts import LAYOUTS, Layout

__all__ = ["GENERIC", "PRESETS", "SHAPED", "Preset", "preset_named", "preset_of", "shaped_as"]


@dataclass(frozen=True, slots=True)
class Preset:
    """One row of the table.

    Parameters
    ----------
    name, kind
        What it is called, and what its rows are.
    mapping
        How they are read.
    pattern
        What the end of the file's path looks like without its suffixes, with any of the groups ``exchange``, ``symbol``
        (the native one), ``timeframe``, ``minutes``, ``resolution``, ``perp``, ``day`` (``20240131``).
    header
        Names that the columns must have, if it is told by them; case does not count.
    names
        What the columns are called if the file does not say.
    bare
        Whether it has no line of names, never.
    exchange, market
        Where it trades, if neither path nor rows say so.
    shape, begins
        For files that are no tables: the entry of :data:`~ticklake.sources.files.shapes.SHAPES` that takes rows out of
        them, and what their first bytes look like.
    day_zone
        Where the ``day`` of the name begins, if times count from it.
    at_close
        Whether a row that is named by a bar's beginning was known at its end: its time is moved there.
    whole
        Whether a file holds all of the day or month in its name, so that stretches without rows had none.
    id_space
        Which numbering the trade ids belong to, where an exchange has several.
    """

    name: str
    kind: str
    mapping: Mapping = field(default_factory=Mapping)
    pattern: str = ""
    header: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    bare: bool = False
    exchange: str = ""
    market: Market = "spot"
    shape: str = ""
    begins: bytes = b""
    day_zone: str = ""
    at_close: bool = False
    whole: bool = False
    id_space: str = ""

    def finds(self, label: str) -> re.Match[str] | None:
        """Match the pattern with the end of a path."""
        return re.search(rf"(?:^|/){self.pattern}$", label) if self.pattern else None

    def fits(self, label: str, columns: Sequence[str], *, named: bool) -> bool:
        """Whether a file of this name and these columns is one of those."""
        if self.pattern and not self.finds(label):
            return False
        if self.header and (named or not self.pattern):
            return named and {name.lower() for name in self.header} <= {name.strip().lower() for name in columns}
        if named:
            return not self.bare and not self.header and bool(self.pattern)
        return bool(self.names) and len(columns) == len(self.names) and bool(self.pattern)


GENERIC = Preset("generic", "")
_NATIVE = r"(?P<symbol>[A-Z0-9]{4,})"
_PERP = r"(?P<symbol>[A-Z0-9]{4,}_(?:PERP|\d{6}))"
_TIMEFRAME = r"(?P<timeframe>\d+(?:mo|[smhdwM]))"
_BARS = ("open", "high", "low", "close", "volume")
_TS_BARS = ("ts", *_BARS)


def _of(*names: str, **others: str) -> dict[str, str]:
    """Return columns of which most have our names."""
    return {**{name: name for name in names}, **others}


def _mapping_of(row: Layout) -> Mapping:
    renamed = {"taker": "buyer_maker", "interval": "interval_hours"}
    columns = {renamed.get(ours, ours): theirs for ours, theirs in row.takes.items()}
    return Mapping(columns, zone="UTC" if row.kind == "open_interest" else "")


def _binance() -> list[Preset]:
    """Return the presets of Binance's dump files: the market is told by the path, else by whether they have names."""
    by_path: list[Preset] = []
    by_name: list[Preset] = []
    for row in (row for row in LAYOUTS if row.exchange == "binance"):
        folders = row.path.partition("/{period}/")[0]
        what = row.path.partition("/{period}/")[2].split("/")[0]
        short = {"spot": "", "linear": "um-", "inverse": "cm-"}[row.market]
        leaf = rf"{_PERP if row.market == 'inverse' else _NATIVE}-"
        leaf += rf"{_TIMEFRAME if row.timeframes else what}-\d{{4}}-\d\d(?:-\d\d)?"
        one = Preset(
            f"binance-{short}{what}",
            row.kind,
            _mapping_of(row),
            rf"{folders}/(?:daily|monthly)/{what}/(?:.*/)?{leaf}",
            names=row.columns,
            exchange="binance",
            market=row.market,
            whole=True,
            id_space=row.id_space,
        )
        by_path.append(one)
        if row.kind not in {"mark_ohlcv", "index_ohlcv"}:
            by_name.append(replace(one, pattern=leaf, bare=row.market == "spot"))
    return by_path + by_name


def _dumped(name: str, exchange: str, market: Market, kind: str, pattern: str) -> Preset:
    """Return the preset of another dump site's files: their headers name the columns."""
    row = next(one for one in LAYOUTS if (one.exchange, one.market, one.kind) == (exchange, market, kind))
    header = tuple(row.takes.values())
    whole = row.offset == 0
    return Preset(name, kind, _mapping_of(row), pattern, header, exchange=exchange, market=market, whole=whole)


_KRAKEN = r"(?P<symbol>[A-Z0-9]{5,})"
_TARDIS = ("exchange", "symbol", "timestamp", "local_timestamp")
_TARDIS_TIMES = {"ts": "timestamp", "received_at": "local_timestamp", "symbol": "symbol"}
_TARDIS_NAME = r"(?:(?P<exchange>[a-z0-9-]+)_(?:trades|quotes)_\d{4}-\d\d-\d\d_(?P<symbol>[A-Z0-9_-]+))?[^/]*"
_QUOTE = ("bid_price", "bid_amount", "ask_price", "ask_amount")
_CDD = r"(?:(?P<exchange>[A-Za-z]+)_(?P<symbol>[A-Z0-9]+)_(?P<timeframe>1h|1d|1m|minute|d))?[^/]*"
_CDD_BARS = {name: name for name in _BARS[:4]}
_FT = r"(?:data/(?P<exchange>[a-z0-9]+)/(?:futures/)?)?(?P<symbol>[A-Z0-9]+_[A-Z0-9]+(?:_[A-Z0-9]+)?)-"
_FT_BARS = Mapping(_of(*_BARS, ts="date"))
_FT_NAMES = ("date", *_BARS)
_FT_TRADES = ("timestamp", "id", "type", "side", "price", "amount", "cost")
_LEAN = r"(?:crypto(?:future)?/(?P<exchange>[a-z]+)/\w+/\w+/\d{8}_\w+\.zip/)?(?P<day>\d{8})_"
_LEAN_PAIR = r"(?P<symbol>[a-z0-9]+(?:usd|usdt|usdc|eur|gbp|jpy|btc|eth))_"
_LEAN_SPAN = r"(?P<resolution>second|minute)"
_LEAN_SHARE = r"(?:.*equity/usa/.*/)?(?P<day>\d{8})_[a-z0-9.]+_"
_LEAN_QUOTES = ("ts", "bo", "bh", "bl", "bid_price", "bid_amount", "ao", "ah", "al", "ask_price", "ask_amount")
_LEAN_TICK = ("ts", "price", "amount", "venue", "conditions", "suspicious")
_FEED = ("feed", "symbol", "timestamp", "receipt_timestamp")
_FEED_TIMES = {"ts": "timestamp", "received_at": "receipt_timestamp", "symbol": "symbol"}
_MS = "ms"

PRESETS: tuple[Preset, ...] = (
    *_binance(),
    _dumped("bybit-trades", "bybit", "linear", "trades", r"(?P<symbol>[A-Z0-9]+(?:USDT|PERP))-?\d{4}-\d\d-\d\d"),
    _dumped("bybit-inverse-trades", "bybit", "inverse", "trades", r"(?P<symbol>[A-Z0-9]+USD)-?\d{4}-\d\d-\d\d"),
    _dumped("okx-trades", "okx", "spot", "trades", r"(?P<symbol>[A-Z0-9]+-[A-Z0-9]+)-trades-\d{4}-\d\d-\d\d"),
    _dumped("okx-ohlcv", "okx", "spot", "ohlcv", r"(?P<symbol>[A-Z0-9]+-[A-Z0-9]+)-candlesticks-\d{4}-\d\d-\d\d"),
    Preset(
        "kraken-ohlcvt",
        "ohlcv",
        Mapping(_of(*_TS_BARS, "trades"), unit="s", header=False),
        rf"{_KRAKEN}_(?P<minutes>1|5|15|30|60|240|720|1440)",
        names=(*_TS_BARS, "trades"),
        bare=True,
        exchange="kraken",
    ),
    Preset(
        "kraken-trades",
        "trades",
        Mapping(_of("ts", "price", "amount"), unit="s", header=False),
        _KRAKEN,
        names=("ts", "price", "amount"),
        bare=True,
        exchange="kraken",
    ),
    Preset(
        "tardis-trades",
        "trades",
        Mapping({**_TARDIS_TIMES, **_of("id", "side", "price", "amount")}, unit="us"),
        _TARDIS_NAME,
        header=(*_TARDIS, "id", "side", "price", "amount"),
    ),
    Preset(
        "tardis-quotes",
        "quotes",
        Mapping({**_TARDIS_TIMES, **_of(*_QUOTE)}, unit="us"),
        _TARDIS_NAME,
        header=(*_TARDIS, *_QUOTE),
    ),
    Preset(
        "cryptodatadownload-unix",
        "ohlcv",
        Mapping({**_CDD_BARS, "ts": "unix", "symbol": "symbol", "volume": "7", "quote_volume": "8"}),
        _CDD,
        header=("unix", "date", "symbol", *_BARS[:4]),
    ),
    Preset(
        "cryptodatadownload",
        "ohlcv",
        Mapping({**_CDD_BARS, "ts": "0", "symbol": "1", "volume": "6", "quote_volume": "7"}, zone="UTC"),
        _CDD,
        header=("date", "symbol", *_BARS[:4]),
    ),
    Preset(
        "lean-bars",
        "ohlcv",
        Mapping(_of(*_TS_BARS), unit=_MS, header=False),
        rf"{_LEAN}{_LEAN_PAIR}{_LEAN_SPAN}_trade(?P<perp>_perp)?",
        names=_TS_BARS,
        bare=True,
        day_zone="UTC",
    ),
    Preset(
        "lean-quote-bars",
        "quotes",
        Mapping(_of("ts", *_QUOTE), unit=_MS, header=False),
        rf"{_LEAN}{_LEAN_PAIR}{_LEAN_SPAN}_quote(?P<perp>_perp)?",
        names=_LEAN_QUOTES,
        bare=True,
        day_zone="UTC",
        at_close=True,
    ),
    Preset(
        "lean-equity-bars",
        "ohlcv",
        Mapping(_of(*_TS_BARS), unit=_MS, header=False, price_scale=10_000),
        rf"{_LEAN_SHARE}{_LEAN_SPAN}_trade",
        names=_TS_BARS,
        bare=True,
        day_zone="America/New_York",
    ),
    Preset(
        "lean-equity-ticks",
        "trades",
        Mapping(_of("ts", "price", "amount"), unit=_MS, header=False, price_scale=10_000),
        rf"{_LEAN_SHARE}[Tt]rade_[Tt]ick",
        names=_LEAN_TICK,
        bare=True,
        day_zone="America/New_York",
    ),
    Preset(
        "lean-forex-ticks",
        "quotes",
        Mapping(_of("ts", "bid_price", "ask_price"), unit=_MS, header=False),
        rf"(?:forex/(?P<exchange>[a-z]+)/\w+/\w+/\d{{8}}_\w+\.zip/)?(?P<day>\d{{8}})_{_LEAN_PAIR}tick_quote",
        names=("ts", "bid_price", "ask_price"),
        bare=True,
        day_zone="UTC-05",
    ),
    Preset(
        "dukascopy-bars",
        "ohlcv",
        Mapping({"ts": "0", **{name: name.title() for name in _BARS}}, zone="UTC"),
        header=("Gmt time", *(name.title() for name in _BARS)),
        exchange="dukascopy",
    ),
    Preset("freqtrade", "ohlcv", _FT_BARS, rf"{_FT}{_TIMEFRAME}(?:-futures)?", names=_FT_NAMES),
    Preset("freqtrade-mark", "mark_ohlcv", _FT_BARS, rf"{_FT}{_TIMEFRAME}-mark", names=_FT_NAMES),
    Preset("freqtrade-index", "index_ohlcv", _FT_BARS, rf"{_FT}{_TIMEFRAME}-index", names=_FT_NAMES),
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
        Mapping(_of("id", "side", "price", "amount", ts="timestamp")),
        rf"{_FT}trades",
        names=_FT_TRADES,
    ),
    Preset(
        "metatrader",
        "ohlcv",
        Mapping({"ts": "<DATE>+<TIME>", **{name: f"<{name.upper()}>" for name in _BARS[:4]}, "volume": "<TICKVOL>"}),
        header=("<DATE>", "<TIME>", "<OPEN>", "<HIGH>", "<LOW>", "<CLOSE>", "<TICKVOL>"),
    ),
    Preset(
        "cryptofeed-trades",
        "trades",
        Mapping({**_FEED_TIMES, **_of("id", "side", "price", "amount")}, unit="s"),
        header=(*_FEED, "side", "amount", "price"),
    ),
    Preset(
        "cryptofeed-ticker",
        "quotes",
        Mapping({**_FEED_TIMES, "bid_price": "bid", "ask_price": "ask"}, unit="s"),
        header=(*_FEED, "bid", "ask"),
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
    Preset("binance-depth-events", "", shape="messages", begins=rb'\[?\{"e": ?"depthUpdate"', exchange="binance"),
    Preset("binance-depth-snapshot", "", shape="messages", begins=rb'\{"lastUpdateId"', exchange="binance"),
    Preset("bybit-orderbook", "", shape="messages", begins=rb'\{"topic": ?"orderbook\.', exchange="bybit"),
    Preset("coinbase-book", "", shape="messages", begins=rb'\{"product":"[^"]+","level":', exchange="coinbase"),
    Preset("bitfinex-events", "", shape="messages", begins=rb'\[\{"event": ?"info"', exchange="bitfinex"),
    Preset("stamped-messages", "", shape="stamped", begins=rb"\d{19} [\[{]"),
    Preset("cryptofeed-recording", "", shape="recording", begins=rb'\{"t":"header"'),
    Preset("cryptofeed-old-recording", "", shape="old-recording", begins=rb"\S+ (?:->|<->|<-) \d{10}\.\d+"),
    Preset("recorded-answers", "", shape="bodies", begins=rb'\{"(?:method|start|cassette|fixture)": ?"'),
    Preset("octobot", "", shape="candles-db", begins=rb"SQLite format 3\x00"),
    Preset("gdax-export", "", shape="gdax-export", begins=rb"_id,asks,bids,changes,"),
    Preset("bitstamp-log", "", shape="bitstamp-log", begins=rb"\d{13} (?:order_\w+|trade) \{"),
)
"""Files that are no tables, told by how they begin."""


def shaped_as(head: bytes) -> Preset | None:
    """Return the preset of a file that is no table, from its first bytes."""
    return next((preset for preset in SHAPED if re.match(preset.begins, head)), None)


def preset_named(name: str, label: str) -> Preset:
    """Return the preset of a name; where several rows of the table have it, the one that fits the path.

    Raises
    ------
    InvalidName
        If there is none.
    """
    found = [preset for preset in (*PRESETS, *SHAPED, GENERIC) if preset.name == name]
    if not found:
        known = ", ".join(dict.fromkeys(preset.name for preset in (*PRESETS, *SHAPED, GENERIC)))
        raise InvalidName(f"there is no preset {name!r}: use one of {known}")
    return next((preset for preset in found if preset.finds(label)), found[0])


def preset_of(label: str, columns: Sequence[str], *, named: bool) -> Preset:
    """Return the first preset that fits a file, or the generic one, which guesses."""
    return next((preset for preset in PRESETS if preset.fits(label, columns, named=named)), GENERIC)
