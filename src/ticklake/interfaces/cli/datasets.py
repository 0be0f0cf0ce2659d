"""How commands name data, all in one way: a dataset, or an exchange and a symbol with options, or a pattern."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.output import count_of, print_error

if TYPE_CHECKING:
    import polars as pl

    from ticklake.core.dataset import Dataset
    from ticklake.errors import UnknownDataset
    from ticklake.lake import Lake
    from ticklake.lake.view import View

__all__ = [
    "Datasets",
    "OneDataset",
    "all_of",
    "as_dataset",
    "chosen",
    "complete_names",
    "is_name",
    "named_some",
    "note_if_empty",
    "only",
    "some_of",
    "to_collect",
]

_EXAMPLE = "binance:ohlcv:1h:BTC/USDT"
_LISTED = 5
"""Names that an error lists; the others are counted."""


def complete_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the names in the lake that complete what is being typed; nothing if there is no lake."""
    from ticklake.errors import TicklakeError

    words = list(filter(None, ctx.params.get("what") or []))
    # An error would be printed into the line that the user is typing.
    try:
        with o.opened(ctx.params.get("lake_path")) as lake:
            known = lake.datasets()
    except (TicklakeError, OSError):
        return []
    # Where a shell breaks words at colons, as bash does, the pieces before the last colon arrive as words of their own.
    typed = "".join([*words, incomplete])
    # EXCHANGE SYMBOL is being typed.
    if words and ":" not in typed:
        exchange = words[0].lower()
        symbols = _symbols_of(dataset for dataset in known if dataset.exchange == exchange)
        return [symbol for symbol in symbols if symbol.startswith(incomplete)]
    names = set(map(str, known))
    if not words:
        names.update(_exchanges_of(known))
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
    """Whether a word is a dataset's name or a pattern of names: neither an exchange nor a symbol like ``BTC/USDT:USDT``."""
    before, colon, _ = word.partition(":")
    return bool(colon) and "/" not in before


def chosen(lake: Lake, what: Sequence[str] | None, timeframe: str | None, kind: str | None) -> list[Dataset]:
    """Return the datasets that the words and options of a command name; without any, all of the lake.

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
    if not all(map(str.strip, words)):
        raise BadInput(f"'' names no dataset: write a name like {_EXAMPLE}, or EXCHANGE SYMBOL")
    if any(map(is_name, words)) or (len(words) == 1 and is_pattern(words[0])):
        # Keys of a dict are a set that keeps the order in which they were named.
        named: dict[Dataset, None] = {}
        for word in words:
            named.update(dict.fromkeys(_datasets_named(lake, word)))
        return _filtered(list(named), words, timeframe, kind)
    if len(words) > 2:
        raise BadInput(f"{' '.join(words)!r} names no one dataset: write EXCHANGE SYMBOL, or names like {_EXAMPLE}")
    _refuse_swapped(words)
    parts = _NameParts(timeframe=timeframe, kind=kind)
    if words:
        parts = replace(parts, exchange=words[0])
    if len(words) == 2:
        parts = replace(parts, symbol=words[1])
    return _datasets_of(lake, parts)


def all_of(lake: Lake, what: Sequence[str] | None, timeframe: str | None, kind: str | None) -> list[Dataset] | None:
    """Return the datasets that are named, or ``None`` if nothing is: then the whole lake is meant."""
    if what or timeframe or kind:
        return chosen(lake, what, timeframe, kind)
    return None


def named_some(lake: Lake, what: Sequence[str] | None, timeframe: str | None, kind: str | None) -> list[Dataset]:
    """Return the datasets that are named, for commands that refuse to take all of them by default."""
    from ticklake.errors import BadInput

    if not what:
        raise BadInput(f"which dataset? Write a name, like {_EXAMPLE}, or a pattern")
    return chosen(lake, what, timeframe, kind)


def only(
    lake: Lake, what: Sequence[str] | None, timeframe: str | None, kind: str | None, *, default: bool = True
) -> Dataset:
    """Return the one dataset that is named.

    If an exchange and a symbol match several, bars are meant with a timeframe and trades without one, as in every command;
    without *default* that is an error.

    Raises
    ------
    UnknownDataset, BadInput
    """
    from ticklake.core.requests import usual_kind
    from ticklake.errors import BadInput

    matching = named_some(lake, what, timeframe, kind)
    words = list(what or ())
    # Two names are two datasets, each as good as the other.
    are_names = len(words) > 1 and any(map(is_name, words))
    if len(matching) > 1 and default and not are_names and len(_symbols_of(matching)) == 1:
        usual = usual_kind(timeframe)
        matching = [dataset for dataset in matching if dataset.kind_text == usual] or matching
    if len(matching) > 1:
        raise BadInput(f"{' '.join(words)} may be {some_of(list(map(str, matching)))}: say which")
    return matching[0]


def as_dataset(words: Sequence[str], timeframe: str | None, kind: str | None) -> Dataset:
    """Return the dataset that words and options name, whether the lake has it or not.

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
    from ticklake.core.dataset import Dataset, refuse_derived
    from ticklake.errors import BadInput

    if not is_name(what[0]):
        _refuse_swapped(what)
        return what[0].lower(), what[1:], timeframe, kind
    datasets = [refuse_derived(Dataset.parse(name)) for name in what]
    # One request has one kind and one timeframe: several would need several runs.
    first = datasets[0]
    for dataset in datasets:
        if (dataset.exchange, dataset.kind, dataset.timeframe) != (first.exchange, first.kind, first.timeframe):
            raise BadInput(
                "datasets that are collected together differ in their symbols only: name others with a command each"
            )
    if timeframe not in (None, first.timeframe_text) or kind not in (None, first.kind):
        raise BadInput(f"{first} and {timeframe or kind} contradict each other: a name says all of it")
    return first.exchange, [str(dataset.symbol) for dataset in datasets], first.timeframe_text, first.kind


