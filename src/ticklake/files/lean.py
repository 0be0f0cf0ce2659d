"""Presets of QuantConnect LEAN's data folder.

Source
------
https://github.com/QuantConnect/Lean/tree/master/Data: the readme of each folder says what stands in the columns and in which zone, and
``market-hours/market-hours-database.json`` has the zone of the data (``dataTimeZone``) of each market. What its folders hold beside, like options and indices, is refused: see :func:`refusal_of`. Times count milliseconds since the midnight
of the day in the name, or are written ``20131001 09:00``. Prices of equities are times 10,000. Quote bars become the quotes at
their ends. In quote ticks of equities the side that did not change is 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Mapping as MappingType
from dataclasses import replace

from ticklake.files.mapping import Mapping
from ticklake.files.preset import Preset, same_names

__all__ = ["LEAN", "refusal_of"]

_BARS = ("ts", "open", "high", "low", "close", "volume")
_QUOTE = ("bid_price", "bid_amount", "ask_price", "ask_amount")
_QUOTE_BARS = ("ts", "bo", "bh", "bl", "bid_price", "bid_amount", "ao", "ah", "al", "ask_price", "ask_amount")
_TRADE_TICK = ("ts", "price", "amount", "venue", "conditions", "suspicious")
_QUOTE_TICK = ("ts", *_QUOTE, "venue", "conditions", "suspicious")
_SCALE = 10_000
_NEW_YORK = "America/New_York"
_FEEDS = {"oanda": "UTC", "fxcm": "UTC-05"}
"""In which zone the feeds of forex and CFDs write times."""
_BROKERS = {
    "forex": {**_FEEDS, "interactivebrokers": "UTC"},
    # The database gives FXCM's CFDs one zone or the other, by symbol.
    "cfd": {"oanda": "UTC", "interactivebrokers": "UTC"},
}
_FUTURES = dict.fromkeys(("cme", "cbot", "comex", "nymex", "cfe", "nyseliffe", "ice"), "UTC")
"""The zone of futures that are settled in dollars; elsewhere zone and currency are those of the place."""

_DAY = r"(?P<day>\d{8})_"
_FOLDERS = r"\w+/\w+/\d{8}_\w+\.zip/"
_PAIR = r"(?P<symbol>[a-z0-9]{2,}(?:usd|usdt|usdc|fdusd|busd|eur|gbp|jpy|chf|cad|aud|nzd|sgd|hkd|btc|eth|bnb))_"
_SPAN = r"(?P<resolution>second|minute)"
_CRYPTO = rf"(?:crypto(?:future)?/(?P<exchange>[a-z]+)/{_FOLDERS})?{_DAY}{_PAIR}{_SPAN}"
_TICKS = rf"{_DAY}{_PAIR}tick_quote"
_SHARE = rf"(?:equity/usa/{_FOLDERS})?{_DAY}(?P<share>[a-z0-9.]+)_"
_FUTURE = rf"(?:future/(?P<exchange>[a-z]+)/{_FOLDERS})?{_DAY}(?P<root>[a-z0-9]+)_"
_EXPIRY = r"_\d{6}_(?P<expiry>\d{8})"

_FOLDER = re.compile(r"(?:^|/)(?P<type>[a-z]+)/(?P<market>[a-z]+)/(?:tick|second|minute|hour|daily)/")
_HOW = "say how it is read with --preset generic, --columns, --zone and --dataset"
_UNCERTAIN = {
    "index": "LEAN's files of an index: their zone depends on the index, and its symbol is no pair",
    **dict.fromkeys(
        ("option", "indexoption", "futureoption"),
        "LEAN's files of options: the zone of their times and the symbols of their contracts are not certain",
    ),
}


def refusal_of(label: str) -> str:
    """Return why a path of LEAN's data folder is of what cannot be read for certain; empty if it is not.

    Its name alone would look like that of a share: prices would be off by a factor of 10,000, and times by hours.
    """
    match = _FOLDER.search(label)
    kind, market = match.groups() if match else ("", "")
    if kind in _UNCERTAIN:
        return f"{_UNCERTAIN[kind]}: {_HOW}"
    if kind == "equity" and market != "usa":
        return f"LEAN's shares of {market}: the scale of their prices, their currency and their zone are not certain: {_HOW}"
    if kind == "future" and market not in _FUTURES:
        return f"LEAN's futures of {market}: the currency and the zone of their times are not certain: {_HOW}"
    if (kind, market) == ("future", "ice") and re.search(r"(?:/|_)dx[/_]", label):
        return f"LEAN's futures of ice, DX: the zone of their times is not certain: {_HOW}"
    return ""


def _mapping(*names: str, scale: float = 1) -> Mapping:
    return Mapping(same_names("ts", *names), unit="ms", header=False, price_scale=scale)


def _of_day(name: str, kind: str, pattern: str, mapping: Mapping, names: tuple[str, ...], zone: str) -> Preset:
    return Preset(name, kind, mapping, pattern, names=names, bare=True, day_zone=zone)


def _of_expiry(what: str) -> str:
    return rf"(?i:{what}){_EXPIRY}"


def _futures() -> tuple[Preset, ...]:
    """Return the presets of futures, each in the zone of its exchange."""
    return _with_zones((*_daily_futures(), *_long_futures()), _FUTURES)


def _with_zones(presets: Iterable[Preset], zones: MappingType[str, str]) -> tuple[Preset, ...]:
    return tuple(replace(preset, feeds=zones) for preset in presets)


def _daily_futures() -> tuple[Preset, ...]:
    """Return the presets of futures by the day: a zip has a file for each expiry."""
    bars, quotes, ticks = _mapping(*_BARS[1:]), _mapping(*_QUOTE), _mapping("price", "amount")
    return (
        _of_day("lean-future-bars", "ohlcv", _FUTURE + _SPAN + _of_expiry("_trade"), bars, _BARS, "UTC"),
        replace(
            _of_day("lean-future-quote-bars", "quotes", _FUTURE + _SPAN + _of_expiry("_quote"), quotes, _QUOTE_BARS, "UTC"),
            at_close=True,
        ),
        _of_day("lean-future-ticks", "trades", _FUTURE + _of_expiry("tick_trade"), ticks, _TRADE_TICK, "UTC"),
        _of_day("lean-future-quote-ticks", "quotes", _FUTURE + _of_expiry("tick_quote"), quotes, _QUOTE_TICK, "UTC"),
        _of_day(
            "lean-future-open-interest",
            "open_interest",
            _FUTURE + _of_expiry("(?:tick|second|minute)_openinterest"),
            _mapping("open_interest"),
            ("ts", "open_interest"),
            "UTC",
        ),
    )  # fmt: skip


def _long_futures() -> tuple[Preset, ...]:
    """Return the presets of hourly and daily futures, as LEAN's ``LeanData.GenerateZipEntryName`` names them: all years in a file."""
    folders = r"future/(?P<exchange>[a-z]+)/(?P<resolution>hour|daily)/\w+\.zip/(?P<root>[a-z0-9]+)"
    quotes = Mapping(same_names("ts", *_QUOTE), header=False)
    interest = Mapping(same_names("ts", "open_interest"), header=False)
    bars = Mapping(same_names(*_BARS), header=False)
    return (
        Preset("lean-future-long-bars", "ohlcv", bars, folders + _of_expiry("_trade"), names=_BARS, bare=True),
        Preset(
            "lean-future-long-quote-bars",
            "quotes",
            quotes,
            folders + _of_expiry("_quote"),
            names=_QUOTE_BARS,
            bare=True,
            at_close=True,
        ),
        Preset(
            "lean-future-long-open-interest",
            "open_interest",
            interest,
            folders + _of_expiry("_openinterest"),
            names=("ts", "open_interest"),
            bare=True,
        ),
    )


