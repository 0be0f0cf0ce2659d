"""The commands ``features materialise`` and ``features verify``, which call functions of the user's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.feature_diff import show_rows
from ticklake.interfaces.cli.feature_options import Exchange, SetName, Symbols, warned
from ticklake.interfaces.cli.output import count_of, print_error, print_json, say
from ticklake.interfaces.cli.progress import watching

__all__ = ["function_of", "materialise", "verify"]

Function = Annotated[
    str, typer.Argument(metavar="MODULE:FUNCTION", help="The function that makes the values, found from this folder.")
]
OptionTexts = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="NAME=VALUE", help="An option of the frames, like window=60m. May be repeated."),
]


def materialise(
    name: SetName,
    function: Function,
    exchange: o.ExchangeName,
    symbols: Annotated[list[str], typer.Argument(metavar="SYMBOL...")],
    every: Annotated[str, typer.Option("--every", help="How far apart the instants are, like 5m.")],
    start: o.Start = None,
    end: o.End = None,
    again: Annotated[bool, typer.Option("--again", help="Compute anew what is there.")] = False,
    knowledge: Annotated[
        str, typer.Option("--knowledge", help="What a frame may know: default, received or event.")
    ] = "default",
    options: OptionTexts = None,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Call a function at instants of the past, and store its values; what is there already is not computed again."""
    from ticklake.core.knowledge import parse_knowledge

    fn = function_of(function)
    with (
        _called(function),
        warned(),
        o.opened(lake_path) as lake,
        watching(f"materialise {name}", quiet=as_json) as watch,
    ):
        done = lake.features.materialise(
            name,
            None,
            fn,
            exchange,
            symbols,
            every=every,
            start=start,
            end=end,
            again=again,
            knowledge=parse_knowledge(knowledge),
            watch=watch,
            **_options(options),
        )
    if as_json:
        return print_json(done)
    counts = f"{done.computed:,} computed, {done.skipped:,} there already, {done.without_row:,} without a row"
    return say(f"{count_of(done.instants, 'instant')}: {counts}; {done.new:,} new rows, {done.changed:,} changed")


def verify(
    name: SetName,
    function: Function,
    symbols: Symbols = None,
    day: Annotated[str | None, typer.Option("--day", help="A UTC day, instead of --start and --end.")] = None,
    start: o.Start = None,
    end: o.End = None,
    exchange: Exchange = None,
    options: OptionTexts = None,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Call a function anew, instant by instant as a live program does, and compare its values with the stored ones bit for bit.

    Exit code 3: they differ.
    """
    fn = function_of(function)
    with _called(function), o.opened(lake_path) as lake, watching(f"verify {name}", quiet=as_json) as watch:
        diff = lake.features.verify(
            name,
            None,
            fn,
            day=day,
            start=start,
            end=end,
            symbols=symbols or None,
            exchange=exchange,
            watch=watch,
            **_options(options),
        )
    if as_json:
        print_json(diff)
    else:
        compared = diff.equal + diff.changed + diff.removed + diff.added
        say(f"{count_of(compared, 'row')} compared: {diff.equal:,} equal, {compared - diff.equal:,} different")
        show_rows(diff, 20)
    if not diff.is_empty:
        raise typer.Exit(3)


def _options(texts: Sequence[str] | None) -> dict[str, Any]:
    from ticklake.errors import BadInput

    options: dict[str, Any] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise BadInput(f"--option {text!r} has no value: write it like window=60m")
        if name in options:
            raise BadInput(f"--option {text!r} is given twice: give it once, with commas between names")
        options[name] = _value_of(value)
    return options


def _value_of(text: str) -> str | int | list[str]:
    if text.isdecimal():
        return int(text)
    if "," in text:
        return list(map(str.strip, text.split(",")))
    return text


@contextmanager
def _called(function: str) -> Iterator[None]:
    """Print an error of the user's function as one line, without the frames of Python that lead to it."""
    from ticklake.query.materialise import instant_of_error

    try:
        yield
    except Exception as error:
        place = instant_of_error(error)
        if place is None:
            raise
        text = " ".join(str(error).split())
        print_error(
            f"error: {function} raised {type(error).__name__} for {place}: {text}; what was committed before is kept"
        )
        raise typer.Exit(1) from None


def function_of(text: str) -> Callable[..., Any]:
    """Return the function that a text like ``features:momentum`` names, found from the working directory.

    Raises
    ------
    BadInput
        If there is none.
    """
    import importlib
    import sys

    from ticklake.errors import BadInput

    module_name, colon, name = text.partition(":")
    if not colon or not module_name or not name:
        raise BadInput(f"{text!r} names no function: write it like module:function")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found: Any = importlib.import_module(module_name)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise BadInput(f"{text!r} cannot be found ({error}): run this from the folder that has the module") from error
    except Exception as error:
        # A module is a program: it may raise anything.
        raise BadInput(f"{text!r} cannot be imported ({type(error).__name__}: {error}): correct the module") from error
    if not callable(found):
        raise BadInput(f"{text!r} is no function: name one")
    return found  # type: ignore[no-any-return]
