"""Presets of the dump files that exchanges publish.

Sources
-------
binance, bybit, okx
    The layouts of :mod:`ticklake.sources.archives.layouts`, which says where they are documented.
kraken
    "Downloadable historical OHLCVT data" and "time and sales" of Kraken's support pages: no header, seconds, names like
    ``XBTUSD_60.csv`` (minutes) and ``XBTUSD.csv``.
"""

from __future__ import annotations

from dataclasses import replace

from ticklake.core.native_ids import Market
from ticklake.files.mapping import Mapping
from ticklake.files.preset import BARS, Preset, same_names
from ticklake.sources.archives.layouts import LAYOUTS, Layout

__all__ = ["DUMPS", "TIMEFRAME"]

_NATIVE = r"(?P<symbol>[A-Z0-9]{4,})"
_LEAVES: dict[tuple[Market, bool], str] = {
    ("spot", False): _NATIVE,
    ("linear", False): r"(?P<symbol>[A-Z0-9]{4,}|[A-Z0-9]+(?:USDT|USDC|BUSD)_\d{6})",
    ("inverse", False): r"(?P<symbol>[A-Z0-9]{1,}USD_(?:PERP|\d{6}))",
    ("inverse", True): r"(?P<symbol>[A-Z0-9]{1,}USD(?:_(?:PERP|\d{6}))?)",
}
"""Patterns of native names, by market and whether prices are an index's: those of COIN-M have the name of the pair."""
_SHORT_MARKETS: dict[Market, str] = {"spot": "", "linear": "um-", "inverse": "cm-"}
"""Binance's abbreviations of its markets, as names of presets have them."""
TIMEFRAME = r"(?P<timeframe>\d+(?:mo|[smhdwM]))"
_TS_BARS = ("ts", *BARS)


def _mapping_of(layout: Layout) -> Mapping:
    """Return the mapping of an archive's files: their columns are those of the archive's layout."""
    renamed = {"taker": "buyer_maker", "interval": "interval_hours"}
    columns = {renamed.get(ours, ours): theirs for ours, theirs in layout.takes.items()}
    zone = ""
    # Open interest has written times without a zone; all other files have counts.
    if layout.kind == "open_interest":
        zone = "UTC"
    return Mapping(columns, zone=zone)


def _binance() -> list[Preset]:
    """Return the presets of Binance's dump files: the path shows the market, else whether columns have names does."""
    by_path: list[Preset] = []
    by_name: list[Preset] = []
    for layout in LAYOUTS:
        if layout.exchange != "binance":
            continue
        folders, _, rest = layout.path.partition("/{period}/")
        folder = rest.split("/")[0]
        leaf = _leaf_of(layout, folder)
        preset = Preset(
            f"binance-{_SHORT_MARKETS[layout.market]}{folder}",
            layout.kind,
            _mapping_of(layout),
            rf"{folders}/(?:daily|monthly)/{folder}/(?:.*/)?{leaf}",
            names=layout.columns,
            exchange="binance",
            market=layout.market,
            whole=True,
            id_space=layout.id_space,
        )
        by_path.append(preset)
        # Without folders, bars of marks and indexes have the names of those of trades.
        if layout.kind not in {"mark_ohlcv", "index_ohlcv"}:
            by_name.append(replace(preset, pattern=leaf, bare=layout.market == "spot"))
    return by_path + by_name


def _leaf_of(layout: Layout, folder: str) -> str:
    """Return the pattern of the names of a layout's files: symbol, timeframe or folder, and day or month."""
    symbol = _LEAVES[layout.market, layout.market == "inverse" and layout.kind == "index_ohlcv"]
    middle = folder
    if layout.timeframes:
        middle = TIMEFRAME
    return rf"{symbol}-{middle}-\d{{4}}-\d\d(?:-\d\d)?"


def _dumped(name: str, exchange: str, market: Market, kind: str, pattern: str) -> Preset:
    """Return the preset of another dump site's files: their headers name the columns."""
    for layout in LAYOUTS:
        if (layout.exchange, layout.market, layout.kind) == (exchange, market, kind):
            break
    else:
        raise LookupError(f"there is no archive of {exchange} with {market} {kind}")
    header = tuple(layout.takes.values())
    # Days that do not begin at midnight UTC are not those of the name.
    whole = layout.offset == 0
    return Preset(name, kind, _mapping_of(layout), pattern, header, exchange=exchange, market=market, whole=whole)


def _unnamed_bybit() -> tuple[Preset, ...]:
    """Return the preset of files of Bybit's derivatives, or BitMEX's, under any other name: the columns are those of contracts.

    Both exchanges write the same columns, so that the caller says which it is.
    """
    named = _dumped("bybit-trades", "bybit", "linear", "trades", "")
    columns = {**named.mapping.columns, "symbol": "symbol"}
    header = (*named.header, "symbol", *_COLUMNS_OF_CONTRACTS)
    mapping = replace(named.mapping, columns=columns)
    return (Preset(named.name, named.kind, mapping, header=header, derivatives=("bybit",)),)


_COLUMNS_OF_CONTRACTS = ("tickDirection", "trdMatchID", "homeNotional", "foreignNotional")
"""Columns that only the trades of contracts have."""
_BYBIT_LINEAR = r"(?P<symbol>[A-Z0-9]+(?:USDT|PERP|(?:USDT)?-\d{1,2}[A-Z]{3}\d\d))"
_BYBIT_INVERSE = r"(?P<symbol>[A-Z0-9]+USD(?:[FGHJKMNQUVXZ]\d\d)?)"
_KRAKEN = r"(?P<symbol>[A-Z0-9]{5,})"
DUMPS: tuple[Preset, ...] = (
    *_binance(),
    _dumped("bybit-trades", "bybit", "linear", "trades", rf"{_BYBIT_LINEAR}-?\d{{4}}-\d\d-\d\d"),
    _dumped("bybit-inverse-trades", "bybit", "inverse", "trades", rf"{_BYBIT_INVERSE}-?\d{{4}}-\d\d-\d\d"),
    *_unnamed_bybit(),
    _dumped("okx-trades", "okx", "spot", "trades", r"(?P<symbol>[A-Z0-9]+-[A-Z0-9]+)-trades-\d{4}-\d\d-\d\d"),
    _dumped("okx-ohlcv", "okx", "spot", "ohlcv", r"(?P<symbol>[A-Z0-9]+-[A-Z0-9]+)-candlesticks-\d{4}-\d\d-\d\d"),
    Preset(
        "kraken-ohlcvt",
        "ohlcv",
        Mapping(same_names(*_TS_BARS, "trades"), unit="s", header=False),
        rf"{_KRAKEN}_(?P<minutes>1|5|15|30|60|240|720|1440)",
        names=(*_TS_BARS, "trades"),
        bare=True,
        exchange="kraken",
    ),
    Preset(
        "kraken-trades",
        "trades",
        Mapping(same_names("ts", "price", "amount"), unit="s", header=False),
        _KRAKEN,
        names=("ts", "price", "amount"),
        bare=True,
        exchange="kraken",
    ),
)
"""Files that exchanges publish themselves."""
