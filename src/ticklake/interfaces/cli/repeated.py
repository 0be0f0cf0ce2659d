"""Options that are given twice."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

from ticklake.errors import BadInput

__all__ = ["Command"]


class Command(TyperCommand):
    """A command that refuses an option which is given twice and has one value: the first of them would be lost without a word."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words after the name of the command."""
        if not ctx.resilient_parsing:
            # Read twice: what click keeps afterwards does not tell how often an option was given.
            _values, _rest, given = self.make_parser(ctx).parse_args(list(args))
            _refuse_repeated(given)
        return super().parse_args(ctx, args)


def _refuse_repeated(given: list[Any]) -> None:
    seen: set[str] = set()
    for option in given:
        if option.param_type_name != "option" or option.multiple or option.is_flag:
            continue
        if option.name in seen:
            name = max(option.opts, key=len)
            raise BadInput(
                f"{name} is given twice: pass it once; several names are separated by commas where it takes them"
            )
        seen.add(option.name)
