"""The command ``panel``: one table of many symbols."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.datasets import note_if_empty
from ticklake.interfaces.cli.read import Format, Limit, Output, Version, format_of, version_or_time

if TYPE_CHECKING:
    from ticklake.lake.view import View

__all__ = ["panel"]


def panel(
    exchange: o.ExchangeName,
    symbols: Annotated[list[str], typer.Argument(metavar="SYMBOL...", help="Symbols, or patterns like 'BTC/*'.")],
    timeframe: o.TimeframeText = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column", "-c", help="The column that is shown; several are separated by commas. [default: close]"
        ),
    ] = None,
    start: o.Start = None,
    end: o.End = None,
    kind: o.KindName = None,
    long: Annotated[
        bool, typer.Option("--long", help="A row for each time and symbol. [default: a column for each symbol]")
    ] = False,
    how: Annotated[
        str, typer.Option("--how", help="Which times: outer (any symbol has), inner (all have) or grid (all bars).")
    ] = "outer",
    label: Annotated[str, typer.Option("--label", help="Bars are named by their open or close time.")] = "open",
    fill: Annotated[
        str | None, typer.Option("--fill", help="forward: give missing values the last one before them.")
    ] = None,
    known_at: Annotated[
        str | None, typer.Option("--known-at", metavar="TIME", help="Only what was known at this time.")
    ] = None,
    form: Format = None,
    output: Output = None,
    limit: Limit = 20,
    at: Version = None,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Show many symbols in one table by time; what is missing is empty."""
    from ticklake.interfaces.cli.formats import write_rows

    columns: Any = o.names_in(column) or ["close"]
    if len(columns) == 1:
        columns = columns[0]
    words: dict[str, Any] = {"how": how, "label": label, "fill": fill}
    with o.opened(lake_path) as lake:
        view: View = lake
        if at is not None:
            view = lake.at(version_or_time(at))
        rows = view.panel(
            exchange,
            symbols,
            timeframe,
            columns,
            start,
            end,
            kind=kind or "ohlcv",
            wide=not long,
            known_at=known_at,
            **words,
        )
        of_exchange = view.datasets(f"{exchange.lower()}:{kind or 'ohlcv'}:")
        note_if_empty(rows, view, [dataset for dataset in of_exchange if timeframe in (None, str(dataset.timeframe))])
    write_rows(rows, format_of(form, as_json=as_json), output, limit)
