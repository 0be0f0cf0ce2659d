"""How commands name data, all in one way: a dataset, or an exchange and a symbol with options, or a pattern."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ticklake.interfaces.cli import options as o

if TYPE_CHECKING:
    from ticklake.core.dataset import Dataset
    from ticklake.errors import UnknownDataset
    from ticklake.lake import Lake

__all__ = [
    "Datasets",
    "OneDataset",
    "all_of",
    "as_dataset",
    "chosen",
    "complete_names",
    "is_name",
    "named_some",
    "only",
]

_LISTED = 5


def complete_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the names of the lake that what is being typed may become; nothing if there is no lake."""
    from ticklake.errors import TicklakeError

    words = [word for word in ctx.params.get("what") or [] if word]
    try:
        with o.opened(ctx.params.get("lake_path")) as lake:
            known = lake.datasets()
    except (TicklakeError, OSError):
        return []
    # Where a shell breaks words at colons, as bash does, the pieces before the last colon arrive as words of their own.
    typed = "".join([*words, incomplete])
    if words and ":" not in typed:
        exchange = words[0].lower()
        symbols = {str(dataset.symbol) for dataset in known if dataset.exchange == exchange}
        return sorted(symbol for symbol in symbols if symbol.startswith(incomplete))
    names = {str(dataset) for dataset in known}
    if not words:
        names |= {dataset.exchange for dataset in known}
    before = len(typed) - len(incomplete)
    return sorted(name[before:] for name in names if name.startswith(typed))


Datasets = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[DATASET]... | [EXCHANGE [SYMBOL]]",
        help="Like binance:ohlcv:1h:BTC/USDT, 'binance:*', or binance BTC/USDT with -t or -k. [default: all]",
        autocompletion=complete_names,
        show_default=False,
    ),
]
OneDataset = Annotated[
    list[str],
    typer.Argument(
        metavar="DATASET | EXCHANGE SYMBOL",
        help="Like binance:ohlcv:1h:BTC/USDT, or binance BTC/USDT with -t or -k.",
        autocompletion=complete_names,
        show_default=False,
    ),
]


def is_name(word: str) -> bool:
    """Whether a word is a dataset's name or a pattern of names, and no exchange; symbols have a slash before the colon."""
    before, colon, _ = word.partition(":")
    return bool(colon) and "/" not in before


def chosen(lake: Lake, what: Sequence[str] | None, timeframe: str | None, kind: str | None) -> list[Dataset]:
    """Return the datasets that the words and options of a command name; what is left out names all.

    Raises
    ------
    UnknownDataset
        If the lake has nothing like it: the likely ones are named.
    BadInput
        If a word is empty, or a symbol may be one of several.
    """
    from ticklake.core.lookup import is_pattern
    from ticklake.errors import BadInput

    words = list(what or [])
    if not all(word.strip() for word in words):
        raise BadInput(f"'' names no dataset: write a name like {_EXAMPLE}, or EXCHANGE SYMBOL")
    if any(map(is_name, words)) or (len(words) == 1 and is_pattern(words[0])):
        named: dict[Dataset, None] = {}
        for word in words:
            named.update(dict.fromkeys(_named(lake, word)))
        return _filtered(list(named), words, timeframe, kind)
    if len(words) > 2:
        raise BadInput(f"{' '.join(words)!r} names no one dataset: write EXCHANGE SYMBOL, or names like {_EXAMPLE}")
    exchange = words[0] if words else None
    symbol = words[1] if len(words) > 1 else None
    if exchange and symbol and "/" in exchange and "/" not in symbol:
        raise BadInput(f"{exchange!r} is not an exchange: did you mean '{symbol} {exchange}'?")
    return _by_parts(lake, exchange, symbol, timeframe, kind)


def all_of(lake: Lake, what: Sequence[str] | None, timeframe: str | None, kind: str | None) -> list[Dataset] | None:
    """Return the datasets that are named, or ``None`` if nothing is: then the whole lake is meant."""
    if what or timeframe or kind:
        return chosen(lake, what, timeframe, kind)
    return None


