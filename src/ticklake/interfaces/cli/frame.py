"""The command ``frame``: what was known of a symbol at an instant."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.output import print_json, print_table, say
from ticklake.interfaces.cli.read import version_or_time

if TYPE_CHECKING:
    import polars as pl

    from ticklake.core.book import Book
    from ticklake.core.frame import Frame
    from ticklake.lake.view import View

__all__ = ["frame"]

_NEWEST = 5
"""So many of the newest rows of a part are shown."""


def frame(
    exchange: o.ExchangeName,
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="Like BTC/USDT.")],
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="What was known at this time. [default: now]")
    ] = None,
    window: Annotated[str, typer.Option("--window", "-w", metavar="LENGTH", help="How much time before.")] = "60m",
    timeframes: Annotated[
        list[str] | None,
        typer.Option(
            "--timeframe", "-t", help="Lengths of bars, separated by commas, or repeated: 1m,1h. [default: 1m]"
        ),
    ] = None,
    kinds: Annotated[
        list[str] | None,
        typer.Option(
            "--kinds",
            metavar="KINDS",
            help="Of trades, quotes, funding, open_interest and book; ohlcv for bars alone. [default: all there are]",
        ),
    ] = None,
    depth: o.Depth = None,
    indicators: Annotated[
        list[str] | None, typer.Option("--indicators", metavar="NAMES", help="Of the first bars, like sma_20,rsi_14.")
    ] = None,
    features: Annotated[
        list[str] | None, typer.Option("--features", metavar="NAMES", help="Like momentum@v3:ret_5m.")
    ] = None,
    knowledge: Annotated[
        str,
        typer.Option("--knowledge", metavar="WORD", help="From when on rows are known: default, received or event."),
    ] = "default",
    fill: Annotated[
        str | None,
        typer.Option("--fill", metavar="WORD", help="forward: repeat the last close where bars are missing."),
    ] = None,
    version: Annotated[
        str | None, typer.Option("--version", metavar="VERSION", help="Of the lake as it was at this version, or time.")
    ] = None,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Show what was known of a symbol at an instant: bars, trades, the book, funding, indicators, and what is missing."""
    from ticklake.interfaces.schema import to_json

    named_kinds: list[str] | None = None
    if kinds:
        named_kinds = _names(kinds)
    with o.opened(lake_path) as lake:
        view: View = lake
        if version is not None:
            view = lake.at(version_or_time(version))
        shown = view.frame(
            exchange,
            symbol,
            at,
            window=window,
            timeframes=_names(timeframes or ["1m"]),
            kinds=named_kinds,
            book_depth=depth,
            indicators=_names(indicators),
            features=_names(features),
            knowledge=knowledge,
            fill=fill,
        )
        # Its parts are read when they are looked at: before the lake is closed.
        if as_json:
            print_json(to_json(shown))
        else:
            _show(shown)


def _names(texts: Sequence[str] | None) -> list[str]:
    """Return the names that an option has, which may be repeated and may name several each time."""
    names = map(str.strip, ",".join(texts or ()).split(","))
    return list(filter(None, names))


def _show(frame: Frame) -> None:
    since, at = o.moment(frame.since), o.moment(frame.at)
    say(f"{frame.exchange} {frame.symbol} at {at}")
    facts: dict[str, Any] = {"window": f"{since} .. {at}", "version": frame.version}
    facts["latest price"] = frame.latest_price()
    facts["complete"] = "no"
    if frame.complete:
        facts["complete"] = "yes"
    for name, value in {**frame.indicators, **frame.imbalances, **frame.features}.items():
        facts[name] = value
        if value is None:
            facts[name] = "-"
    width = max(map(len, facts))
    for name, value in facts.items():
        say(f"{name.ljust(width)}  {value}")
    _show_parts(frame)
    if frame.missing:
        say()
        say("missing")
        columns = ("part", "start", "end", "reason", "detail")
        print_table(columns, [itemgetter(*columns)(part.to_dict()) for part in frame.missing])


def _show_parts(frame: Frame) -> None:
    sources = frame.sources
    for timeframe, bars in frame.bars.items():
        _show_rows(f"bars {timeframe}", bars, sources.get(f"bars.{timeframe}"))
    for name in ("trades", "quotes", "funding", "open_interest"):
        rows: pl.DataFrame = getattr(frame, name)
        if rows.height:
            _show_rows(name, rows, sources.get(name))
    if frame.book is not None and frame.book.height:
        _show_best(frame.book)


def _show_best(book: Book) -> None:
    """Show the best level of each side of a book."""
    say()
    say(f"book ({book.height:,} levels)")
    best: list[tuple[Any, ...]] = []
    for name, levels in (("bid", book.bids), ("ask", book.asks)):
        if levels.height:
            best.append((name, *levels.row(0)))
    print_table(("side", "price", "amount"), best)


def _show_rows(title: str, rows: pl.DataFrame, source: str | None) -> None:
    from ticklake.interfaces.schema import frame_text

    say()
    note = f"{rows.height:,}"
    if rows.height > _NEWEST:
        note += f", the newest {_NEWEST}"
    if source is not None:
        note += f"; {source}"
    say(f"{title} ({note})")
    if rows.height:
        shown = frame_text(rows.tail(_NEWEST))
        # A column of which nothing is known would only make the lines longer.
        known = [series.name for series in shown.get_columns() if series.null_count() < len(series)]
        print_table(known, shown.select(known).iter_rows())
