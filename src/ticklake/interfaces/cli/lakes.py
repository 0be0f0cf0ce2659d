"""Commands between lakes: import-lake, export, migrate."""

from __future__ import annotations

from collections.abc import Iterator
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
Told = Annotated[
    list[str] | None,
    typer.Option(
        "--symbol", metavar="THEIRS=OURS", help="Where a name there is no one's here: FUTURE/BTCUSDT=BTC/USDT:USDT."
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Also replace files that no export wrote.")]


def import_lake(
    path: Theirs,
    layout: Guessed = None,
    symbol: Told = None,
    dry_run: DryRun = False,
    every: o.EachFile = False,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Bring in what another program's lake holds; that lake is only read. Exit code 3: not all of it went in."""
    with o.opened_for(lake_path, dry_run=dry_run) as lake, watching(path.name, quiet=as_json) as watch:
        report = lake.import_lake(path, layout, symbols=dict(_told(symbol or [])), dry_run=dry_run, watch=watch)
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
        done = migrate_dccd(path, dry_run=dry_run, watch=watch)
    if as_json:
        print_json(done)
    else:
        rows = [(f.path, f"{f.rows:,}", _became(f), ", ".join(f.from_schema), f.error) for f in done]
        print_table(["path", "rows", "state", "columns before", "error"], rows, numbers=("rows",))
        say(f"{sum(file.needed for file in done):,} of {len(done):,} files are of version 2")
    raise typer.Exit(INCOMPLETE if any(file.error for file in done) else 0)


def _told(pairs: list[str]) -> Iterator[tuple[str, str]]:
    for pair in pairs:
        theirs, equals, ours = pair.partition("=")
        if not (theirs and equals and ours):
            raise typer.BadParameter(f"{pair!r} is not THEIRS=OURS", param_hint="--symbol")
        yield theirs, ours


def _became(file: MigratedFile) -> str:
    if file.error:
        return "left"
    if file.migrated:
        return "migrated"
    return "to migrate" if file.needed else "as it should be"


def _show(report: Report, *, every: bool, as_json: bool) -> None:
    counts = report.counts
    if as_json:
        print_json(report)
    else:
        columns = ["path", "state", "dataset", "rows", "new", "changed", "refused", "note"]
        rows = [
            (f.path, f.state, f.dataset, f"{f.rows:,}", f"{f.new:,}", f"{f.changed:,}", f"{f.quarantined:,}", f.note)
            for f in report.files
            if every or len(report.files) <= o.FEW or f.note or f.quarantined
        ]
        if rows:
            print_table(columns, rows, numbers=("rows", "new", "changed", "refused"))
        if len(rows) < len(report.files):
            say(f"{count_of(len(report.files) - len(rows), 'file')} without a note: --all lists each")
        say(f"{count_of(len(report.files), 'file')}, layout {report.layout}: {count_of(counts['rows'], 'row')}")
    raise typer.Exit(0 if report.is_complete else INCOMPLETE)
