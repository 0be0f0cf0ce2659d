"""Commands that answer: list, read, resample, gaps, quarantine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticklake.interfaces.cli import holes
from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.datasets import Datasets, OneDataset, all_of, chosen, note_if_empty, only
from ticklake.interfaces.cli.output import (
    big,
    count_of,
    print_error,
    print_json,
    print_json_rows,
    print_long_table,
    print_records,
    print_table,
    say,
)

if TYPE_CHECKING:
    import polars as pl

    from ticklake.core.dataset import Dataset
    from ticklake.core.gaps import Gap, GapReport
    from ticklake.lake import Lake
    from ticklake.lake.view import View

__all__ = [
    "Closed",
    "Fill",
    "Label",
    "Origin",
    "Session",
    "edges_of",
    "format_of",
    "gaps",
    "list_datasets",
    "quarantine",
    "read",
    "resample",
    "version_or_time",
]

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
Columns = Annotated[
    list[str] | None, typer.Option("--columns", help="Only these, separated by commas. May be repeated.")
]
Adjusted = Annotated[
    str | None, typer.Option("--adjust", help="splits or all: bars without the jumps of splits (and dividends).")
]
Quick = Annotated[
    bool, typer.Option("--quick", help="Look at coverage and calendar only, not at ids and other symbols.")
]
AsChart = Annotated[bool, typer.Option("--chart", help="Draw bars or trades in the terminal.")]
Closed = Annotated[
    str | None, typer.Option("--closed", help="Which end of a bar belongs to it: left or right. [default: left]")
]
Label = Annotated[
    str | None, typer.Option("--label", help="Whether ts is when a bar opens or closes: open or close. [default: open]")
]
Origin = Annotated[str | None, typer.Option("--origin", metavar="TIME", help="From when on bars count.")]
Session = Annotated[
    str | None,
    typer.Option("--session", help="Begin anew each day: exchange, America/New_York, or '17:00 America/New_York'."),
]
Fill = Annotated[
    str | None, typer.Option("--fill", help="Bars without rows: forward (the close before) or zero. [default: none]")
]
Safe = Annotated[bool, typer.Option("--safe", help="Escape text in CSV that a spreadsheet would execute as a formula.")]
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
        datasets = all_of(lake, what, timeframe, kind)
        inventory = lake.inventory()
    names = inventory["dataset"]
    wanted = names.str.to_lowercase().str.contains(search.lower(), literal=True)
    if datasets is not None:
        wanted &= names.is_in(list(map(str, datasets)))
    inventory = inventory.filter(wanted)
    if as_json:
        return print_json(inventory)
    columns = ["dataset", "rows", "bytes", "first", "last"]
    return print_table(columns, map(_inventory_cells, _numbered(inventory.select(columns))), numbers=("rows", "bytes"))


def _numbered(inventory: pl.DataFrame) -> Iterator[tuple[Any, ...]]:
    """Yield rows whose times are nanoseconds."""
    import polars as pl

    yield from inventory.with_columns(pl.selectors.datetime().cast(pl.Int64)).iter_rows()


def _inventory_cells(row: tuple[Any, ...]) -> list[str | None]:
    name, rows, size, first, last = row
    return [name, f"{rows:,}", big(size), o.moment(first), o.moment(last)]


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
    as_chart: AsChart = False,
    safe: Safe = False,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Read rows, as a table or in a format that other programs read, or draw them."""
    from ticklake.interfaces.cli.chart import columns_to_draw, print_chart
    from ticklake.interfaces.cli.formats import write_rows

    if as_chart:
        _refuse_with_chart(("--json", as_json), ("--format", form), ("--output", output), ("--columns", columns))
    with o.opened(lake_path) as lake:
        dataset = only(lake, what, timeframe, kind)
        form = format_of(form, as_json=as_json)
        view: View = lake
        if at is not None:
            view = lake.at(version_or_time(at))
        names = o.names_in(columns)
        if as_chart:
            names = columns_to_draw(dataset)
        if adjust is None:
            rows = view.load(dataset, start, end, columns=names, last=last)
        else:
            rows = _adjusted(view, dataset, start, end, adjust).select(_checked_columns(dataset, names))
            if last is not None:
                rows = rows.tail(last)
        if as_chart:
            return print_chart(view, dataset, rows)
        note_if_empty(rows, view, [dataset])
    return write_rows(rows, form, output, limit, safe=safe)


