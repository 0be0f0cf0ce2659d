"""Presets of what exchanges publish themselves.

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
from ticklake.files.preset import Preset, same_names
from ticklake.sources.archives.layouts import LAYOUTS, Layout

__all__ = ["DUMPS", "TIMEFRAME"]

_NATIVE = r"(?P<symbol>[A-Z0-9]{4,})"
_LEAVES: dict[tuple[Market, bool], str] = {
    ("spot", False): _NATIVE,
    ("linear", False): r"(?P<symbol>[A-Z0-9]{4,}|[A-Z0-9]+(?:USDT|USDC|BUSD)_\d{6})",
    ("inverse", False): r"(?P<symbol>[A-Z0-9]{1,}USD_(?:PERP|\d{6}))",
    ("inverse", True): r"(?P<symbol>[A-Z0-9]{1,}USD(?:_(?:PERP|\d{6}))?)",
}
"""What the names of markets look like, by market and whether prices are an index's: those of COIN-M are named by the pair."""
TIMEFRAME = r"(?P<timeframe>\d+(?:mo|[smhdwM]))"
_BARS = ("open", "high", "low", "close", "volume")
_TS_BARS = ("ts", *_BARS)


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
        leaf = f"{_LEAVES[row.market, row.market == 'inverse' and row.kind == 'index_ohlcv']}-"
        leaf += rf"{TIMEFRAME if row.timeframes else what}-\d{{4}}-\d\d(?:-\d\d)?"
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


_BYBIT_LINEAR = r"(?P<symbol>[A-Z0-9]+(?:USDT|PERP|(?:USDT)?-\d{1,2}[A-Z]{3}\d\d))"
_BYBIT_INVERSE = r"(?P<symbol>[A-Z0-9]+USD(?:[FGHJKMNQUVXZ]\d\d)?)"
_KRAKEN = r"(?P<symbol>[A-Z0-9]{5,})"
DUMPS: tuple[Preset, ...] = (
    *_binance(),
    _dumped("bybit-trades", "bybit", "linear", "trades", rf"{_BYBIT_LINEAR}-?\d{{4}}-\d\d-\d\d"),
    _dumped("bybit-inverse-trades", "bybit", "inverse", "trades", rf"{_BYBIT_INVERSE}-?\d{{4}}-\d\d-\d\d"),
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
"""The files of exchanges themselves."""
