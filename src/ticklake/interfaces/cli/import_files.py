"""The command that brings in files: import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.output import count_of, print_json, say
from ticklake.interfaces.cli.progress import watching

if TYPE_CHECKING:
    from ticklake.core.file_reports import FileReport

__all__ = ["import_files"]

Paths = Annotated[list[Path], typer.Argument(metavar="PATH", help="Files, or folders with files.")]
DatasetOption = Annotated[
    str | None,
    typer.Option("--dataset", "-d", help="What the rows are, like kraken:trades:BTC/USD. [default: by name]"),
]
Exchange = Annotated[
    str, typer.Option("--exchange", metavar="NAME", help="Where files were traded that say all but that, like okx.")
]
SymbolName = Annotated[
    str,
    typer.Option("--symbol", metavar="SYMBOL", help="Which symbol files are of that say all but that, like ETH/USD."),
]
PresetName = Annotated[str, typer.Option("--preset", help="Who wrote the files, like freqtrade. [default: by look]")]
Columns = Annotated[
    str, typer.Option("--columns", metavar="OURS=THEIRS,...", help="ts=Date,open=Open: names, or numbers from 0.")
]
Constants = Annotated[
    list[str] | None, typer.Option("--set", metavar="COLUMN=VALUE", help="A column that the file does not have.")
]
Sides = Annotated[list[str] | None, typer.Option("--side", metavar="WORD=SIDE", help="What a word of theirs means.")]
Unit = Annotated[str, typer.Option("--unit", help="What times count: s, ms, us or ns. [default: by size]")]
Zone = Annotated[str, typer.Option("--zone", help="Where times without a zone are local: UTC, Europe/Moscow, UTC-05.")]
Since = Annotated[
    str | None, typer.Option("--since", help="What counts of time begin at, like 2013-10-07 for those since midnight.")
]
TimeFormat = Annotated[str, typer.Option("--time-format", help="How times are written, like %d/%m/%Y %H:%M.")]
Header = Annotated[bool | None, typer.Option("--header/--no-header", help="Whether the first line has names.")]
Scale = Annotated[float, typer.Option("--price-scale", help="Divide prices by this.")]
Skip = Annotated[int, typer.Option("--skip", min=0, help="Lines above the header or the first row.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Read and check everything, and save nothing.")]


def import_files(
    paths: Paths,
    dataset: DatasetOption = None,
    exchange: Exchange = "",
    symbol: SymbolName = "",
    preset: PresetName = "",
    columns: Columns = "",
    constants: Constants = None,
    sides: Sides = None,
    unit: Unit = "",
    zone: Zone = "",
    since: Since = None,
    time_format: TimeFormat = "",
    header: Header = None,
    price_scale: Scale = 1,
    skip: Skip = 0,
    dry_run: DryRun = False,
    every: o.EachFile = False,
    lake: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Bring in files that others wrote, each as a whole or not at all.

    CSV, TSV, JSON, NDJSON, Parquet, Feather; .gz, .xz, .zst, .bz2 and .zip. Exit code 3: some were refused; 1: all were.
    """
    from ticklake.core.time import parse_time
    from ticklake.files.mapping import Mapping

    said = Mapping(
        columns=_pairs(columns.split(",") if columns else (), "--columns"),
        unit=unit,
        zone=zone,
        time_format=time_format,
        header=header,
        sides=_pairs(sides or (), "--side"),
        price_scale=price_scale,
        constants=_pairs(constants or (), "--set"),
        skip=skip,
        since=parse_time(since) if since else 0,
    )
    asked: dict[str, Any] = {
        "dataset": dataset,
        "exchange": exchange,
        "symbol": symbol,
        "preset": preset,
        "mapping": said,
    }
    asked["dry_run"] = dry_run
    done = _import(paths, asked, lake, quiet=as_json)
    if as_json:
        print_json(done)
    else:
        _show(done, dry_run=dry_run, every=every)
    refused = sum(one.refused for one in done)
    if refused:
        raise typer.Exit(1 if refused == len(done) else 3)


def _import(paths: list[Path], asked: dict[str, Any], lake: str | None, *, quiet: bool) -> list[FileReport]:
    with o.opened_for(lake, dry_run=asked["dry_run"]) as held, watching("import", quiet=quiet) as watch:
        return held.import_files(paths, **asked, watch=watch)


def _pairs(texts: Any, option: str) -> dict[str, str]:
    from ticklake.errors import BadInput

    pairs = [text.partition("=") for text in texts]
    wrong = next((name for name, mark, _ in pairs if not mark or not name.strip()), None)
    if wrong is not None:
        raise BadInput(f"{option} {wrong!r} is no pair: write it like {option} ts=Date")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _show(done: list[FileReport], *, dry_run: bool, every: bool) -> None:
    counted: set[str] = set()
    listed = done if every or len(done) <= o.FEW else [one for one in done if _needs_a_look(one)]
    for one in listed:
        channels = [] if one.path in counted else _channel_lines(one)
        counted.add(one.path)
        say("\n".join([one.path, *(f"  {line}" for line in (*_lines(one, dry_run=dry_run), *channels))]))
    if len(listed) < len(done):
        say(f"{count_of(len(done) - len(listed), 'file')} without a note: --all lists each")
    refused = sum(one.refused for one in done)
    rows = sum(one.rows for one in done if not one.refused)
    new = "nothing was saved" if dry_run else f"{sum(one.new for one in done):,} of {rows:,} rows are new"
    say(
        f"{len(done) - refused} of {len(done)} files can be read: {new}"
        if dry_run
        else f"{len(done) - refused} of {len(done)} files are in: {new}"
    )


def _needs_a_look(one: FileReport) -> bool:
    return bool(one.refused or one.problems or one.quarantined or _channel_lines(one))


def _channel_lines(one: FileReport) -> list[str]:
    """Return what became of the messages or answers in a file, a line a channel."""
    words = {
        "read": "read",
        "without_rows": "without rows",
        "refused": "refused",
        "control": "control",
        "not_known": "not known",
    }
    lines = []
    for entry in one.channels:
        parts = [f"{entry[name]:,} {word}" for name, word in words.items() if entry[name]]
        rows = f" ({entry['rows']:,} rows)" if entry["rows"] else ""
        lines.append(f"channel {entry['channel']}: {entry['received']:,} received, {', '.join(parts)}{rows}")
    return lines


def _lines(one: FileReport, *, dry_run: bool) -> list[str]:
    notes = [
        f"{'refused' if one.refused and problem == one.problems[-1] else 'note'}: {problem}" for problem in one.problems
    ]
    if not one.format:
        return notes
    mapping = dict(one.mapping or {})
    columns = ", ".join(f"{ours}={theirs}" for ours, theirs in mapping.pop("columns", {}).items())
    others = "".join(f"; {name}={value}" for name, value in mapping.items())
    head = f"{one.format}, preset {one.preset}: {columns}{others}"
    counts = (
        f"{one.rows:,} rows"
        if dry_run
        else f"{one.rows:,} rows: {one.new:,} new, {one.changed:,} changed, {one.duplicate:,} already there"
    )
    told = (
        [f"{one.dataset}: {counts}, {one.quarantined:,} quarantined, {one.first} .. {one.last}"] if one.dataset else []
    )
    return [head, *told, *notes]