def _refuse_with_chart(*options: tuple[str, object]) -> None:
    from ticklake.errors import BadInput

    for name, value in options:
        if value:
            raise BadInput(f"--chart draws for people: leave out {name}, or --chart")


def format_of(form: str | None, *, as_json: bool) -> str | None:
    """Return the format of rows: --json is short for --format json.

    Raises
    ------
    BadInput
        If there is no such format; rows are not read for nothing then.
    """
    from ticklake.interfaces.cli.formats import check_format

    if as_json:
        return "json"
    if form is not None:
        check_format(form)
    return form


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
    columns = ["dataset", "start", "end", "missing", "reason", "detail"]
    with o.opened(lake_path) as lake:
        datasets = chosen(lake, what, timeframe, kind)
        reports = _GapReports(lambda dataset: lake.gap_report(dataset, start, end, quick=quick), datasets)
        if as_json:
            print_json_rows(columns, _gap_rows(reports))
        else:
            _print_gaps(columns, list(reports), every=every)
    for note in reports.notes:
        print_error(f"note: {note}")
    # no_trades and outage are listed, too, but nothing is missing there.
    if reports.miss_something:
        raise typer.Exit(3)


_Reported = tuple["Dataset", "GapReport"]


@dataclass
class _GapReports:
    """The gap reports of datasets, one made after the other, so that each can be forgotten before the next.

    ``notes`` are those of the reports so far; ``miss_something`` says whether rows are missing in any of them.
    """

    make: Callable[[Dataset], GapReport]
    datasets: Sequence[Dataset]
    notes: list[str] = field(default_factory=list)
    miss_something: bool = False

    def __iter__(self) -> Iterator[_Reported]:
        from ticklake.core.gaps import missing_in

        for dataset in self.datasets:
            report = self.make(dataset)
            self.notes += report.notes
            if missing_in(report.gaps):
                self.miss_something = True
            yield dataset, report


def _print_gaps(columns: Sequence[str], reports: Sequence[_Reported], *, every: bool) -> None:
    count = sum(len(report.gaps) for _, report in reports)
    if every and count:
        print_long_table(columns, lambda: _gap_rows(reports), numbers=("missing",))
    elif count:
        print_table(holes.COLUMNS, holes.summary_of(_named_gaps(reports)), numbers=holes.NUMBERS)
        say(f"{count_of(count, 'hole')}: --all lists each, 'ticklake repair' closes those that can be closed")
    elif reports:
        say("nothing is missing")
    else:
        say("the lake holds no such dataset")


def _named_gaps(reports: Iterable[_Reported]) -> Iterator[tuple[str, Gap]]:
    for dataset, report in reports:
        for gap in report.gaps:
            yield str(dataset), gap


def _gap_rows(reports: Iterable[_Reported]) -> Iterator[tuple[Any, ...]]:
    """Yield a row for each gap, so that they are printed while they are made."""
    from ticklake.interfaces.schema import gaps_to_json

    for dataset, report in reports:
        for row in gaps_to_json(dataset, report):
            yield tuple(row.values())


