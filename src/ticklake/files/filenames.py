"""Parse the path of a file: the dataset, as far as the preset's pattern defines it, and the span of time in its name."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from ticklake.core.dataset import BAR_KINDS, Dataset
from ticklake.core.native_ids import NOT_LISTED, Market, MarketList, unified
from ticklake.core.span import Span, hull_of
from ticklake.core.time import DAY, parse_time
from ticklake.core.timeframe import Timeframe
from ticklake.errors import InvalidName, TicklakeError
from ticklake.files.decompress import Entry
from ticklake.files.presets import Preset

__all__ = ["Markets", "PartialDataset", "bar_of", "dataset_in_path", "day_of", "label_of", "span_in", "venue_of"]

_SUFFIXES = re.compile(
    r"(?:\.(?:csv|tsv|txt|json|jsonl|ndjson|parquet|feather|arrow|ipc|data|log|bi5|gz|xz|zst|bz2|zip))+$", re.IGNORECASE
)
_DAY = re.compile(
    r"(?<!\d)((?:19|20)\d\d)([-_]?)(0[1-9]|1[0-2])(?:\2(0[1-9]|[12]\d|3[01])|_(?P<to>0[1-9]|1[0-2]))?(?!\d)"
)
_DAY_OF_ZIP = re.compile(r"(?:^|/)(?P<day>(?:19|20)\d{6})_(?:trade|quote|openinterest)(?:\.zip)?(?:/|$)")
_UNITS = {"SECOND": "s", "MINUTE": "m", "HOUR": "h", "DAY": "d", "WEEK": "w", "MONTH": "M"}
_LENGTHS = {"second": "1s", "minute": "1m", "hour": "1h", "daily": "1d", "d": "1d", "mo": "1M"}
# One spelling a row, dashes for underscores: venue_of() makes them so.
_VENUES: dict[str, tuple[str, Market | None]] = {
    "gdax": ("coinbase", None),
    "okex": ("okx", None),
    "okex-swap": ("okx", None),
    "okex-futures": ("okx", None),
    "huobi": ("htx", None),
    "huobi-dm-linear-swap": ("htx", "linear"),
    "huobi-dm-swap": ("htx", "inverse"),
    "gateio": ("gate", None),
    "gate-io": ("gate", None),
    "crypto.com": ("cryptocom", None),
    "crypto-com": ("cryptocom", None),
    "binance-us": ("binanceus", None),
    "binance-futures": ("binance", "linear"),
    "binance-delivery": ("binance", "inverse"),
    "bybit-spot": ("bybit", "spot"),
    "kraken-futures": ("krakenfutures", None),
    "dydx": ("dydx", "linear"),
    "dydx-v4": ("dydx", "linear"),
    "binance-dex": ("binancedex", "spot"),
    "bitfinex-derivatives": ("bitfinex", "linear"),
    "bitget-futures": ("bitget", "linear"),
    "coinbase-international": ("coinbaseinternational", "linear"),
    "cryptofacilities": ("krakenfutures", None),
    "gate-io-futures": ("gate", "linear"),
    "gateio-futures": ("gate", "linear"),
    "huobi-swap": ("htx", None),
    "bitmax": ("ascendex", None),
    "ascendex-futures": ("ascendex", "linear"),
    "huobi-dm": ("htx", "inverse"),
    "huobi-linear-swap": ("htx", "linear"),
    "kucoin-futures": ("kucoinfutures", None),
}
"""Vendors' names for exchanges, or parts of them, where they differ from ccxt's id."""


@dataclass(frozen=True, slots=True)
class Markets:
    """What is known of markets before a file is read: how native names become symbols.

    Parameters
    ----------
    exchange
        The exchange of files that do not name theirs.
    symbol
        The symbol of files that do not name theirs; it decides between readings of a native name.
    lists
        Returns the list of an exchange's markets, as far as the lake knows it.
    has_dataset
        Whether exchange and symbol are those of a dataset that the caller named: then names that cannot be read are no problem.
    """

    exchange: str = ""
    symbol: str = ""
    lists: Callable[[str], MarketList] = lambda _exchange: NOT_LISTED
    has_dataset: bool = False

    def unified(self, native: str, market: Market | None, exchange: str = "") -> str | None:
        """Return the symbol of a native name; see :func:`~ticklake.core.native_ids.unified`."""
        exchange = exchange or self.exchange
        try:
            return unified(native, market, exchange, self.lists(exchange), self.symbol)
        except InvalidName:
            if self.has_dataset:
                return None
            raise


@dataclass(frozen=True, slots=True)
class PartialDataset:
    """The parts of a dataset that a path or rows name; empty where they do not.

    ``doubt`` says why the symbol is unknown, where the native name has several readings.
    """

    exchange: str = ""
    kind: str = ""
    symbol: str = ""
    timeframe: str = ""
    doubt: str = ""

    def __str__(self) -> str:
        parts = [self.exchange, self.kind, self.symbol]
        if self.kind in BAR_KINDS:
            parts.insert(2, self.timeframe)
        return ":".join(part or "?" for part in parts)

    def replaced(self, kind: str, symbol: str, timeframe: str, exchange: str = "") -> PartialDataset:
        """Return the same with the parts that rows name themselves."""
        exchange, symbol = exchange or self.exchange, symbol or self.symbol
        timeframe = timeframe or self.timeframe
        if kind not in BAR_KINDS:
            timeframe = ""
        return replace(self, exchange=exchange, kind=kind, symbol=symbol, timeframe=timeframe)

    @property
    def missing(self) -> list[str]:
        """The names of the parts without which there is no dataset."""
        names = []
        if not self.exchange:
            names.append("exchange")
        if not self.kind:
            names.append("kind")
        # A native name that could not be split is kept as it is, without a slash.
        if "/" not in self.symbol:
            names.append("symbol")
        if self.kind in BAR_KINDS and not self.timeframe:
            names.append("timeframe")
        return names

    def dataset(self) -> Dataset | None:
        """Return the dataset; ``None`` if a part is missing or not valid."""
        if self.missing:
            return None
        try:
            return Dataset.of(self.exchange, self.symbol, self.kind, self.timeframe or None)
        except TicklakeError:
            return None


def label_of(entry: Entry) -> str:
    """Return the path of an entry without the suffixes of formats, in one style."""
    return _SUFFIXES.sub("", entry.label)


def dataset_in_path(preset: Preset, label: str, markets: Markets = Markets()) -> PartialDataset:
    """Return the parts of a dataset that the preset's pattern finds in a path; the rest comes from the preset and *markets*."""
    groups = _groups(preset, label)
    exchange, market = venue_of(groups.get("exchange", preset.exchange))
    if market is None and "perp" in groups:
        market = "linear"
    market = market or preset.market
    symbol, doubt = "", ""
    try:
        if "symbol" in groups:
            symbol = markets.unified(groups["symbol"], market, exchange) or ""
    except InvalidName as error:
        doubt = str(error)
    # Of futures on other exchanges the currency is not certain.
    where = exchange or markets.exchange
    if "root" not in groups or not where or where in preset.feeds:
        symbol = symbol or _plain_symbol(groups)
    # With a dataset of the caller's, the parts must stay the file's own: they are compared with it.
    if not markets.has_dataset:
        exchange, symbol = exchange or markets.exchange, symbol or markets.symbol
    timeframe = ""
    if preset.kind in BAR_KINDS:
        timeframe = _timeframe(groups)
    return PartialDataset(exchange, preset.kind, symbol, timeframe, doubt)


