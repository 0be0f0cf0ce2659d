"""Lookup: which of the symbols and datasets that are known a text means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from ticklake.core.dataset import Dataset
from ticklake.core.symbol import Symbol

__all__ = ["is_pattern", "is_plain", "likely", "meant_datasets", "meant_symbols"]


def is_pattern(text: str) -> bool:
    """Whether a text may match several names: it has ``*``, ``?`` or ``[``."""
    return any(mark in text for mark in "*?[")


def is_plain(symbol: str) -> bool:
    """Whether a text is written as unified symbols mostly are; others are looked up before they are believed."""
    return "/" in symbol and symbol == symbol.upper()


def meant_symbols(text: str, listed: Mapping[str, str]) -> list[str]:
    """Return the unified symbols that a text may mean: one is meant without doubt, several are to be chosen from.

    Parameters
    ----------
    text
        A unified symbol, also in another case (``btc/usdt``), or an exchange's own name of a market (``BTCUSDT``).
    listed
        What there is: the native id of every unified symbol, empty where nobody knows it.
    """
    if text in listed:
        return [text]
    folded = text.casefold()
    same = [symbol for symbol in listed if symbol.casefold() == folded]
    return same or [symbol for symbol, native in listed.items() if native.casefold() == folded]


def meant_datasets(
    datasets: Iterable[Dataset],
    exchange: str | None,
    symbol: str | None,
    timeframe: str | None,
    kind: str | None,
    natives: Mapping[str, str] | None = None,
) -> list[Dataset]:
    """Return those of *datasets* that parts of a name mean; a part that is ``None`` means all.

    A symbol may be a pattern, like ``BTC/*``. *natives* are the native ids of symbols of the exchange; without one, the
    parts of a symbol make it: ``BTCUSDT``.
    """
    found = [
        one
        for one in datasets
        if exchange in (None, one.exchange)
        and kind in (None, one.kind)
        and (timeframe is None or str(one.timeframe) == timeframe)
    ]
    if symbol is None:
        return found
    if is_pattern(symbol):
        return [one for one in found if fnmatchcase(str(one.symbol), symbol)]
    listed = {str(one.symbol): (natives or {}).get(str(one.symbol)) or _joined(one.symbol) for one in found}
    meant = set(meant_symbols(symbol, listed))
    return [one for one in found if str(one.symbol) in meant]


def likely(text: str, known: Sequence[str], count: int = 3) -> list[str]:
    """Return the names that somebody who wrote *text* probably meant, the likeliest first."""
    by_fold = {name.casefold(): name for name in known}
    return [by_fold[fold] for fold in get_close_matches(text.casefold(), list(by_fold), count, 0.6)]


def _joined(symbol: Symbol) -> str:
    return f"{symbol.base}{symbol.quote}" if symbol.base and symbol.quote else ""