def resample(
    what: OneDataset,
    to: Annotated[
        str, typer.Option("--to", metavar="RULE", help="The bars: 5m, 1h, 1d, ...; 100ticks, 5volume, 1000000dollars.")
    ],
    timeframe: o.TimeframeText = None,
    kind: o.KindName = None,
    start: o.Start = None,
    end: o.End = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Also bars at the edges of which only a part of the rows is there.")
    ] = False,
    columns: Columns = None,
    closed: Closed = None,
    label: Label = None,
    origin: Origin = None,
    session: Session = None,
    fill: Fill = None,
    form: Format = None,
    output: Output = None,
    limit: Limit = 20,
    as_chart: AsChart = False,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Make bars of trades or of shorter bars, and print the whole ones that open in [START, END); nothing is stored."""
    from ticklake.core.bars import Bars
    from ticklake.interfaces.cli.chart import Subject, print_chart
    from ticklake.interfaces.cli.formats import write_rows

    if as_chart:
        _refuse_with_chart(("--json", as_json), ("--format", form), ("--output", output), ("--columns", columns))
    with o.opened(lake_path) as lake:
        edges = edges_of(closed, label, origin, session, fill)
        names = o.names_in(columns)
        dataset = only(lake, what, timeframe, kind)
        form = format_of(form, as_json=as_json)
        rows = lake.resample(dataset, to, start, end, columns=names, partial=partial, **edges)
        if as_chart:
            return print_chart(lake, dataset, rows, Subject.made_of(dataset, Bars.parse(to, **edges), to))
        note_if_empty(rows, lake, [dataset], f"; a {to} bar that they fill in part is made with --partial")
    return write_rows(rows, form, output, limit)


def edges_of(
    closed: str | None, label: str | None, origin: str | None, session: str | None, fill: str | None
) -> dict[str, Any]:
    """Return the options about the edges of bars that were given."""
    options = {"closed": closed, "label": label, "origin": origin, "session": session, "fill": fill}
    return {name: value for name, value in options.items() if value is not None}


def quarantine(
    what: Datasets = None,
    timeframe: o.TimeframeText = None,
    kind: o.KindName = None,
    every: Annotated[bool, typer.Option("--all", help="A line for each row.")] = False,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Say which rows were refused and why, a line for each dataset and reason. JSON has each row."""
    from ticklake.interfaces.schema import row_to_json, rows_of

    with o.opened(lake_path) as lake:
        datasets = chosen(lake, what, timeframe, kind)
        # The summary reads no row as a whole: a dataset may have millions.
        if not as_json and not every:
            return _say_refused(_count_refused(lake, datasets))
        rows: list[dict[str, Any]] = []
        for dataset in datasets:
            rows += rows_of(dataset, map(row_to_json, lake.quarantine(dataset)))
    if as_json:
        return print_json(rows)
    if not rows:
        return say("no row was refused")
    return print_records(["dataset", "ts", "reason", "row", "created_at"], rows)


def _count_refused(lake: Lake, datasets: Sequence[Dataset]) -> Counter[tuple[str, str]]:
    """Count refused rows by dataset and reason, without holding them: there may be millions."""
    from ticklake.core.span import ALL_TIME

    counts = Counter[tuple[str, str]]()
    if not hasattr(lake, "engine"):
        # A server sends the rows as a whole.
        for dataset in datasets:
            counts.update((str(dataset), row["reason"]) for row in lake.quarantine(dataset))
        return counts
    for dataset in datasets:
        for rows in lake.engine.catalog.refused(dataset, ALL_TIME, ["ts", "reason"]):
            counts.update((str(dataset), reason) for _, reason in rows)
    return counts


def _say_refused(counts: Counter[tuple[str, str]]) -> None:
    if not counts:
        return say("no row was refused")
    rows = [(dataset, reason, f"{count:,}") for (dataset, reason), count in sorted(counts.items())]
    print_table(["dataset", "reason", "rows"], rows, numbers=("rows",))
    return say(f"{count_of(counts.total(), 'row')} refused: --all shows each")


def version_or_time(text: str) -> int | str:
    """Read a number as a version, unless it is so long that it must be a time in nanoseconds."""
    if text.isdigit() and len(text) < 12:
        return int(text)
    return text


def _adjusted(view: View, dataset: Dataset, start: str | None, end: str | None, adjust: Any) -> pl.DataFrame:
    from ticklake.errors import BadInput

    if dataset.kind != "ohlcv":
        raise BadInput(f"--adjust is for bars: say --timeframe; {dataset.kind} have no adjusted view")
    return view.ohlcv(dataset.exchange, str(dataset.symbol), str(dataset.timeframe), start, end, adjust=adjust)


def _checked_columns(dataset: Dataset, names: list[str] | None) -> list[str]:
    """Return the columns that were named, or all; adjusted bars have no other check of them."""
    from ticklake.errors import InvalidData

    known = dataset.spec.names
    for name in names or ():
        if name not in known:
            raise InvalidData(f"{dataset.kind} has no column {name!r}: its columns are {', '.join(known)}")
    return names or known
