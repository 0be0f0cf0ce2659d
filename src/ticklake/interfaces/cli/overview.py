"""The help of ``ticklake`` itself: its commands by panel, as typer prints the help of commands.

typer's own printer loads what rich has for Markdown and tracebacks, which took a fifth of ``ticklake --help``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ticklake.interfaces.cli.output import console

__all__ = ["print_overview"]

Line = tuple[str, str]
_NAME = "bold cyan"
_BORDER = "dim"


def print_overview(group: Any, context: Any) -> None:
    """Print how a group of commands is used, its options, and its commands by panel.

    Parameters
    ----------
    group, context
        The group of typer, and the context in which its help was asked for.
    """
    out = console()
    out.print(Padding(Text(group.get_usage(context), style="bold"), 1))
    out.print(Padding(Text(group.help), (0, 1, 1, 1)))
    options, panels = list(_options(group, context)), _commands(group, context)
    _print_panel(out, "Options", options, _width(options))
    # The names of all panels are one column.
    width = max(map(_width, panels.values()))
    for title, lines in panels.items():
        _print_panel(out, title, lines, width)


def _options(group: Any, context: Any) -> Iterator[Line]:
    for option in group.get_params(context):
        if not getattr(option, "hidden", False):
            yield ", ".join(option.opts), option.help or ""


def _commands(group: Any, context: Any) -> dict[str, list[Line]]:
    panels: dict[str, list[Line]] = defaultdict(list)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if not command.hidden:
            first_paragraph = (command.help or "").partition("\n\n")[0]
            panels[command.rich_help_panel].append((name, " ".join(first_paragraph.split())))
    return panels


def _width(lines: Sequence[Line]) -> int:
    return max(len(name) for name, _ in lines)


def _print_panel(out: Console, title: str, lines: Sequence[Line], width: int) -> None:
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(style=_NAME, no_wrap=True, width=width)
    table.add_column(ratio=1)
    for name, text in lines:
        table.add_row(name, text)
    out.print(Panel(table, title=title, title_align="left", border_style=_BORDER))
