"""What the name of a file says of its content: the dataset, as far as a preset defines it, and the time it is about."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from ticklake.core.dataset import BAR_KINDS, Dataset
from ticklake.core.native_ids import NOT_LISTED, Market, MarketList, unified
from ticklake.core.span import Span
from ticklake.core.time import DAY, parse_time
from ticklake.core.timeframe import Timeframe
from ticklake.errors import InvalidName, TicklakeError
from ticklake.files.decompress import Entry
from ticklake.files.presets import Preset

__all__ = ["Markets", "Named", "bar_of", "day_of", "label_of", "named", "span_in", "venue_of"]

_SUFFIXES = re.compile(
    r"(?:\.(?:csv|tsv|txt|json|jsonl|ndjson|parquet|feather|arrow|ipc|data|log|bi5|gz|xz|zst|bz2|zip))+$", re.IGNORECASE
)
_DAY = re.compile(
    r"(?<!\d)((?:19|20)\d\d)([-_]?)(0[1-9]|1[0-2])(?:\2(0[1-9]|[12]\d|3[01])|_(?P<to>0[1-9]|1[0-2]))?(?!\d)"
)
_DAY_OF_ZIP = re.compile(r"(?:^|/)(?P<day>(?:19|20)\d{6})_(?:trade|quote|openinterest)(?:\.zip)?(?:/|$)")
_UNITS = {"SECOND": "s", "MINUTE": "m", "HOUR": "h", "DAY": "d", "WEEK": "w", "MONTH": "M"}
_LENGTHS = {"second": "1s", "minute": "1m", "hour": "1h", "daily": "1d", "d": "1d", "mo": "1M"}
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
    "huobi-dm": ("htx", "inverse"),
    "kucoin-futures": ("kucoinfutures", None),
}
"""What vendors call exchanges, or parts of them, where it is not ccxt's id."""


@dataclass(frozen=True, slots=True)
class Markets:
    """What is known of markets before a file is read: how native names become symbols.

    Parameters
    ----------
    exchange
        Where files were traded that do not say it.
    symbol
        Which symbol files are of that name none; it decides between readings of a native name.
    lists
        Returns the list of an exchange's markets, as far as the lake knows it.
    has_dataset
        Whether exchange and symbol are those of a dataset that was said: then names that cannot be read are no problem.
    """

    exchange: str = ""
    symbol: str = ""
    lists: Callable[[str], MarketList] = lambda _exchange: NOT_LISTED
    has_dataset: bool = False

    def unified(self, native: str, market: Market | None, exchange: str = "") -> str | None:
        """Return the symbol of a native name; see :func:`~ticklake.core.native_ids.unified`."""
        where = exchange or self.exchange
        try:
            return unified(native, market, where, self.lists(where), self.symbol)
        except InvalidName:
            if self.has_dataset:
                return None
            raise


@dataclass(frozen=True, slots=True)
class Named:
    """The parts of a dataset that are told; empty where they are not.

    ``doubt`` says why the symbol is not told, where the native name has several readings.
    """

    exchange: str = ""
    kind: str = ""
    symbol: str = ""
    timeframe: str = ""
    doubt: str = ""

    def __str__(self) -> str:
        return ":".join(part or "?" for part in (self.exchange, self.kind, *self._bar, self.symbol))

    def but(self, kind: str, symbol: str, timeframe: str, exchange: str = "") -> Named:
        """Return the same with what rows say themselves."""
        bars = kind in BAR_KINDS
        return replace(
            self,
            exchange=exchange or self.exchange,
            kind=kind,
            symbol=symbol or self.symbol,
            timeframe=(timeframe or self.timeframe) if bars else "",
        )

    @property
    def lacking(self) -> tuple[str, ...]:
        """What must be known before there is a dataset, in words."""
        parts = {
            "exchange": bool(self.exchange),
            "kind": bool(self.kind),
            "symbol": "/" in self.symbol,
            "timeframe": self.kind not in BAR_KINDS or bool(self.timeframe),
        }
        return tuple(name for name, is_known in parts.items() if not is_known)

    @property
    def _bar(self) -> tuple[str, ...]:
        return (self.timeframe,) if self.kind in BAR_KINDS else ()

    def dataset(self) -> Dataset | None:
        """Return the dataset, if all of it is told."""
        if self.lacking:
            return None
        try:
            return Dataset.of(self.exchange, self.symbol, self.kind, self.timeframe or None)
        except TicklakeError:
            return None