def some_of(names: Sequence[str], between: str = ", ", most: int = _LISTED) -> str:
    """Write the first names of many, and how many more there are.

    >>> some_of(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    text = between.join(names[:most])
    if len(names) > most:
        text += f" and {len(names) - most:,} more"
    return text


def note_if_empty(answer: pl.DataFrame, view: View, datasets: Iterable[Dataset], hint: str = "") -> None:
    """Say on standard error from when to when there are rows, if an answer has none; the answer itself may go into another program."""
    import polars as pl

    if answer.height:
        return None
    names = list(map(str, datasets))
    held = view.inventory().filter(pl.col("dataset").is_in(names), pl.col("rows") > 0)
    if not held.height:
        return print_error(f"note: {some_of(names)} has no rows")
    count = count_of(int(held["rows"].sum()), "row")
    first, last = held.select(pl.col("first").min(), pl.col("last").max().alias("last")).cast(pl.Int64).row(0)
    text = f"the {count} of {some_of(held['dataset'].to_list())} are from {o.moment(first)} to {o.moment(last)}"
    return print_error(f"note: no row fits what is asked: {text}{hint}")


def _refuse_swapped(words: Sequence[str]) -> None:
    """Refuse ``BTC/USDT binance``: the exchange comes first."""
    from ticklake.errors import BadInput

    if len(words) > 1 and "/" in words[0] and "/" not in words[1]:
        raise BadInput(f"{words[0]!r} is not an exchange: did you mean '{words[1]} {words[0]}'?")


def _exchanges_of(datasets: Iterable[Dataset]) -> list[str]:
    return sorted({dataset.exchange for dataset in datasets})


def _symbols_of(datasets: Iterable[Dataset]) -> list[str]:
    return sorted({str(dataset.symbol) for dataset in datasets})


@dataclass(frozen=True, slots=True)
class _NameParts:
    """The parts of a dataset's name as a user wrote them; those that are ``None`` were left out."""

    exchange: str | None = None
    symbol: str | None = None
    timeframe: str | None = None
    kind: str | None = None

    def __str__(self) -> str:
        return " ".join(filter(None, (self.exchange, self.symbol, self.timeframe, self.kind)))


def _datasets_named(lake: Lake, word: str) -> list[Dataset]:
    """Return the datasets that a name or a pattern of names matches."""
    from ticklake.core.dataset import Dataset
    from ticklake.core.lookup import is_pattern

    known = lake.datasets()
    if is_pattern(word):
        matching = [dataset for dataset in known if dataset.matches(word)]
        if not matching:
            raise _unknown(lake, word, _NameParts())
        return matching
    exchange, colon, rest = word.partition(":")
    dataset = Dataset.parse(f"{exchange.lower()}{colon}{rest}")
    if dataset in known:
        return [dataset]
    # Not under this name: its symbol may be a native id, or written in another case.
    parts = _NameParts(dataset.exchange, str(dataset.symbol), dataset.timeframe_text, dataset.kind_text)
    return _datasets_of(lake, parts, name=str(dataset))