def _groups(preset: Preset, label: str) -> dict[str, str]:
    """Return the groups of the preset's pattern that a path fills."""
    match = preset.finds(label)
    if match is None:
        return {}
    return {name: text for name, text in match.groupdict().items() if text}


def _plain_symbol(groups: dict[str, str]) -> str:
    """Return the symbol of an American share or future: both are priced, and settled, in dollars."""
    if "root" in groups:
        return f"{groups['root'].upper()}/USD:USD-{groups['expiry'][-6:]}"
    if "share" in groups:
        return f"{groups['share'].upper()}/USD"
    return ""


def venue_of(name: str) -> tuple[str, Market | None]:
    """Return ccxt's id of the exchange that a vendor calls *name*, and which of its markets that is, if the name says so.

    >>> venue_of("BINANCE_FUTURES")
    ('binance', 'linear')
    """
    plain = name.lower().replace("_", "-")
    return _VENUES.get(plain, (plain, None))


def day_of(preset: Preset, label: str) -> int | None:
    """Return the midnight of the day in the path, as nanoseconds of local time, if the preset's times count from it."""
    if not preset.day_zone:
        return None
    # The pattern of a preset that the caller named need not fit; the zip's own name has the day, too.
    match = preset.finds(label) or _DAY_OF_ZIP.search(label)
    if match is None or not match.groupdict().get("day"):
        return None
    day = match["day"]
    return parse_time(f"{day[:4]}-{day[4:6]}-{day[6:]}")


def bar_of(preset: Preset, label: str) -> int:
    """Return the length of the bars that the path names, in nanoseconds; 0 if it names none."""
    timeframe = _timeframe(_groups(preset, label))
    if not timeframe:
        return 0
    return Timeframe.parse(timeframe).length


def span_in(label: str) -> Span | None:
    """Return the time that the dates in a file's name span: ``BTCUSDT-1m-2024-01``, ``20230301_20230321``."""
    name = label.rpartition("/")[2]
    spans = []
    for match in _DAY.finditer(name):
        span = _span(match)
        if span is not None:
            spans.append(span)
    if not spans:
        return None
    return hull_of(spans)


def _span(match: re.Match[str]) -> Span | None:
    """Return the day, the month or the months of a match; ``None`` if it is no date."""
    year, separator, month, day, last_month = match.groups()
    # Six digits without a separator may be any number.
    if day is None and separator == "":
        return None
    try:
        start = parse_time(dt.date(int(year), int(month), int(day or 1)))
        last = parse_time(dt.date(int(year), int(last_month or month), int(day or 1)))
    except ValueError:
        return None
    if day:
        return Span(start, last + DAY)
    return Span(start, Timeframe(1, "M").next(last))


def _timeframe_of_minutes(minutes: int) -> str:
    if minutes % 1440 == 0:
        return f"{minutes // 1440}d"
    if minutes % 60 == 0:
        return f"{minutes // 60}h"
    return f"{minutes}m"


def _timeframe(groups: dict[str, str]) -> str:
    """Return the timeframe in the groups of a path; empty if there is none."""
    if groups.get("step"):
        return f"{groups['step']}{_UNITS.get(groups['unit'], '?')}"
    if groups.get("minutes"):
        return _timeframe_of_minutes(int(groups["minutes"]))
    text = groups.get("timeframe") or groups.get("resolution", "")
    # Binance's archive writes a month as ``1mo``, which is ccxt's ``1M``.
    if text.endswith("mo"):
        return f"{text.removesuffix('mo')}M"
    return _LENGTHS.get(text, text)
