"""The command that brings in files: import."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ticklake.core.display import pairs_text
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
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Bring in files that others wrote, each as a whole or not at all.

    CSV, TSV, JSON, NDJSON, Parquet, Feather; .gz, .xz, .zst, .bz2 and .zip. Exit code 3: some were refused; 1: all were.
    """
    from ticklake.core.time import parse_time
    from ticklake.files.mapping import Mapping

    renamed_columns: list[str] = []
    if columns:
        renamed_columns = columns.split(",")
    time_zero = 0
    if since:
        time_zero = parse_time(since)
    mapping = Mapping(
        columns=_pairs(renamed_columns, "--columns"),
        unit=unit,
        zone=zone,
        time_format=time_format,
        header=header,
        sides=_pairs(sides or (), "--side"),
        price_scale=price_scale,
        constants=_pairs(constants or (), "--set"),
        skip=skip,
        since=time_zero,
    )
    with o.opened_for(lake_path, dry_run=dry_run) as lake, watching("import", quiet=as_json) as watch:
        reports = lake.import_files(
            paths,
            dataset,
            exchange=exchange,
            symbol=symbol,
            preset=preset,
            mapping=mapping,
            dry_run=dry_run,
            watch=watch,
        )
    if as_json:
        print_json(reports)
    else:
        _show(reports, dry_run=dry_run, every=every)
    _exit_if_refused(reports)


def _exit_if_refused(reports: Sequence[FileReport]) -> None:
    """Exit with 1 if every file was refused, and with 3 if some were."""
    refused = sum(file.refused for file in reports)
    if refused and refused == len(reports):
        raise typer.Exit(1)
    if refused:
        raise typer.Exit(3)


def _pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    from ticklake.errors import BadInput

    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise BadInput(f"{option} {name!r} is no pair: write it like {option} ts=Date")
        pairs[name.strip()] = value.strip()
    return pairs


def _show(reports: list[FileReport], *, dry_run: bool, every: bool) -> None:
    listed = reports
    if not every and len(reports) > o.FEW:
        listed = list(filter(_needs_a_look, reports))
    # A file with several datasets is listed once for each; its channels are those of the whole file.
    with_channels: set[str] = set()
    for file in listed:
        lines = _lines(file, dry_run=dry_run)
        if file.path not in with_channels:
            lines += _channel_lines(file)
            lines += [f"proof: {proof}" for proof in file.proofs]
            with_channels.add(file.path)
        say("\n  ".join([file.path, *lines]))
    if len(listed) < len(reports):
        say(f"{count_of(len(reports) - len(listed), 'file')} without a note: --all lists each")
    accepted = rows = new = 0
    for file in reports:
        new += file.new
        # Rows of a refused file are not counted: none of them is in the lake.
        if not file.refused:
            accepted += 1
            rows += file.rows
    share = f"{accepted} of {len(reports)} files"
    if dry_run:
        return say(f"{share} can be read: nothing was saved")
    return say(f"{share} are in: {new:,} of {rows:,} rows are new")


def _needs_a_look(file: FileReport) -> bool:
    return bool(file.refused or file.problems or file.quarantined or _channel_lines(file))


def _channel_lines(file: FileReport) -> list[str]:
    """Return what became of the messages or answers in a file, a line a channel."""
    words = {
        "read": "read",
        "without_rows": "without rows",
        "refused": "refused",
        "control": "control",
        "not_known": "not known",
    }
    lines = []
    for entry in file.channels:
        counts = [f"{entry[name]:,} {word}" for name, word in words.items() if entry[name]]
        line = f"channel {entry['channel']}: {entry['received']:,} received, {', '.join(counts)}"
        if entry["rows"]:
            line += f" ({entry['rows']:,} rows)"
        lines.append(line)
    return lines


def _lines(file: FileReport, *, dry_run: bool) -> list[str]:
    """Return how a file was read, what became of its rows, and notes."""
    lines: list[str] = []
    if file.format:
        mapping = dict(file.mapping or {})
        line = f"{file.format}, preset {file.preset}: {pairs_text(mapping.pop('columns', {}))}"
        for name, value in mapping.items():
            line += f"; {name}={value}"
        lines.append(line)
    if file.format and file.dataset:
        counts = f"{file.rows:,} rows"
        if not dry_run:
            counts += f": {file.new:,} new, {file.changed:,} changed, {file.duplicate:,} already there"
        lines.append(f"{file.dataset}: {counts}, {file.quarantined:,} quarantined, {file.first} .. {file.last}")
    for problem in file.problems:
        # The last problem of a refused file is why it was refused.
        if file.refused and problem == file.problems[-1]:
            lines.append(f"refused: {problem}")
        else:
            lines.append(f"note: {problem}")
    return lines