def label_of(entry: Entry) -> str:
    """Return the path of an entry without the suffixes of formats, in one style."""
    return _SUFFIXES.sub("", entry.label)


def named(preset: Preset, label: str, markets: Markets = Markets()) -> Named:
    """Return what the path tells, read as the preset says; where it names no exchange, it is the one of *markets*."""
    match = preset.finds(label)
    parts = {name: text for name, text in (match.groupdict() if match else {}).items() if text}
    market = "linear" if "perp" in parts else preset.market
    exchange, part_of_it = venue_of(parts.get("exchange", preset.exchange))
    symbol, doubt = "", ""
    try:
        if "symbol" in parts:
            symbol = markets.unified(parts["symbol"], part_of_it or market, exchange) or ""
    except InvalidName as error:
        doubt = str(error)
    where = exchange or markets.exchange
    if "root" not in parts or not where or where in preset.feeds:
        symbol = symbol or _plain_symbol(parts)
    if not markets.has_dataset:
        exchange, symbol = exchange or markets.exchange, symbol or markets.symbol
    bars = preset.kind in BAR_KINDS
    return Named(exchange, preset.kind, symbol, _timeframe(parts) if bars else "", doubt)


def _plain_symbol(parts: dict[str, str]) -> str:
    """Return the symbol of a share or a future of America: both are priced, and settled, in dollars."""
    if "root" in parts:
        return f"{parts['root'].upper()}/USD:USD-{parts['expiry'][-6:]}"
    return f"{parts['share'].upper()}/USD" if "share" in parts else ""


def venue_of(name: str) -> tuple[str, Market | None]:
    """Return ccxt's id of an exchange that a vendor calls so, and which part of it is meant, if that is told.

    >>> venue_of("BINANCE_FUTURES")
    ('binance', 'linear')
    """
    plain = name.lower().replace("_", "-")
    return _VENUES.get(plain, (plain, None))


def day_of(preset: Preset, label: str) -> int | None:
    """Return the midnight of the day in the path, as nanoseconds of local time, if times count from it."""
    match = preset.finds(label) if preset.day_zone else None
    match = match or _DAY_OF_ZIP.search(label)
    text = match.groupdict().get("day") if match and preset.day_zone else None
    return parse_time(f"{text[:4]}-{text[4:6]}-{text[6:]}") if text else None


def bar_of(preset: Preset, label: str) -> int:
    """Return the length of the bars that the path tells of, in nanoseconds; 0 if it does not."""
    match = preset.finds(label)
    text = _timeframe(match.groupdict(default="")) if match else ""
    return Timeframe.parse(text).length if text else 0


def span_in(label: str) -> Span | None:
    """Return the time that the dates in a file's name span: ``BTCUSDT-1m-2024-01``, ``20230301_20230321``."""
    found = [span for match in _DAY.finditer(label.rpartition("/")[2]) if (span := _span(match)) is not None]
    return Span(min(span.start for span in found), max(span.end for span in found)) if found else None


def _span(match: re.Match[str]) -> Span | None:
    year, mark, month, day, until = match.groups()
    if day is None and mark == "":
        return None
    try:
        start = parse_time(dt.date(int(year), int(month), int(day or 1)))
        last = parse_time(dt.date(int(year), int(until or month), int(day or 1)))
    except ValueError:
        return None
    return Span(start, last + DAY if day else Timeframe(1, "M").next(last))


def _timeframe_of_minutes(minutes: int) -> str:
    if minutes % 1440 == 0:
        return f"{minutes // 1440}d"
    if minutes % 60 == 0:
        return f"{minutes // 60}h"
    return f"{minutes}m"


def _timeframe(parts: dict[str, str]) -> str:
    if parts.get("step"):
        return f"{parts['step']}{_UNITS.get(parts['unit'], '?')}"
    if parts.get("minutes"):
        return _timeframe_of_minutes(int(parts["minutes"]))
    text = parts.get("timeframe") or parts.get("resolution", "")
    return f"{text[:-2]}M" if text.endswith("mo") else _LENGTHS.get(text, text)