def named_some(lake: Lake, what: Sequence[str] | None, timeframe: str | None, kind: str | None) -> list[Dataset]:
    """Return the datasets that are named, for commands that never take all of them without being told."""
    from ticklake.errors import BadInput

    if not what:
        raise BadInput(f"which dataset? Write a name, like {_EXAMPLE}, or a pattern")
    return chosen(lake, what, timeframe, kind)


def only(
    lake: Lake, what: Sequence[str] | None, timeframe: str | None, kind: str | None, *, default: bool = True
) -> Dataset:
    """Return the one dataset that is named.

    Where an exchange and a symbol leave several, bars are meant if a timeframe is given and trades if not, as everywhere;
    without *default* they must be told apart.

    Raises
    ------
    UnknownDataset, BadInput
    """
    from ticklake.core.requests import usual_kind
    from ticklake.errors import BadInput

    found = named_some(lake, what, timeframe, kind)
    if len(found) > 1 and default and len({dataset.symbol for dataset in found}) == 1:
        usual = usual_kind(timeframe)
        found = [dataset for dataset in found if dataset.kind == usual] or found
    if len(found) > 1:
        raise BadInput(f"{' '.join(what or ())} may be {_few(list(map(str, found)))}: say which")
    return found[0]


def as_dataset(words: Sequence[str], timeframe: str | None, kind: str | None) -> Dataset:
    """Return the dataset that is written, whether the lake has it or not.

    Raises
    ------
    InvalidName
        If it cannot be one.
    """
    from ticklake.core.dataset import Dataset
    from ticklake.core.requests import usual_kind
    from ticklake.errors import InvalidName

    if len(words) == 1:
        return Dataset.parse(words[0])
    if len(words) != 2:
        raise InvalidName(f"{' '.join(words)!r} is no dataset: write EXCHANGE SYMBOL, or a name like {_EXAMPLE}")
    return Dataset.of(words[0].lower(), words[1], kind or usual_kind(timeframe), timeframe)


def to_collect(
    what: list[str], timeframe: str | None, kind: str | None
) -> tuple[str, list[str], str | None, str | None]:
    """Return exchange, symbols, timeframe and kind of what is to be collected: EXCHANGE SYMBOL..., or names of datasets."""
    from ticklake.core.dataset import Dataset
    from ticklake.errors import BadInput

    if not is_name(what[0]):
        swapped = "/" in what[0] and len(what) > 1 and "/" not in what[1]
        if swapped:
            raise BadInput(f"{what[0]!r} is not an exchange: did you mean '{what[1]} {what[0]}'?")
        return what[0].lower(), what[1:], timeframe, kind
    datasets = [Dataset.parse(word) for word in what]
    alike = {(dataset.exchange, dataset.kind, dataset.timeframe) for dataset in datasets}
    if len(alike) > 1:
        raise BadInput(
            "datasets that are collected together differ in their symbols only: name others with a command each"
        )
    first = datasets[0]
    frame = None if first.timeframe is None else str(first.timeframe)
    if timeframe not in (None, frame) or kind not in (None, first.kind):
        raise BadInput(f"{first} and {timeframe or kind} contradict each other: a name says all of it")
    return first.exchange, [str(dataset.symbol) for dataset in datasets], frame, first.kind


_EXAMPLE = "binance:ohlcv:1h:BTC/USDT"


def _named(lake: Lake, word: str) -> list[Dataset]:
    from ticklake.core.dataset import Dataset
    from ticklake.core.lookup import is_pattern

    if is_pattern(word):
        found = [dataset for dataset in lake.datasets() if dataset.matches(word)]
        if not found:
            raise _unknown(lake, word)
        return found
    exchange, colon, rest = word.partition(":")
    dataset = Dataset.parse(f"{exchange.lower()}{colon}{rest}")
    known = lake.datasets()
    if dataset in known:
        return [dataset]
    frame = None if dataset.timeframe is None else str(dataset.timeframe)
    parts = (dataset.exchange, str(dataset.symbol), frame, dataset.kind)
    return _by_parts(lake, *parts, shown=str(dataset))


