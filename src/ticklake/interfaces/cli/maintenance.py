"""Commands of maintenance: init, stats, verify, compact, repair, vacuum, cleanup, rebuild, backup, config."""

from __future__ import annotations

from itertools import starmap
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticklake.core.time import format_time
from ticklake.interfaces.cli import holes
from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.datasets import Datasets, all_of, chosen
from ticklake.interfaces.cli.output import big, count_of, print_json, print_table, say
from ticklake.interfaces.cli.progress import watching

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ticklake.core.dataset import Dataset
    from ticklake.core.repair_plan import Left, Repaired
    from ticklake.core.results import Cleaned, Rebuilt
    from ticklake.core.statistics import GroupStats, LakeStats

__all__ = ["backup", "cleanup", "compact", "config", "init", "rebuild", "repair", "stats", "vacuum", "verify"]

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the copy goes; it becomes a lake itself.")]
Deep = Annotated[bool, typer.Option("--deep", help="Decode every value again.")]
Force = Annotated[bool, typer.Option("--force", help="Rebuild a catalog that is sound, too.")]
Keep = Annotated[str, typer.Option("--keep", metavar="LENGTH", help="Keep older versions for so long: 7d, 24h, 0.")]
KeepDays = Annotated[float | None, typer.Option("--keep-days", min=0, hidden=True)]


def init(
    path: Annotated[str | None, typer.Argument(help="The folder. [default: ./data]")] = None, as_json: o.AsJson = False
) -> None:
    """Make a lake."""
    with o.opened(path, create=True) as lake:
        root, version = str(lake.root), lake.engine.catalog.version()
    if as_json:
        return print_json({"lake": root, "version": version})
    say(f"the lake is in {root}")
    return say("next: ticklake backfill binance BTC/USDT --timeframe 1h --start 2024-01-01")


