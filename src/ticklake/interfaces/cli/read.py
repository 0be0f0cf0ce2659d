"""Commands that answer: list, read, resample, book, gaps, quarantine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.datasets import Datasets, OneDataset, all_of, chosen, only
from ticklake.interfaces.cli.output import (
    big,
    count_of,
    print_error,
    print_json,
    print_json_rows,
    print_table,
    say,
    total_of,
)

if TYPE_CHECKING:
    import polars as pl

    from ticklake.core.dataset import Dataset
    from ticklake.core.gaps import Gap, GapReport
    from ticklake.lake import Lake
    from ticklake.lake.view import View

__all__ = ["book", "gaps", "list_datasets", "quarantine", "read", "resample"]

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


def list_datasets(
    what: Datasets = None,
    timeframe: o.TimeframeText = None,
    kind: o.KindName = None,
    search: Search = "",
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """List what the lake holds."""
    with o.opened(lake_path) as lake:
        named = all_of(lake, what, timeframe, kind)
        names = None if named is None else set(map(str, named))
        wanted = search.casefold()
        rows = [
            row
            for row in lake.engine.catalog.inventory()
            if wanted in row[0].casefold() and (names is None or row[0] in names)
        ]
    columns = ["dataset", "rows", "bytes", "first", "last"]
    if as_json:
        from ticklake.interfaces.schema import row_to_json

        return print_json([row_to_json(dict(zip(columns, row, strict=True))) for row in rows])
    shown = [
        (name, f"{count:,}", big(size), o.moment(first), o.moment(last)) for name, count, size, first, last in rows
    ]
    return print_table(columns, shown, numbers=("rows", "bytes"))


def read(
    what: OneDataset,
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
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Read rows, as a table or in a format that other programs read."""
    from ticklake.interfaces.cli.formats import write_rows

    with o.opened(lake_path) as lake:
        dataset = only(lake, what, timeframe, kind)
        view = lake if at is None else lake.at(_version_or_time(at))
        names = None if columns is None else [name.strip() for name in columns.split(",")]
        if adjust is None:
            rows = view.load(dataset, start, end, columns=names, last=last)
        else:
            rows = _adjusted(view, dataset, start, end, adjust).select(_some(dataset, names))
            if last is not None:
                rows = rows.tail(last)
    write_rows(rows, "json" if as_json else form, output, limit)