def _equities() -> tuple[Preset, ...]:
    bars, quotes = _mapping(*_BARS[1:], scale=_SCALE), _mapping(*_QUOTE, scale=_SCALE)
    ticks = _mapping("price", "amount", scale=_SCALE)
    return (
        _of_day("lean-equity-bars", "ohlcv", rf"{_SHARE}{_SPAN}_trade", bars, _BARS, _NEW_YORK),
        replace(
            _of_day("lean-equity-quote-bars", "quotes", rf"{_SHARE}{_SPAN}_quote", quotes, _QUOTE_BARS, _NEW_YORK),
            at_close=True,
        ),
        _of_day("lean-equity-ticks", "trades", rf"{_SHARE}(?i:trade_tick|tick_trade)", ticks, _TRADE_TICK, _NEW_YORK),
        _of_day("lean-equity-quote-ticks", "quotes", rf"{_SHARE}(?i:quote_tick|tick_quote)", quotes, _QUOTE_TICK, _NEW_YORK),
    )  # fmt: skip


def _brokers(folder: str) -> tuple[Preset, ...]:
    """Return the presets of the folder of forex or CFDs, each in the zone of its broker."""
    day = rf"{folder}/(?P<exchange>[a-z]+)/{_FOLDERS}{_DAY}{_PAIR}"
    long = rf"{folder}/(?P<exchange>[a-z]+)/(?P<resolution>hour|daily)/(?P<symbol>[a-z0-9]+)\.zip/[^/]+"
    ticks = ("ts", "bid_price", "ask_price")
    quote_bars = _of_day("lean-quote-bars", "quotes", rf"{day}{_SPAN}_quote", _mapping(*_QUOTE), _QUOTE_BARS, "UTC")
    presets = (
        _of_day("lean-bars", "ohlcv", rf"{day}{_SPAN}_trade", _mapping(*_BARS[1:]), _BARS, "UTC"),
        replace(quote_bars, at_close=True),
        _of_day("lean-forex-ticks", "quotes", rf"{day}tick_quote", _mapping(*ticks[1:]), ticks, "feed"),
        Preset(
            "lean-long-quote-bars",
            "quotes",
            Mapping(same_names("ts", *_QUOTE), header=False),
            long,
            names=_QUOTE_BARS,
            bare=True,
            at_close=True,
        ),
    )
    return _with_zones(presets, _BROKERS[folder])