def verify(
    what: Datasets = None,
    timeframe: o.TimeframeText = None,
    kind: o.KindName = None,
    deep: Deep = False,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Check that every segment is there and is what was written. Exit code 1: something is damaged."""
    with o.opened(lake_path) as lake:
        named = all_of(lake, what, timeframe, kind)
        problems = lake.admin.verify(named, deep=deep)
        subject = "all is"
        if named is None:
            # The problems may be of files and of the catalog, which belong to no dataset.
            count = len(lake.datasets())
        else:
            count = len(named)
            if count == 1:
                subject = f"{named[0]} is"
    if as_json:
        print_json(problems)
    elif problems:
        columns = ("dataset", "segment", "problem")
        print_table(columns, map(attrgetter(*columns), problems))
    else:
        say(f"{subject} as it was written ({count:,} datasets)")
    if problems:
        raise typer.Exit(1)


def stats(lake_path: o.LakePath = None, as_json: o.AsJson = False) -> None:
    """Say how much the lake holds and what that takes, by exchange and kind."""
    with o.opened(lake_path) as lake:
        statistics = lake.stats()
    if as_json:
        return print_json(statistics)
    return _show_stats(statistics)


_GROUP_COLUMNS = (
    *("exchange", "kind", "datasets", "rows", "files"),
    *("in files", "inline", "raw", "retired", "first", "last"),
)


def _show_stats(statistics: LakeStats) -> None:
    if statistics.groups:
        print_table(_GROUP_COLUMNS, map(_group_cells, statistics.groups), numbers=_GROUP_COLUMNS[2:9])
    datasets, rows = count_of(statistics.datasets, "dataset"), count_of(statistics.rows, "row")
    size = big(statistics.bytes)
    # Few rows take more room in files than raw: each file has a footer.
    if statistics.compression is not None and statistics.compression >= 1:
        size += f", {statistics.compression:.1f} times smaller than raw"
    say(f"{datasets}, {rows} in {count_of(statistics.files, 'file')}: {size}")
    inline = f"{count_of(statistics.total('inline_rows'), 'row')} inline"
    say(f"catalog {big(statistics.catalog_bytes)} ({inline}), its log {big(statistics.wal_bytes)}")
    retired = statistics.total("retired_bytes")
    if retired:
        say(f"retired {big(retired)}: 'ticklake vacuum' frees what is older than it keeps")


def _group_cells(group: GroupStats) -> tuple[Any, ...]:
    return (
        *(group.exchange, group.kind, f"{group.datasets:,}", f"{group.rows:,}", f"{group.files:,}"),
        *(big(group.file_bytes), big(group.inline_bytes), big(group.raw_bytes), big(group.retired_bytes)),
        *(o.moment(group.first), o.moment(group.last)),
    )


def compact(
    what: Datasets = None,
    timeframe: o.TimeframeText = None,
    kind: o.KindName = None,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Make few large files of many small segments."""
    with o.opened(lake_path) as lake:
        done = lake.admin.compact(all_of(lake, what, timeframe, kind))
    if as_json:
        return print_json(done)
    rows: list[tuple[Any, ...]] = []
    for compaction in done:
        segments = f"{compaction.segments_before:,} -> {compaction.segments_after:,}"
        size = f"{big(compaction.bytes_before)} -> {big(compaction.bytes_after)}"
        rows.append((compaction.dataset, f"{compaction.rows:,}", segments, size))
    return print_table(["dataset", "rows", "segments", "bytes"], rows, numbers=("rows",))


def repair(
    what: Datasets = None,
    timeframe: o.TimeframeText = None,
    kind: o.KindName = None,
    backup: Annotated[
        Path | None, typer.Option("--backup", metavar="FOLDER", help="Take damaged segments from this backup.")
    ] = None,
    fetch: Annotated[bool, typer.Option(help="Ask exchanges for what is missing.")] = True,
    retry: Annotated[
        bool, typer.Option("--retry", help="Also ask for what is unavailable, or was asked for in vain.")
    ] = False,
    every: o.EachHole = False,
    lake_path: o.LakePath = None,
    exchange_url: o.ExchangeUrl = None,
    as_json: o.AsJson = False,
) -> None:
    """Replace what is damaged, and close the gaps that can be closed. Exit code 3: some stay; it says why.

    No exchange is asked for what was only imported or saved.
    """
    from ticklake.core.coverage import Found

    with o.opened(lake_path, exchange_url=exchange_url) as lake, watching("repair", quiet=as_json) as watch:
        datasets: Sequence[Dataset | None] | None = all_of(lake, what, timeframe, kind)
        if datasets is None:
            datasets = [None]
        results: list[Repaired] = []
        for dataset in datasets:
            results += lake.repair(dataset, backup=backup, fetch=fetch, retry=retry, watch=watch)
        lost = any(lake.coverage(result.mended.dataset).spans(Found.LOST) for result in results)
    if as_json:
        print_json(results)
    else:
        _show_repaired(results, every=every)
    if lost or any(result.left for result in results):
        raise typer.Exit(3)


def _show_repaired(results: list[Repaired], *, every: bool) -> None:
    if not results:
        return say("nothing is damaged, and no gap can be closed")
    listed = results
    if not every and len(results) > o.FEW:
        listed = list(filter(_did_something, results))
    for result in listed:
        say(_repaired_line(result))
    open_gaps = list(_open_gaps(results))
    if not open_gaps:
        return None
    if every:
        columns = ["dataset", "start", "end", "missing", "reason", "why it stays"]
        return print_table(columns, starmap(_open_gap_row, open_gaps), numbers=("missing",))
    summary = _open_summary(open_gaps)
    print_table([*holes.COLUMNS, "why they stay"], summary, numbers=holes.NUMBERS)
    datasets = {name for name, *_ in summary}
    return say(f"{count_of(len(open_gaps), 'hole')} in {count_of(len(datasets), 'dataset')} stay: --all lists each")


def _did_something(repaired: Repaired) -> bool:
    mended = repaired.mended
    return bool(mended.restored or mended.replaced or mended.lost or repaired.run or repaired.closed)


def _open_gaps(results: Iterable[Repaired]) -> Iterator[tuple[str, Left]]:
    for result in results:
        for left in result.left:
            yield str(result.mended.dataset), left


def _open_gap_row(name: str, left: Left) -> tuple[Any, ...]:
    return name, *map(format_time, left.gap.span), left.gap.missing, left.gap.reason, left.why


def _open_summary(open_gaps: list[tuple[str, Left]]) -> list[tuple[str, ...]]:
    """Return a line for each dataset and reason, with why the first of its gaps stays and how many other causes there are."""
    causes: dict[tuple[str, str], dict[str, None]] = {}
    for name, left in open_gaps:
        causes.setdefault((name, str(left.gap.reason)), {})[left.why] = None
    rows: list[tuple[str, ...]] = []
    for name, reason, *cells in holes.summary_of((name, left.gap) for name, left in open_gaps):
        why, *others = causes[name, reason]
        if others:
            why += f" (and {count_of(len(others), 'other reason')})"
        rows.append((name, reason, *cells, why))
    return rows


def _repaired_line(repaired: Repaired) -> str:
    mended = repaired.mended
    outcome = repaired.note
    if repaired.run:
        outcome = repaired.run.outcome
    clauses: list[str] = []
    if mended.restored or mended.replaced:
        clauses.append(f"{mended.restored} segments from the backup, {mended.replaced} replaced")
    if mended.replaced:
        clauses.append(f"{mended.salvaged:,} rows of them saved")
    if mended.lost:
        clauses.append(f"lost {', '.join(map(str, mended.lost))}")
    if outcome:
        clauses.append(f"asked: {outcome}")
    if repaired.closed:
        clauses.append(f"{count_of(len(repaired.closed), 'gap')} closed")
    if repaired.left:
        clauses.append(f"{len(repaired.left):,} stay")
    return f"{mended.dataset}: {'; '.join(clauses)}"


def vacuum(
    keep: Keep = "7d",
    keep_days: KeepDays = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Remove old versions and garbage for good."""
    with o.opened(lake_path) as lake:
        done = lake.admin.vacuum(o.length_of(keep, keep_days), dry_run=dry_run)
    if as_json:
        from ticklake.interfaces.schema import to_json

        return print_json({**to_json(done), "dry_run": dry_run})
    return say(
        f"{_removed(dry_run)} {done.segments:,} old segments and {done.garbage:,} files nobody names: {big(done.bytes)}"
    )


def _removed(dry_run: bool) -> str:
    if dry_run:
        return "would remove"
    return "removed"


def cleanup(
    what: Datasets = None,
    timeframe: o.TimeframeText = None,
    days: Annotated[
        int | None, typer.Option("--days", min=1, help="Keep this many days. [default: the setting keep, by kind]")
    ] = None,
    kind: Annotated[list[str] | None, typer.Option("--kind", "-k", help="Only this kind; may be repeated.")] = None,
    exchange: Annotated[str | None, typer.Option("--exchange", metavar="NAME", help="Only this exchange.")] = None,
    history: Annotated[
        bool, typer.Option("--history", help="Also refused rows, revisions and lines of run logs of that time.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Remove rows older than they are kept; they are not fetched again. Files wait for vacuum."""
    with o.opened(lake_path) as lake:
        if exchange:
            # An exchange of which the lake has nothing is a typing error.
            chosen(lake, [exchange], None, None)
        named = all_of(lake, what, timeframe, None)
        done = lake.admin.cleanup(
            days,
            kinds=kind or None,
            exchange=exchange,
            datasets=named,
            history=history,
            dry_run=dry_run,
        )
    if as_json:
        return print_json(done)
    columns = ["dataset", "before", "rows", "bytes", "segments", "cut", "quarantined", "revisions"]
    if done.datasets:
        print_table(columns, map(_cleaned_row, done.datasets), numbers=columns[2:])
    line = f"{_removed(dry_run)} {done.rows:,} rows ({big(done.bytes)} of segments)"
    if history:
        line += f" and {done.log_lines:,} lines of run logs"
    say(line)
    if done.bytes and not dry_run:
        # Older versions still hold the files.
        say("the disk has that space once older versions are gone: 'ticklake vacuum', which keeps them for 7 days")
    return None


def _cleaned_row(cleaned: Cleaned) -> tuple[Any, ...]:
    gone, history = cleaned.deleted, cleaned.history
    counts = (gone.rows, gone.bytes, gone.whole, gone.cut, history.quarantined, history.revisions)
    return str(cleaned.dataset), format_time(cleaned.before), *counts


def rebuild(force: Force = False, lake_path: o.LakePath = None, as_json: o.AsJson = False) -> None:
    """Make a new catalog from what can be read of the old one and from the files; the old one is kept beside it."""
    # The lake is not opened as in other commands: a catalog that must be rebuilt may not open.
    from ticklake.app import rebuild_lake
    from ticklake.config import load_settings

    done = rebuild_lake(lake_path or load_settings().lake, force=force)
    if as_json:
        print_json(done)
    else:
        _show_rebuilt(done)
    if done.unreadable or done.lost:
        raise typer.Exit(1)


def _show_rebuilt(done: Rebuilt) -> None:
    say(
        f"the new catalog has {done.datasets:,} datasets with {done.rows:,} rows "
        f"in {done.files:,} files and {done.inline:,} inline segments"
    )
    for name in done.unreadable:
        say(f"could not read {name}")
    for what in done.lost:
        say(f"lost of the old catalog: {what}")
    if done.uncommitted:
        say(f"{len(done.uncommitted):,} files were never committed: 'ticklake vacuum' removes them")
    if done.kept:
        say(f"the old catalog is kept as {done.kept}")


def backup(folder: Folder, lake_path: o.LakePath = None, as_json: o.AsJson = False) -> None:
    """Copy the lake, whatever writers do meanwhile; again copies only what is new."""
    with o.opened(lake_path) as lake:
        done = lake.admin.backup(folder)
    if as_json:
        return print_json(done)
    return say(
        f"{done.folder} holds the lake: {done.copied:,} files copied ({big(done.bytes)}), {done.kept:,} already there"
    )


def config(as_json: o.AsJson = False) -> None:
    """Show the settings in force; secrets are never shown."""
    from ticklake.config import load_settings

    # Pydantic dumps secrets as asterisks.
    settings = load_settings().model_dump(mode="json")
    if as_json:
        return print_json(settings)
    for name, value in settings.items():
        say(f"{name} = {value}")
    return say("set them in ticklake.toml or with TICKLAKE_... variables: see docs/reference/settings.md")
