"""Arguments and options that several commands about feature sets have, and what they share."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from ticklake.interfaces.cli.command import in_shell_words
from ticklake.interfaces.cli.output import print_error

__all__ = ["Exchange", "Knowing", "MaxAge", "SetName", "Symbols", "warned"]

SetName = Annotated[str, typer.Argument(metavar="NAME@VERSION", help="A feature set, like momentum@v3.")]

Symbols = Annotated[list[str] | None, typer.Argument(metavar="[SYMBOL]...", help="All by default.")]

Exchange = Annotated[str | None, typer.Option("--exchange", help="The exchange that the values belong to.")]

MaxAge = Annotated[str | None, typer.Option("--max-age", help="Older values count as none, like 10m.")]

Knowing = Annotated[str, typer.Option("--knowledge", help="default (known_at) or event (ts).")]


@contextmanager
def warned() -> Iterator[None]:
    """Print warnings of the block as lines, without the code that they come from."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        print_error(f"warning: {in_shell_words(str(warning.message), ())}")