def _by_parts(
    lake: Lake, exchange: str | None, symbol: str | None, timeframe: str | None, kind: str | None, shown: str = ""
) -> list[Dataset]:
    from ticklake.core.kinds import kind_of
    from ticklake.core.lookup import is_pattern, meant_datasets
    from ticklake.core.timeframe import Timeframe
    from ticklake.errors import BadInput

    frame = None if timeframe is None else str(Timeframe.parse(timeframe))
    if kind is not None:
        kind_of(kind)
    place = None if exchange is None else exchange.lower()
    natives = _natives(lake, place) if place and symbol else {}
    found = meant_datasets(lake.datasets(), place, symbol, frame, kind, natives)
    said = [word for word in (exchange, symbol, timeframe, kind) if word]
    if said and not found:
        if exchange and symbol and (frame or kind):
            shown = shown or str(as_dataset([exchange, symbol], frame, kind))
        raise _unknown(lake, shown or " ".join(said), exchange, symbol, frame, kind)
    symbols = sorted({str(dataset.symbol) for dataset in found})
    if symbol is not None and len(symbols) > 1 and not is_pattern(symbol):
        raise BadInput(f"{symbol} may be {_few(symbols)} on {place}: say which")
    return found


def _natives(lake: Lake, exchange: str) -> dict[str, str]:
    from ticklake.core.symbol import check_exchange

    listed = lake.instruments.list(check_exchange(exchange))
    return {symbol: native or "" for symbol, native in listed.select("symbol", "native_id").iter_rows()}


def _filtered(found: list[Dataset], words: Sequence[str], timeframe: str | None, kind: str | None) -> list[Dataset]:
    from ticklake.core.lookup import meant_datasets
    from ticklake.core.timeframe import Timeframe
    from ticklake.errors import BadInput

    frame = None if timeframe is None else str(Timeframe.parse(timeframe))
    kept = meant_datasets(found, None, None, frame, kind)
    if not kept:
        raise BadInput(f"{' '.join(words)} and {' '.join(filter(None, (timeframe, kind)))} contradict each other")
    return kept


def _unknown(
    lake: Lake,
    said: str,
    exchange: str | None = None,
    symbol: str | None = None,
    timeframe: str | None = None,
    kind: str | None = None,
) -> UnknownDataset:
    """Return the error about data that the lake does not have, with what was probably meant."""
    from ticklake.core.lookup import likely
    from ticklake.errors import UnknownDataset

    known = lake.datasets()
    if symbol is not None:
        hints = list(map(str, _near(known, exchange, symbol, timeframe, kind)))
    elif exchange is not None:
        hints = likely(exchange, sorted({dataset.exchange for dataset in known}))
    else:
        hints = likely(said, list(map(str, known)))
    if hints:
        return UnknownDataset(f"the lake has no {said}: did you mean {_few(hints[:3], ' or ')}?")
    text = f"the lake has no {said}: 'ticklake list' shows what it holds"
    if symbol is None:
        text += f"; datasets are named like {_EXAMPLE}, or EXCHANGE SYMBOL with -t"
    return UnknownDataset(text)


def _near(
    known: Sequence[Dataset], exchange: str | None, symbol: str, timeframe: str | None, kind: str | None
) -> list[Dataset]:
    """Return the datasets that are nearest to what was written: each part narrows them if it leaves any."""
    from ticklake.core.lookup import likely

    symbols = likely(symbol, sorted({str(dataset.symbol) for dataset in known}))
    exchanges = likely(exchange or "", sorted({dataset.exchange for dataset in known}))
    near = [dataset for dataset in known if str(dataset.symbol) in symbols]
    narrower: list[Callable[[Dataset], bool]] = [
        lambda dataset: dataset.exchange in exchanges,
        lambda dataset: kind in (None, dataset.kind),
        lambda dataset: timeframe in (None, str(dataset.timeframe)),
        lambda dataset: str(dataset.symbol) == symbols[0],
    ]
    for fits in narrower:
        near = list(filter(fits, near)) or near
    return near


def _few(names: Sequence[str], between: str = ", ") -> str:
    text = between.join(names[:_LISTED])
    if len(names) > _LISTED:
        text += f" and {len(names) - _LISTED:,} more"
    return text