def gaps(
    what: Datasets = None,
    timeframe: o.TimeframeText = None,
    kind: o.KindName = None,
    start: o.Start = None,
    end: o.End = None,
    quick: Quick = False,
    every: o.EachHole = False,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Say what is missing and why, a line for each dataset and reason. Exit code 3: something is missing.

    JSON has each hole.
    """
    from ticklake.core.gaps import missing_in

    with o.opened(lake_path) as lake:
        datasets = chosen(lake, what, timeframe, kind)
        found = [(dataset, lake.gap_report(dataset, start, end, quick=quick)) for dataset in datasets]
    written = (row for dataset, report in found for row in _gap_rows(dataset, report))
    columns = ["dataset", "start", "end", "missing", "reason", "detail"]
    holes = sum(len(report.gaps) for _, report in found)
    if as_json:
        print_json_rows(columns, written)
    elif every and holes:
        print_table(columns, list(written), numbers=("missing",))
    elif holes:
        print_table(
            ["dataset", "reason", "holes", "missing", "from", "to"], _summary(found), numbers=("holes", "missing")
        )
        say(f"{count_of(holes, 'hole')}: --all lists each, 'ticklake repair' closes those that can be closed")
    else:
        say("nothing is missing" if found else "the lake holds no such dataset")
    for note in (note for _, report in found for note in report.notes):
        print_error(f"note: {note}")
    raise typer.Exit(3 if any(missing_in(report.gaps) for _, report in found) else 0)


def _summary(found: Sequence[tuple[Dataset, GapReport]]) -> list[tuple[str, ...]]:
    """Return a line for each dataset and reason, with how many records the holes lack as far as that is known."""
    from ticklake.core.time import format_time

    lines: dict[tuple[str, str], list[Gap]] = {}
    for dataset, report in found:
        for gap in report.gaps:
            lines.setdefault((str(dataset), str(gap.reason)), []).append(gap)
    summary: list[tuple[str, ...]] = []
    for (dataset_name, reason), holes in sorted(lines.items()):
        first = format_time(min(hole.span.start for hole in holes))
        last = format_time(max(hole.span.end for hole in holes))
        missing = total_of([hole.missing for hole in holes])
        summary.append((dataset_name, reason, f"{len(holes):,}", missing, first, last))
    return summary


def resample(
    what: OneDataset,
    to: Annotated[
        str, typer.Option("--to", metavar="TIMEFRAME", help="Length of the bars that are made: 5m, 1h, 1d, ...")
    ],
    timeframe: o.TimeframeText = None,
    kind: o.KindName = None,
    start: o.Start = None,
    end: o.End = None,
    form: Format = None,
    output: Output = None,
    limit: Limit = 20,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Make bars of trades or of shorter bars, and print them; nothing is stored."""
    from ticklake.interfaces.cli.formats import write_rows

    with o.opened(lake_path) as lake:
        rows = lake.resample(only(lake, what, timeframe, kind), to, start, end)
    write_rows(rows, "json" if as_json else form, output, limit)


def book(
    what: OneDataset,
    at: Annotated[
        str | None, typer.Option("--at", help="The newest one at or before this time. [default: now]")
    ] = None,
    depth: o.Depth = None,
    form: Format = None,
    output: Output = None,
    limit: Limit = 40,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Show an order book: bids, then asks, best prices first."""
    from ticklake.interfaces.cli.formats import write_rows

    with o.opened(lake_path) as lake:
        dataset = only(lake, what, None, "book")
        rows = lake.book(dataset.exchange, str(dataset.symbol), at, depth)
    if rows.reason:
        print_error(f"note: {rows.reason}")
    write_rows(rows, "json" if as_json else form, output, limit)


def quarantine(
    what: Datasets = None,
    timeframe: o.TimeframeText = None,
    kind: o.KindName = None,
    every: Annotated[bool, typer.Option("--all", help="A line for each row.")] = False,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Say which rows were refused and why, a line for each dataset and reason. JSON has each row."""
    from ticklake.interfaces.schema import row_to_json

    with o.opened(lake_path) as lake:
        datasets = chosen(lake, what, timeframe, kind)
        if not as_json and not every:
            return _say_refused(_count_refused(lake, datasets))
        rows: list[dict[str, Any]] = []
        for dataset in datasets:
            rows += [row_to_json({"dataset": str(dataset), **row}) for row in lake.quarantine(dataset)]
    if as_json:
        return print_json(rows)
    if not rows:
        return say("no row was refused")
    columns = ["dataset", "ts", "reason", "row", "created_at"]
    return print_table(columns, [[row[name] for name in columns] for row in rows])


def _count_refused(lake: Lake, datasets: Sequence[Dataset]) -> Counter[tuple[str, str]]:
    """Count refused rows by dataset and reason, as they come by: there may be millions."""
    from ticklake.core.span import ALL_TIME

    counts = Counter[tuple[str, str]]()
    for dataset in datasets:
        for rows in lake.engine.catalog.refused(dataset, ALL_TIME, ["ts", "reason"]):
            counts.update((str(dataset), reason) for _, reason in rows)
    return counts


def _say_refused(counts: Counter[tuple[str, str]]) -> None:
    if not counts:
        return say("no row was refused")
    lines = [(dataset, reason, f"{count:,}") for (dataset, reason), count in sorted(counts.items())]
    print_table(["dataset", "reason", "rows"], lines, numbers=("rows",))
    return say(f"{count_of(counts.total(), 'row')} refused: --all shows each")


def _gap_rows(dataset: Dataset, report: GapReport) -> Iterator[tuple[Any, ...]]:
    from ticklake.interfaces.schema import gaps_to_json

    for row in gaps_to_json(dataset, report):
        yield tuple(row.values())


def _version_or_time(text: str) -> int | str:
    """Read a number as a version, unless it is so long that it must be a time in nanoseconds."""
    if text.isdigit() and len(text) < 12:
        return int(text)
    return text


def _adjusted(view: View, dataset: Dataset, start: str | None, end: str | None, adjust: Any) -> pl.DataFrame:
    from ticklake.errors import BadInput

    if dataset.kind != "ohlcv":
        raise BadInput(f"--adjust is for bars: say --timeframe; {dataset.kind} have no adjusted view")
    return view.ohlcv(dataset.exchange, str(dataset.symbol), str(dataset.timeframe), start, end, adjust=adjust)


def _some(dataset: Dataset, names: list[str] | None) -> list[str]:
    from ticklake.errors import InvalidData

    known = dataset.spec.names
    for name in names or ():
        if name not in known:
            raise InvalidData(f"{dataset.kind} has no column {name!r}: its columns are {', '.join(known)}")
    return names or known
