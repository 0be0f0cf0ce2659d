"""The command ``book``: an order book as a ladder, or as rows."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated

import typer

from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.datasets import OneDataset, only
from ticklake.interfaces.cli.output import console, print_error
from ticklake.interfaces.cli.read import Format, Limit, Output, format_of

if TYPE_CHECKING:
    from ticklake.core.book import Book
    from ticklake.core.dataset import Dataset

__all__ = ["Line", "book", "ladder"]

Line = list[tuple[str, str]]
"""A line: texts, each with its style in rich's words."""
_LEVELS = 10
_BAR, _PLAIN_BAR = "█", "#"
_COLOURS = {"bid": "green", "ask": "red"}
_NARROWEST_BAR = 4
_HEADS = ("price", "amount", "sum")
_DIGITS = 6
"""Figures that are computed are rounded to so many digits."""


def book(
    what: OneDataset,
    at: Annotated[
        str | None, typer.Option("--at", help="As it was at this time, that instant included. [default: now]")
    ] = None,
    depth: o.Depth = None,
    knowledge: Annotated[
        str,
        typer.Option(
            "--knowledge",
            help="default: what was known at that time; received: what was received by then; event: all that happened until then.",
        ),
    ] = "default",
    form: Format = None,
    output: Output = None,
    limit: Limit = 40,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Draw an order book: asks above bids, with the amounts up to each level. With a format, print its levels as rows."""
    from ticklake.interfaces.cli.formats import write_rows

    form = format_of(form, as_json=as_json)
    # A ladder is for people: whoever names a format or a file wants rows.
    is_drawn = form is None and output is None
    if is_drawn and depth is None:
        depth = _LEVELS
    with o.opened(lake_path) as lake:
        dataset = only(lake, what, None, "book")
        found = lake.book(dataset.exchange, str(dataset.symbol), at, depth, knowledge)  # type: ignore[arg-type]
    # On standard error: the rows may go into a file or another program.
    for note in _notes(found):
        print_error(f"note: {note}")
    if not is_drawn:
        write_rows(found, form, output, limit)
    elif not found.reason:
        _print(ladder(found, dataset, get_terminal_size().columns, _bar()))


def _print(lines: Iterator[Line]) -> None:
    from rich.text import Text

    printer = console(width=get_terminal_size().columns)
    for line in lines:
        printer.print(Text.assemble(*line, end=""), soft_wrap=True)


def _bar() -> str:
    try:
        _BAR.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return _PLAIN_BAR
    return _BAR


def _notes(found: Book) -> Iterator[str]:
    """Say why there is no book, or what is wrong with it."""
    if found.reason:
        yield found.reason
        return
    if "crossed" in found.flags:
        yield "the book is crossed: the best bid is not below the best ask"
    for stretch in found.stretches:
        yield f"changes are missing {stretch.span}: {stretch.reason or 'not fetched yet'}"
    if "stale" in found.flags:
        yield "nothing is known of the time after the last change: the book may be an old one"


def ladder(found: Book, dataset: Dataset, width: int = 80, bar: str = _BAR) -> Iterator[Line]:
    """Yield the lines of a ladder that fits into *width* columns."""
    from ticklake.core.time import format_time

    yield [(f"{dataset} at {format_time(found.ts or 0)}", "bold"), (f" (proof: {found.proof})", "dim")]
    asks, bids = _Side.of(found, "ask"), _Side.of(found, "bid")
    widths: list[int] = []
    for head, *cells in zip(_HEADS, *asks.cells, *bids.cells, strict=True):
        widths.append(max(len(head), *map(len, cells)))
    room = max(width - sum(widths) - 2 * len(widths) - 1, _NARROWEST_BAR)
    # The longest bar is that of the side with more on it: bars of both are compared.
    scale = _Scale(widths, room, max(asks.total, bids.total), bar)
    yield [(_joined(_HEADS, widths), "dim")]
    # The best prices meet in the middle.
    yield from reversed(list(asks.lines(scale)))
    yield [(_middle(found, asks, bids), "bold")]
    yield from bids.lines(scale)


@dataclass(frozen=True, slots=True)
class _Scale:
    """How wide the columns of texts are, and how long a bar is for how much."""

    widths: Sequence[int]
    room: int
    most: float
    bar: str

    def drawn(self, total: float) -> str:
        return self.bar * max(round(total / self.most * self.room), 1)


@dataclass(frozen=True, slots=True)
class _Side:
    """One side of a book, best price first: its levels as texts, and the amounts up to each."""

    name: str
    cells: Sequence[tuple[str, str, str]]
    sums: Sequence[float]

    @classmethod
    def of(cls, found: Book, name: str) -> _Side:
        levels = found.side(name)
        sums = list(accumulate(amount for _, amount in levels))
        prices = _aligned([_text(price) for price, _ in levels])
        amounts = _aligned([_text(amount) for _, amount in levels])
        return cls(name, list(zip(prices, amounts, _aligned(list(map(_rounded, sums))), strict=True)), sums)

    @property
    def total(self) -> float:
        if not self.sums:
            return 0.0
        return self.sums[-1]

    def lines(self, scale: _Scale) -> Iterator[Line]:
        for cells, total in zip(self.cells, self.sums, strict=True):
            yield [(_joined(cells, scale.widths), ""), (f"  {scale.drawn(total)}", _COLOURS[self.name])]


def _aligned(numbers: Sequence[str]) -> list[str]:
    """Return numbers with as many decimals as the longest has."""
    decimals = max((len(number.partition(".")[2]) for number in numbers), default=0)
    return [f"{Decimal(number):.{decimals}f}" for number in numbers]


def _joined(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))


def _middle(found: Book, asks: _Side, bids: _Side) -> str:
    """Return the line between asks and bids. The imbalance is that of the levels that are drawn."""
    from ticklake.core.book import imbalance_of

    if found.spread is None or found.mid is None or found.microprice is None:
        return "one side is empty"
    imbalance = imbalance_of(bids.total, asks.total) or 0.0
    return (
        f"spread {_rounded(found.spread)}  mid {_rounded(found.mid, 10)}  "
        f"microprice {_rounded(found.microprice, 10)}  imbalance {imbalance:+.2f}"
    )


def _text(number: float) -> str:
    """Return a number in full, without an exponent."""
    text = format(Decimal(repr(number)), "f")
    return text.removesuffix(".0")


def _rounded(number: float, digits: int = _DIGITS) -> str:
    return _text(float(f"{number:.{digits}g}"))
