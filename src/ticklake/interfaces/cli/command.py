"""What all commands share: an option that counts once is given once, and errors name options and commands, not Python."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from typer.core import TyperCommand

from ticklake.errors import TicklakeError
from ticklake.interfaces.cli.remote import refuse_served

__all__ = ["Command", "in_shell_words"]

_CALLS: tuple[tuple[str, str], ...] = (
    (r"lake\.resample\('([^']*)', '([^']*)'\)", r"'ticklake resample \1 --to \2'"),
    (r"lake\.quarantine\('([^']*)'\)", r"'ticklake quarantine \1'"),
    (r"lake\.derive\(\.\.\.\)", "'ticklake derive add'"),
    (r"lake\.derived\.drop\('([^']*)'\)", r"'ticklake derive drop \1'"),
    (r"lake\.features\.register\(\)", "'ticklake features register NAME@VERSION --column ...'"),
    (r"lake\.features\.(\w+)\(\)", r"'ticklake features \1'"),
    (r"lake\.(\w+)\(\)", r"'ticklake \1'"),
)
"""How the calls that errors propose are written in a shell."""


class Command(TyperCommand):
    """A command of ticklake."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; of an option that is given twice typer would take the last value, and say nothing."""
        if not ctx.resilient_parsing:
            _, _, given = self.make_parser(ctx).parse_args(args=list(args))
            _refuse_repeated(given, ctx)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        refuse_served(ctx)
        try:
            return super().invoke(ctx)
        except TicklakeError as error:
            error.args = (in_shell_words(str(error), self.params), *error.args[1:])
            raise


def _refuse_repeated(given: Iterable[Any], ctx: Any) -> None:
    """Refuse an option that is given twice and has one value."""
    seen: set[str] = set()
    for param in given:
        if param.param_type_name != "option" or param.multiple or param.is_flag:
            continue
        if param.name in seen:
            ctx.fail(f"option {param.opts[0]} is given twice, and has one value: give it once.")
        seen.add(param.name)


def in_shell_words(text: str, params: Iterable[Any]) -> str:
    """Return the text of an error with options like ``--start`` instead of arguments like ``start=``, and commands instead of calls."""
    for call, command in _CALLS:
        text = re.sub(call, command, text)
    if "(--" in text:
        # It names the option beside the argument already.
        return text
    for param in params:
        if param.param_type_name == "option":
            # Not inside of texts like exchange=binance/kind=ohlcv, which are paths.
            text = re.sub(rf"(?<![\w/='\"]){param.name}=(?:True|False)?(?=(\S)?)", _option_of(param.opts[0]), text)
    return text


def _option_of(name: str) -> Any:
    """Return what puts an option in the place of an argument; a value that follows is set off."""

    def replaced(found: re.Match[str]) -> str:
        following = found.group(1)
        if following is None or following in ",.;:)":
            return name
        return f"{name} "

    return replaced
