"""How answers look: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import typer
from rich.console import Console

__all__ = [
    "big",
    "console",
    "count_of",
    "errors",
    "new_file",
    "print_error",
    "print_json",
    "print_json_rows",
    "print_long_table",
    "print_records",
    "print_table",
    "say",
    "total_of",
]

_WIDE = 100_000
"""Columns of a console on which no table is wrapped."""
_MANY = 1000
"""Tables of more rows are not laid out by rich: it took a minute and a gigabyte for 190,000 rows."""


def console(*, stderr: bool = False, width: int | None = None) -> Console:
    """Return a console that prints texts as they are: to rich, the kind in ``x:book:BTC/USDT`` is the name of an emoji."""
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def say(text: str = "") -> None:
    """Print a line for a person."""
    console().print(text, soft_wrap=True)


def errors() -> Console:
    """Return the console that progress and errors go to."""
    return console(stderr=True)


def print_error(text: str) -> None:
    """Print a line for a person on standard error: standard output holds answers only, so that it can be piped."""
    errors().print(text, soft_wrap=True)


def count_of(number: int, thing: str, things: str = "") -> str:
    """Write how many there are of a thing.

    >>> count_of(1, "hole"), count_of(1200, "row"), count_of(2, "batch", "batches")
    ('1 hole', '1,200 rows', '2 batches')
    """
    if number == 1:
        return f"1 {thing}"
    return f"{number:,} {things or f'{thing}s'}"


def total_of(counts: Sequence[int | None]) -> str:
    """Add up counts of which some may not be known.

    >>> total_of([1200, 3]), total_of([2, None]), total_of([None])
    ('1,203', '2+', '?')
    """
    known = [count for count in counts if count is not None]
    if not known:
        # Nothing is known: a sum of 0 would say that nothing is missing.
        return "?"
    text = f"{sum(known):,}"
    if len(known) < len(counts):
        text += "+"
    return text


def print_json(value: Any) -> None:
    """Print a value as JSON, results in their one form."""
    # Imported on use: it loads polars, which help and tables of texts do not need.
    from ticklake.interfaces.schema import to_json

    indent = None
    if sys.stdout.isatty():
        indent = 2
    # to_json writes NaN as null; Python would write a word that other JSON parsers refuse.
    typer.echo(json.dumps(to_json(value), indent=indent, ensure_ascii=False, allow_nan=False))


def print_json_rows(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows as a JSON array of objects, one a line, without holding their text."""
    before = "["
    for row in rows:
        text = json.dumps(dict(zip(columns, row, strict=True)), default=str, ensure_ascii=False)
        typer.echo(f"{before}{text}", nl=False)
        before = ",\n"
    if before == "[":
        typer.echo("[]")
    else:
        typer.echo("]")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], numbers: Sequence[str] = ()) -> None:
    """Print rows as a table; nothing is cut off: a line is as long as it must be, and a terminal wraps it."""
    texts = [list(map(_as_cell, row)) for row in rows]
    if len(texts) > _MANY:
        return print_long_table(columns, lambda: texts, numbers)
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        if column in numbers:
            table.add_column(column, justify="right", no_wrap=True)
        else:
            table.add_column(column, no_wrap=True)
    for row in texts:
        table.add_row(*row)
    return console(width=_WIDE).print(table, crop=False)


def print_records(columns: Sequence[str], records: Iterable[Mapping[str, Any]], numbers: Sequence[str] = ()) -> None:
    """Print these *columns* of mappings as a table."""
    print_table(columns, ([record[column] for column in columns] for record in records), numbers)


def _as_cell(value: Any) -> str:
    if value is None:
        return ""
    return str(value)


def print_long_table(
    columns: Sequence[str], make_rows: Callable[[], Iterable[Sequence[Any]]], numbers: Sequence[str] = ()
) -> None:
    """Print the same table of rows that are made twice, for their widths and to be printed, and never held; without rich."""
    from rich.cells import cell_len

    widths = list(map(cell_len, columns))
    count = 0
    for row in make_rows():
        count += 1
        for place, cell in enumerate(row):
            widths[place] = max(widths[place], cell_len(_as_cell(cell)))
    if count <= _MANY:
        return print_table(columns, make_rows(), numbers)
    lines: list[str] = []
    is_number = [column in numbers for column in columns]
    for row in chain([columns], make_rows()):
        cells = map(_as_cell, row)
        lines.append("  ".join(map(_padded, cells, widths, is_number)))
        # In portions: all lines as one text would take as much memory again as the cells.
        if len(lines) == _MANY:
            typer.echo("\n".join(lines))
            lines.clear()
    if lines:
        typer.echo("\n".join(lines))
    return None


def _padded(cell: str, width: int, is_number: bool) -> str:
    from rich.cells import cell_len

    # Not str.ljust: a Chinese character is two cells wide.
    blanks = " " * (width - cell_len(cell))
    if is_number:
        return blanks + cell
    return cell + blanks


def big(number: float) -> str:
    """Write a number of bytes the short way.

    >>> big(1536)
    '1.5 KiB'
    """
    if number < 1024:
        return f"{number:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        number /= 1024
        if number < 1024:
            return f"{number:.1f} {unit}"
    return f"{number / 1024:.1f} TiB"


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that appears under its name, in place of an older one, once the block ends well.

    Raises
    ------
    StorageError
        If it cannot be written; what was there stays.
    """
    from ticklake.errors import StorageError

    # Beside the file and not in a temporary folder: a rename is atomic only within one file system.
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as sink:
            yield sink
        part.replace(path)
    except OSError as error:
        raise StorageError(f"{path} could not be written: {error.strerror or error}") from error
    finally:
        # The error that ended the block matters more than a leftover that cannot be removed.
        with suppress(OSError):
            part.unlink(missing_ok=True)
