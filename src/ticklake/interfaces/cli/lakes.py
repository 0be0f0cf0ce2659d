"""Commands for the files of other programs' lakes: import-lake, export, migrate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.datasets import Datasets, all_of
from ticklake.interfaces.cli.output import count_of, print_json, print_table, say
from ticklake.interfaces.cli.progress import watching

if TYPE_CHECKING:
    from ticklake.core.file_reports import MigratedFile, Report

__all__ = ["export", "import_lake", "migrate"]

INCOMPLETE = 3
Theirs = Annotated[Path, typer.Argument(metavar="PATH", help="The other lake's folder.")]
Guessed = Annotated[str | None, typer.Option("--layout", help="dccd, dl-datalake or hive. [default: guessed]")]
Wanted = Annotated[str, typer.Option("--layout", help="dccd, dl-datalake or hive.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
Chosen = Annotated[
    list[str] | None,
    typer.Option("--dataset", metavar="NAME", help="Like binance:ohlcv:1h:BTC/USDT or 'binance:*'. [default: all]"),
]
SymbolNames = Annotated[
    list[str] | None,
    typer.Option(
        "--symbol", metavar="THEIRS=OURS", help="Where a name there is no one's here: FUTURE/BTCUSDT=BTC/USDT:USDT."
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Also replace files that no export wrote.")]


def import_lake(
    path: Theirs,
    layout: Guessed = None,
    symbol: SymbolNames = None,
    dry_run: DryRun = False,
    every: o.EachFile = False,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Bring in what another program's lake holds; that lake is only read. Exit code 3: not all of it went in."""
    with o.opened_for(lake_path, dry_run=dry_run) as lake, watching(path.name, quiet=as_json) as watch:
        report = lake.import_lake(path, layout, symbols=dict(_symbol_names(symbol or [])), dry_run=dry_run, watch=watch)
    _show(report, every=every, as_json=as_json)


def export(
    path: Theirs,
    layout: Wanted,
    what: Datasets = None,
    timeframe: o.TimeframeText = None,
    kind: o.KindName = None,
    dataset: Chosen = None,
    start: o.Start = None,
    end: o.End = None,
    overwrite: Overwrite = False,
    every: o.EachFile = False,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Write rows as files that another program reads. Exit code 3: not all of them have a place there."""
    with o.opened(lake_path) as lake, watching(path.name, quiet=as_json) as watch:
        named = [*(all_of(lake, what, timeframe, kind) or ()), *(dataset or ())]
        report = lake.export(
            path, layout=layout, datasets=named or None, start=start, end=end, overwrite=overwrite, watch=watch
        )
    _show(report, every=every, as_json=as_json)


def migrate(
    program: Annotated[str, typer.Argument(metavar="PROGRAM", help="dccd: from its version 2 to its version 3.")],
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The folder of its files, changed in place.")],
    dry_run: DryRun = False,
    as_json: o.AsJson = False,
) -> None:
    """Bring another program's files to its newer layout, in place. Exit code 3: some could not be."""
    from ticklake.errors import BadInput
    from ticklake.interchange.migrate import migrate_dccd

    if program != "dccd":
        raise BadInput(f"{program!r} cannot be migrated: only dccd can")
    with watching(path.name, quiet=as_json) as watch:
        files = migrate_dccd(path, dry_run=dry_run, watch=watch)
    if as_json:
        print_json(files)
    else:
        _show_migrated(files)
    if any(file.error for file in files):
        raise typer.Exit(INCOMPLETE)


def _show_migrated(files: Sequence[MigratedFile]) -> None:
    columns = ["path", "rows", "state", "columns before", "error"]
    print_table(columns, map(_migrated_row, files), numbers=("rows",))
    say(f"{sum(file.needed for file in files):,} of {len(files):,} files are of version 2")


def _symbol_names(pairs: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the other program's name of a symbol and ours."""
    for pair in pairs:
        theirs, equals, ours = pair.partition("=")
        if not (theirs and equals and ours):
            raise typer.BadParameter(f"{pair!r} is not THEIRS=OURS", param_hint="--symbol")
        yield theirs, ours


def _migrated_row(file: MigratedFile) -> tuple[str, ...]:
    return file.path, f"{file.rows:,}", _migration_state(file), ", ".join(file.from_schema), file.error


def _migration_state(file: MigratedFile) -> str:
    if file.error:
        return "left"
    if file.migrated:
        return "migrated"
    if file.needed:
        return "to migrate"
    return "as it should be"


def _show(report: Report, *, every: bool, as_json: bool) -> None:
    if as_json:
        print_json(report)
    else:
        _show_files(report, every=every or len(report.files) <= o.FEW)
    if not report.is_complete:
        raise typer.Exit(INCOMPLETE)


def _show_files(report: Report, *, every: bool) -> None:
    columns = ["path", "state", "dataset", "rows", "new", "changed", "refused", "note"]
    rows: list[tuple[str, ...]] = []
    for file in report.files:
        if every or file.note or file.quarantined:
            counts = (f"{file.rows:,}", f"{file.new:,}", f"{file.changed:,}", f"{file.quarantined:,}")
            rows.append((file.path, file.state, file.dataset, *counts, file.note))
    if rows:
        print_table(columns, rows, numbers=("rows", "new", "changed", "refused"))
    total = len(report.files)
    if len(rows) < total:
        say(f"{count_of(total - len(rows), 'file')} without a note: --all lists each")
    say(f"{count_of(total, 'file')}, layout {report.layout}: {count_of(report.counts['rows'], 'row')}")