def _datasets_of(lake: Lake, parts: _NameParts, name: str = "") -> list[Dataset]:
    """Return the datasets that parts of a name match; errors show *name* if it was written as a whole."""
    from ticklake.core.kinds import kind_of
    from ticklake.core.lookup import is_pattern, meant_datasets
    from ticklake.core.timeframe import normal_timeframe
    from ticklake.errors import BadInput

    timeframe = normal_timeframe(parts.timeframe)
    if parts.kind is not None and "@" not in parts.kind:
        # Refuses an unknown kind.
        kind_of(parts.kind)
    exchange = parts.exchange
    native_ids: dict[str, str] = {}
    if exchange is not None:
        exchange = exchange.lower()
    if exchange and parts.symbol:
        native_ids = _native_ids(lake, exchange)
    matching = meant_datasets(lake.datasets(), exchange, parts.symbol, timeframe, parts.kind, native_ids)
    if str(parts) and not matching:
        if not name and parts.exchange and parts.symbol and (timeframe or parts.kind):
            name = str(as_dataset([parts.exchange, parts.symbol], timeframe, parts.kind))
        raise _unknown(lake, name or str(parts), replace(parts, timeframe=timeframe))
    symbols = _symbols_of(matching)
    if parts.symbol is not None and len(symbols) > 1 and not is_pattern(parts.symbol):
        raise BadInput(f"{parts.symbol} may be {some_of(symbols)} on {exchange}: say which")
    return matching


def _native_ids(lake: Lake, exchange: str) -> dict[str, str]:
    from ticklake.core.symbol import check_exchange

    listed = lake.instruments.list(check_exchange(exchange))
    return dict(zip(listed["symbol"], listed["native_id"].fill_null(""), strict=True))


def _filtered(named: list[Dataset], words: Sequence[str], timeframe: str | None, kind: str | None) -> list[Dataset]:
    """Return those of the *named* datasets that have the timeframe and the kind of the options."""
    from ticklake.core.lookup import meant_datasets
    from ticklake.core.timeframe import normal_timeframe
    from ticklake.errors import BadInput

    matching = meant_datasets(named, None, None, normal_timeframe(timeframe), kind)
    if not matching:
        raise BadInput(f"{' '.join(words)} and {' '.join(filter(None, (timeframe, kind)))} contradict each other")
    return matching


def _unknown(lake: Lake, name: str, parts: _NameParts) -> UnknownDataset:
    """Return the error about data that the lake does not have, with what was probably meant."""
    from ticklake.core.lookup import likely
    from ticklake.errors import UnknownDataset

    known = lake.datasets()
    cure = _cure(known, name)
    if cure:
        return UnknownDataset(f"the lake has no {name}: {cure}")
    known = sorted(known, key=lambda dataset: dataset.variant is not None)
    if parts.symbol is not None:
        hints = list(map(str, _nearest(known, parts, parts.symbol)))
    elif parts.exchange is not None:
        hints = likely(parts.exchange, _exchanges_of(known))
    else:
        hints = likely(name, list(map(str, known)))
    if hints:
        return UnknownDataset(f"the lake has no {name}: did you mean {some_of(hints[:3], ' or ')}?")
    text = f"the lake has no {name}: 'ticklake list' shows what it holds"
    if parts.symbol is None:
        text += f"; datasets are named like {_EXAMPLE}, or EXCHANGE SYMBOL with -t"
    return UnknownDataset(text)


def _cure(known: Sequence[Dataset], name: str) -> str:
    """Say how bars of this name can be made of what the lake has; empty if they cannot, or it is no whole name."""
    from ticklake.core.dataset import Dataset
    from ticklake.errors import BadInput
    from ticklake.lake.arguments import cure_of

    try:
        return cure_of(known, Dataset.parse(name))
    except BadInput:
        return ""


def _nearest(known: Sequence[Dataset], parts: _NameParts, symbol: str) -> list[Dataset]:
    """Return the datasets that are nearest to what was written: each part narrows them down if any are left by it."""
    from ticklake.core.lookup import likely

    symbols = likely(symbol, _symbols_of(known))
    exchanges = likely(parts.exchange or "", _exchanges_of(known))
    nearest = [dataset for dataset in known if str(dataset.symbol) in symbols]
    conditions: list[Callable[[Dataset], bool]] = [
        lambda dataset: dataset.exchange in exchanges,
        # Who names no variant means collected rows, not those that are made of them.
        lambda dataset: "@" in (parts.kind or "") or dataset.variant is None,
        lambda dataset: parts.kind in (None, dataset.kind_text),
        lambda dataset: parts.timeframe in (None, str(dataset.timeframe)),
        lambda dataset: str(dataset.symbol) == symbols[0],
    ]
    for condition in conditions:
        nearest = list(filter(condition, nearest)) or nearest
    return nearest
