"""Commands that prove: quality, cross-check, continuity, provenance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticklake.core.time import format_time
from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.datasets import Datasets, chosen
from ticklake.interfaces.cli.output import count_of, print_error, print_json, print_records, print_table, say, total_of

if TYPE_CHECKING:
    from ticklake.core.crosscheck import CrossCheck
    from ticklake.core.dataset import Dataset
    from ticklake.core.quality import Figures, Quality
    from ticklake.lake import Lake

__all__ = ["continuity", "cross_check", "provenance", "quality"]

Html = Annotated[
    Path | None,
    typer.Option("--html", help="Also write a page that stands alone, to send to somebody.", dir_okay=False),
]
Ask = Annotated[
    bool, typer.Option("--source", help="Ask the exchange again and hold its answer against what is stored.")
]
Tolerance = Annotated[
    float, typer.Option("--tolerance", min=0.0, help="By how much volumes may differ, relative to the larger one.")
]
Most = Annotated[int, typer.Option("--limit", min=0, help="Most differences of a table; 0 shows all. JSON holds all.")]
Daily = Annotated[bool, typer.Option("--daily", help="A row for each UTC day instead of one for each dataset.")]

_FULL = 100
"""The score of a dataset without a fault."""
_BATCH = (
    *("version", "start", "end", "joins", "missing", "before_ts", "before_id", "first_id", "last_id"),
    *("batches", "received", "new", "changed", "duplicate"),
)
_SUMS = ("new", "changed", "duplicate")


def quality(
    what: Datasets = None,
    timeframe: o.TimeframeText = None,
    kind: o.KindName = None,
    start: o.Start = None,
    end: o.End = None,
    daily: Daily = False,
    html: Html = None,
    every: Annotated[
        bool, typer.Option("--all", help="List each dataset, however many. [default: of many those with a fault]")
    ] = False,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Measure how complete and sound datasets are, worst first. Exit code 3: something is missing.

    Of many datasets the worst are listed, and the others counted.
    """
    from ticklake.core.quality import incomplete

    with o.opened(lake_path) as lake:
        qualities = [lake.quality(dataset, start, end) for dataset in chosen(lake, what, timeframe, kind)]
        qualities.sort(key=_worst_first)
        if html is not None:
            _write_page(lake, qualities, html)
    if as_json:
        _print_json(qualities, daily=daily)
    elif daily:
        _show_days(qualities)
    elif qualities:
        _show_quality(qualities, every=every)
    else:
        say("the lake holds no such dataset")
    # Only after the answer was printed: a script gets the numbers as well as the exit code.
    if incomplete(qualities):
        raise typer.Exit(3)


def _worst_first(quality: Quality) -> tuple[bool, float, str]:
    # Those without a score come first: nothing is known of them.
    return quality.score is not None, quality.score or 0.0, str(quality.dataset)


def _print_json(qualities: Sequence[Quality], *, daily: bool) -> None:
    from ticklake.interfaces.schema import days_to_json

    if not daily:
        return print_json(qualities)
    days: list[dict[str, Any]] = []
    for quality in qualities:
        days += days_to_json(quality)
    return print_json(days)


def _show_days(qualities: Sequence[Quality]) -> None:
    """Print a line for each UTC day of each dataset."""
    headings = _headings()
    print_table(["dataset", "day", *headings], _day_rows(qualities), numbers=headings)


def _day_rows(qualities: Iterable[Quality]) -> Iterator[tuple[str, ...]]:
    for quality in qualities:
        for day in quality.days:
            yield str(quality.dataset), format_time(day.day)[:10], *_cells(day)


def _show_quality(qualities: Sequence[Quality], *, every: bool) -> None:
    """Print a line for each dataset, of many only for the worst; they come sorted."""
    from ticklake.core.quality import incomplete

    faulty = [quality for quality in qualities if not quality.is_complete or (quality.score or 0.0) < _FULL]
    listed = qualities
    if not every and len(qualities) > o.FEW:
        listed = faulty[: o.FEW]
    if listed:
        headings = _headings()
        rows = [(str(quality.dataset), *_cells(quality), _age(quality)) for quality in listed]
        print_table(["dataset", *headings, "last row ended"], rows, numbers=headings)
    if len(listed) < len(qualities):
        counts = f"{len(incomplete(qualities)):,} miss something, {len(faulty):,} are below {_FULL}"
        hidden = len(qualities) - len(listed)
        say(f"{count_of(len(qualities), 'dataset')}: {counts}; {hidden:,} not shown: --all lists each")