_PERP = r"(?P<perp>_perp)?"
_ANY_FEED = {**_FEEDS, "": "UTC"}
LEAN: tuple[Preset, ...] = (
    *_brokers("forex"),
    *_brokers("cfd"),
    replace(_of_day("lean-bars", "ohlcv", rf"{_CRYPTO}_trade{_PERP}", _mapping(*_BARS[1:]), _BARS, "UTC"), feeds=_ANY_FEED),
    replace(
        _of_day("lean-quote-bars", "quotes", rf"{_CRYPTO}_quote{_PERP}", _mapping(*_QUOTE), _QUOTE_BARS, "UTC"),
        at_close=True,
        feeds=_ANY_FEED,
    ),
    replace(
        _of_day("lean-forex-ticks", "quotes", _TICKS, _mapping("bid_price", "ask_price"), ("ts", "bid_price", "ask_price"), "feed"),
        feeds=_FEEDS,
    ),
    *_futures(),
    *_equities(),
    Preset(
        "lean-long-bars",
        "ohlcv",
        Mapping(same_names(*_BARS), zone="UTC", header=False),
        r"crypto(?:future)?/(?P<exchange>[a-z]+)/(?P<resolution>hour|daily)/(?P<symbol>[a-z0-9]+)_trade(?P<perp>_perp)?\.zip/[^/]+",
        names=_BARS,
        bare=True,
    ),
    Preset(
        "lean-equity-long-bars",
        "ohlcv",
        Mapping(same_names(*_BARS), zone=_NEW_YORK, header=False, price_scale=_SCALE),
        r"equity/usa/(?P<resolution>hour|daily)/(?P<share>[a-z0-9.]+)\.zip/[^/]+",
        names=_BARS,
        bare=True,
    ),
)  # fmt: skip
"""The data folder of LEAN. Equities are named by their ticker; where they trade has to be said."""
