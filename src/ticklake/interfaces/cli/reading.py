"""Commands that answer: list, read, gaps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.output import big, errors, print_json, print_table, say

if TYPE_CHECKING:
    import polars as pl

    from ticklake.core.dataset import Dataset
    from ticklake.engine.knowing import GapReport
    from ticklake.errors import BadInput
    from ticklake.lake import Lake, Snapshot

__all__ = ["chosen", "gaps", "known", "list_datasets", "read"]

Search = Annotated[str, typer.Option("--search", help="Only datasets whose name contains this.")]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        "-f",
        help="table, csv, json, ndjson, parquet or arrow. [default: by file name; table on a terminal, else csv]",
    ),
]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file instead of the terminal.")]
Limit = Annotated[
    int, typer.Option("--limit", min=0, help="Most rows of a table; 0 shows all. Other formats hold all.")
]
Last = Annotated[int | None, typer.Option("--last", min=1, help="Only this many of the newest rows.")]
Columns = Annotated[str | None, typer.Option("--columns", help="Only these, separated by commas.")]
Adjusted = Annotated[
    str | None, typer.Option("--adjust", help="splits or all: bars without the jumps of splits (and dividends).")
]
Quick = Annotated[
    bool, typer.Option("--quick", help="Look at coverage and calendar only, not at ids and other symbols.")
]
Version = Annotated[str | None, typer.Option("--at", help="The lake as it was at this time, or version.")]


def list_datasets(search: Search = "", lake: o.LakePath = None, as_json: o.AsJson = False) -> None:
    """List what the lake holds."""
    with o.opened(lake) as held:
        rows = [row for row in held.engine.catalog.inventory() if search in row[0]]
    table = [(name, count, size, o.moment(first), o.moment(last)) for name, count, size, first, last in rows]
    columns = ["dataset", "rows", "bytes", "first", "last"]
    if as_json:
        return print_json([dict(zip(columns, row, strict=True)) for row in table])
    shown = [(name, f"{count:,}", big(size), first, last) for name, count, size, first, last in table]
    return print_table(columns, shown, numbers=("rows", "bytes"))


def read(
    exchange: o.ExchangeName,
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="Like BTC/USDT.")],
    timeframe: o.TimeframeText = None,
    kind: o.KindName = None,
    start: o.Start = None,
    end: o.End = None,
    last: Last = None,
    columns: Columns = None,
    adjust: Adjusted = None,
    form: Format = None,
    output: Output = None,
    limit: Limit = 20,
    at: Version = None,
    lake: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Read rows, as a table or in a format that other programs read."""
    from ticklake.interfaces.cli.formats import write_rows

    dataset = _dataset(exchange, symbol, timeframe, kind)
    with o.opened(lake) as held:
        _known(held, dataset)
        seen: Lake | Snapshot = held if at is None else held.at(int(at) if at.isdigit() and len(at) < 12 else at)
        names = [name.strip() for name in columns.split(",")] if columns else None
        if adjust is None:
            rows = seen.load(dataset, start, end, columns=names, last=last)
        else:
            rows = _adjusted(seen, dataset, start, end, adjust)
            rows = rows.select(_some(dataset, names)) if last is None else rows.select(_some(dataset, names)).tail(last)
    write_rows(rows, "json" if as_json else form, output, limit)


def gaps(
    exchange: o.SomeExchange = None,
    symbol: o.SomeSymbol = None,
    timeframe: o.TimeframeText = None,
    kind: o.KindName = None,
    start: o.Start = None,
    end: o.End = None,
    quick: Quick = False,
    lake: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """List every hole with its reason, of one dataset, an exchange or all. Exit code 3: something is missing."""
    with o.opened(lake) as held:
        datasets = chosen(held, exchange, symbol, timeframe, kind)
        found = [(dataset, held.gap_report(dataset, start, end, quick=quick)) for dataset in datasets]
    rows = [row for dataset, report in found for row in _gap_rows(dataset, report)]
    columns = ["dataset", "start", "end", "missing", "reason", "detail"]
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    elif rows:
        print_table(columns, rows, numbers=("missing",))
    else:
        say("nothing is missing")
    for note in (note for _, report in found for note in report.notes):
        errors().print(f"note: {note}", markup=False, soft_wrap=True)
    is_missing = any(gap.reason.is_missing for _, report in found for gap in report.gaps)
    raise typer.Exit(3 if is_missing else 0)


def _gap_rows(dataset: Dataset, report: GapReport) -> list[tuple[Any, ...]]:
    return [
        (str(dataset), o.moment(gap.span.start), o.moment(gap.span.end), gap.missing, str(gap.reason), gap.detail)
        for gap in report.gaps
    ]


def chosen(
    held: Lake, exchange: str | None, symbol: str | None, timeframe: str | None, kind: str | None
) -> list[Dataset]:
    """Return the datasets that the options name; those left out name all."""
    if exchange and symbol and (timeframe or kind):
        return [_known(held, _dataset(exchange, symbol, timeframe, kind))]
    from ticklake.core.timeframe import Timeframe

    bars = Timeframe.parse(timeframe) if timeframe else None
    found = [
        dataset
        for dataset in held.datasets()
        if exchange in (None, dataset.exchange)
        and symbol in (None, str(dataset.symbol))
        and kind in (None, dataset.kind)
        and bars in (None, dataset.timeframe)
    ]
    said = [word for word in (exchange, symbol, timeframe, kind) if word]
    if said and not found:
        raise _unknown(" ".join(said), "'ticklake list' shows what it holds")
    return found


def known(held: Lake, text: str | None) -> Dataset | None:
    """Return the dataset that a text names, if it names any.

    Raises
    ------
    BadInput
        If the lake has never heard of it.
    """
    from ticklake.core.dataset import Dataset

    return None if text is None else _known(held, Dataset.parse(text))


def _adjusted(seen: Lake | Snapshot, dataset: Dataset, start: str | None, end: str | None, adjust: Any) -> pl.DataFrame:
    from ticklake.errors import BadInput

    if dataset.kind != "ohlcv":
        raise BadInput(f"--adjust is for bars: say --timeframe; {dataset.kind} have no adjusted view")
    return seen.ohlcv(dataset.exchange, str(dataset.symbol), str(dataset.timeframe), start, end, adjust=adjust)


def _some(dataset: Dataset, names: list[str] | None) -> list[str]:
    from ticklake.errors import InvalidData

    known = dataset.spec.names
    unknown = next((name for name in names or () if name not in known), None)
    if unknown is not None:
        raise InvalidData(f"{dataset.kind} has no column {unknown!r}: its columns are {', '.join(known)}")
    return names or known


def _dataset(exchange: str, symbol: str, timeframe: str | None, kind: str | None) -> Dataset:
    from ticklake.core.dataset import Dataset

    return Dataset.of(exchange, symbol, kind or ("ohlcv" if timeframe else "trades"), timeframe)


def _known(held: Lake, dataset: Dataset) -> Dataset:
    """Refuse a dataset the lake has never heard of, and name those it might have meant."""
    if held.engine.catalog.dataset(dataset) is None:
        near = [str(other) for other in held.datasets() if other.symbol == dataset.symbol][:3]
        raise _unknown(str(dataset), f"it has {', '.join(near)}" if near else "'ticklake list' shows what it holds")
    return dataset


def _unknown(what: str, hint: str) -> BadInput:
    from ticklake.errors import BadInput

    return BadInput(f"the lake has no {what}: {hint}")
