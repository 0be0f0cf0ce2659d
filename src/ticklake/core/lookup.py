"""Lookup: which of the symbols and datasets that are known a text means."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from ticklake.core.dataset import Dataset
from ticklake.core.symbol import Symbol

__all__ = ["absent", "did_you_mean", "is_pattern", "is_plain", "likely", "meant_datasets", "meant_symbols"]


def is_pattern(text: str) -> bool:
    """Whether a text may match several names: it has ``*``, ``?`` or ``[``."""
    return any(mark in text for mark in "*?[")


def absent(names: Iterable[str], known: Container[str]) -> list[str]:
    """Return those of *names* that are not *known*, in their order."""
    return [name for name in names if name not in known]


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
    by_symbol: list[str] = []
    by_native_id: list[str] = []
    for symbol, native in listed.items():
        if symbol.casefold() == folded:
            by_symbol.append(symbol)
        if native.casefold() == folded:
            by_native_id.append(symbol)
    # A unified symbol in another case is nearer to what was written than an exchange's own name.
    return by_symbol or by_native_id


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
    found: list[Dataset] = []
    for dataset in datasets:
        is_timeframe = timeframe is None or str(dataset.timeframe) == timeframe
        if is_timeframe and exchange in (None, dataset.exchange) and kind in (None, dataset.kind_text):
            found.append(dataset)
    if symbol is None:
        return found
    if is_pattern(symbol):
        return [dataset for dataset in found if fnmatchcase(str(dataset.symbol), symbol)]
    native_ids: dict[str, str] = {}
    for dataset in found:
        name = str(dataset.symbol)
        native_ids[name] = (natives or {}).get(name) or _joined(dataset.symbol)
    meant = meant_symbols(symbol, native_ids)
    return [dataset for dataset in found if str(dataset.symbol) in meant]


def likely(text: str, known: Sequence[str], count: int = 3) -> list[str]:
    """Return the names that somebody who wrote *text* probably meant, the likeliest first."""
    by_fold = {name.casefold(): name for name in known}
    return [by_fold[fold] for fold in get_close_matches(text.casefold(), list(by_fold), count, 0.6)]


def did_you_mean(name: object, known: Sequence[str]) -> str:
    """Ask whether the likeliest of the *known* names was meant, if one is likely."""
    close = likely(str(name), known, 1)
    if not close:
        return ""
    return f" (did you mean {close[0]!r}?)"


def _joined(symbol: Symbol) -> str:
    if not symbol.base or not symbol.quote:
        return ""
    return f"{symbol.base}{symbol.quote}"