def cross_check(
    what: Datasets = None,
    timeframe: o.TimeframeText = None,
    kind: o.KindName = None,
    start: o.Start = None,
    end: o.End = None,
    source: Ask = False,
    tolerance: Tolerance = 1e-6,
    limit: Most = 20,
    exchange_url: o.ExchangeUrl = None,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Hold bars against those that trades and shorter bars make. Exit code 3: they differ."""
    with o.opened(lake_path, exchange_url=exchange_url) as lake:
        checks: list[CrossCheck] = []
        for dataset in chosen(lake, what, timeframe, kind):
            checks += lake.cross_check(dataset, start, end, source=source, tolerance=tolerance)
    if as_json:
        print_json(checks)
    elif not checks:
        say("the lake has nothing to hold these against: neither trades nor shorter bars; --source asks the exchange")
    else:
        for check in checks:
            _show_check(check, limit)
    if not all(check.agrees for check in checks):
        raise typer.Exit(3)


def continuity(
    what: Datasets = None,
    timeframe: o.TimeframeText = None,
    kind: o.KindName = None,
    jumps: Annotated[bool, typer.Option("--jumps", help="Only batches before which something is missing.")] = False,
    every: Annotated[
        bool, typer.Option("--all", help="List each batch, however many. [default: of many a line for each dataset]")
    ] = False,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Show how each batch that was committed joined the rows before it; of many, a line for each dataset."""
    with o.opened(lake_path) as lake:
        batches: list[dict[str, Any]] = []
        for dataset in chosen(lake, what, timeframe, kind):
            batches += _batches(lake, dataset, jumps=jumps)
    if as_json:
        return print_json(batches)
    if not batches and jumps:
        return say("no batch follows a hole")
    if not batches:
        return say("no batch is on record")
    if every or len(batches) <= o.FEW:
        return _print_fields(batches, numbers=("version", "missing", "batches", *_SUMS))
    _print_fields(_by_dataset(batches), numbers=("batches", "jumps", "missing", *_SUMS))
    return say(f"{count_of(len(batches), 'batch', 'batches')}: --all lists each, --jumps those that follow a hole")


def _print_fields(rows: Sequence[dict[str, Any]], numbers: Sequence[str]) -> None:
    """Print a table of rows that all have the same fields."""
    print_records(list(rows[0]), rows, numbers)


def _by_dataset(batches: Iterable[dict[str, Any]]) -> list[dict[str, str]]:
    """Sum up the batches of each dataset."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for batch in batches:
        groups.setdefault(batch["dataset"], []).append(batch)
    lines: list[dict[str, str]] = []
    for name, group in groups.items():
        missing = [batch["missing"] for batch in group if batch["joins"] == "jumps"]
        line = {"dataset": name, "batches": _sum(group, "batches"), "jumps": f"{len(missing):,}", "missing": "0"}
        if missing:
            line["missing"] = total_of(missing)
        line["from"] = min(map(itemgetter("start"), group))
        line["to"] = max(map(itemgetter("end"), group))
        for column in _SUMS:
            line[column] = _sum(group, column)
        lines.append(line)
    return lines


def _sum(batches: Iterable[dict[str, Any]], column: str) -> str:
    return f"{sum(map(itemgetter(column), batches)):,}"


def provenance(
    what: Datasets = None,
    timeframe: o.TimeframeText = None,
    kind: o.KindName = None,
    at: Annotated[str | None, typer.Option("--at", help="Only of the rows at exactly this time.")] = None,
    files: Annotated[bool, typer.Option("--files", help="A line for each file and origin of its rows.")] = False,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Say where rows came from: which source, call or file, and tool."""
    from ticklake.interfaces.schema import rows_of, to_json

    with o.opened(lake_path) as lake:
        rows: list[dict[str, Any]] = []
        for dataset in chosen(lake, what, timeframe, kind):
            if files:
                rows += rows_of(dataset, to_json(lake.provenance_by_file(dataset)))
            else:
                rows += rows_of(dataset, to_json(lake.provenance(dataset, at)))
    if as_json:
        return print_json(rows)
    if not rows:
        return say("there are no rows")
    return _print_fields(rows, numbers=("rows",))


def _batches(lake: Lake, dataset: Dataset, *, jumps: bool) -> list[dict[str, Any]]:
    from ticklake.interfaces.schema import rows_of, to_json

    frame = lake.continuity(dataset).select(_BATCH)
    if jumps:
        frame = frame.filter(joins="jumps")
    return rows_of(dataset, to_json(frame))


def _show_check(check: CrossCheck, limit: int) -> None:
    from ticklake.interfaces.schema import to_json

    differences = check.differences
    heading = f"{check.dataset} against {check.against}: {check.compared:,} rows compared"
    if differences.is_empty():
        return say(f"{heading}, all equal")
    say(f"{heading}, {differences.height:,} differences")
    listed = differences
    if limit:
        listed = differences.head(limit)
    columns = ("ts", "column", "ours", "theirs", "difference")
    print_records(columns, to_json(listed), numbers=columns[2:])
    hidden = differences.height - listed.height
    if hidden:
        say(f"{hidden:,} not shown: --limit 0 shows all")
    return None


def _write_page(lake: Lake, qualities: Sequence[Quality], path: Path) -> None:
    from ticklake.app import tool
    from ticklake.interfaces.cli.output import new_file
    from ticklake.interfaces.report.quality import quality_page

    name = "the lake"
    if lake.root:
        name = lake.root.resolve().name
    with new_file(path) as sink:
        sink.write(quality_page(qualities, name, lake.engine.now(), tool()).encode())
    print_error(f"{path} written")


def _headings() -> list[str]:
    from ticklake.core.quality import shown_metrics

    return [metric.heading for metric in shown_metrics()]


def _cells(figures: Figures) -> list[str]:
    from ticklake.core.quality import shown_metrics

    return [metric.text(figures) for metric in shown_metrics()]


def _age(quality: Quality) -> str:
    """Write how long ago the newest row ended, in the largest unit of which that is at least two."""
    from ticklake.core.time import DAY, HOUR, MINUTE, SECOND

    if quality.freshness is None:
        return ""
    unit, length = "s", SECOND
    for longer_unit, longer in (("min", MINUTE), ("h", HOUR), ("d", DAY)):
        if quality.freshness >= 2 * longer:
            unit, length = longer_unit, longer
    age = f"{quality.freshness // length} {unit} ago"
    if quality.bars_behind:
        age += f", {quality.bars_behind:,} bars behind"
    return age
