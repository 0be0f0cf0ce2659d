"""Commands that keep a lake well: init, stats, verify, compact, vacuum, cleanup, rebuild, backup, config."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticklake.core.time import format_time
from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.datasets import Datasets, all_of, chosen
from ticklake.interfaces.cli.output import big, count_of, print_json, print_table, say, total_of
from ticklake.interfaces.cli.progress import watching

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        datasets = all_of(lake, what, timeframe, kind)
        problems = lake.admin.verify(datasets, deep=deep)
        count = len(lake.datasets() if datasets is None else datasets)
    if as_json:
        print_json(problems)
    elif problems:
        print_table(["dataset", "segment", "problem"], [(p.dataset, p.segment, p.problem) for p in problems])
    else:
        named = f"{datasets[0]} is" if datasets is not None and count == 1 else "all is"
        say(f"{named} as it was written ({count:,} datasets)")
    raise typer.Exit(1 if problems else 0)


def stats(lake_path: o.LakePath = None, as_json: o.AsJson = False) -> None:
    """Say how much the lake holds and what that takes, by exchange and kind."""
    with o.opened(lake_path) as lake:
        found = lake.admin.stats()
    if as_json:
        return print_json(found)
    return _show_stats(found)


_GROUP_COLUMNS = (
    *("exchange", "kind", "datasets", "rows", "files"),
    *("in files", "inline", "raw", "retired", "first", "last"),
)


def _show_stats(found: LakeStats) -> None:
    rows = [_group_cells(group) for group in found.groups]
    if rows:
        print_table(_GROUP_COLUMNS, rows, numbers=_GROUP_COLUMNS[2:9])
    counted = f"{count_of(found.datasets, 'dataset')}, {count_of(found.rows, 'row')} in {count_of(found.files, 'file')}"
    size = big(found.bytes)
    if found.compression is not None and found.compression >= 1:
        size += f", {found.compression:.1f} times smaller than raw"
    say(f"{counted}: {size}")
    inline = f"{count_of(found.total('inline_rows'), 'row')} inline"
    say(f"catalog {big(found.catalog_bytes)} ({inline}), its log {big(found.wal_bytes)}")
    retired = found.total("retired_bytes")
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
        named = all_of(lake, what, timeframe, kind)
        datasets: Sequence[Dataset | None] = [None] if named is None else named
        done: list[Repaired] = []
        for dataset in datasets:
            done += lake.repair(dataset, backup=backup, fetch=fetch, retry=retry, watch=watch)
        lost = any(lake.coverage(repaired.mended.dataset).spans(Found.LOST) for repaired in done)
    if as_json:
        print_json(done)
    else:
        _show_repaired(done, every=every)
    raise typer.Exit(3 if lost or any(repaired.left for repaired in done) else 0)


def _show_repaired(done: list[Repaired], *, every: bool) -> None:
    if not done:
        return say("nothing is damaged, and no gap can be closed")
    listed = done
    if not every and len(done) > o.FEW:
        listed = list(filter(_did_something, done))
    for repaired in listed:
        say(_repaired_line(repaired))
    holes = [(str(repaired.mended.dataset), left) for repaired in done for left in repaired.left]
    if not holes:
        return None
    if every:
        rows = [_left_row(name, left) for name, left in holes]
        return print_table(["dataset", "start", "end", "missing", "reason", "why it stays"], rows, numbers=("missing",))
    columns = ["dataset", "reason", "holes", "missing", "from", "to", "why they stay"]
    print_table(columns, _left_summary(holes), numbers=("holes", "missing"))
    datasets = {name for name, _ in holes}
    return say(f"{count_of(len(holes), 'hole')} in {count_of(len(datasets), 'dataset')} stay: --all lists each")


def _left_row(name: str, left: Left) -> tuple[Any, ...]:
    start, end = map(format_time, left.gap.span)
    return name, start, end, left.gap.missing, left.gap.reason, left.why


def _did_something(repaired: Repaired) -> bool:
    mended = repaired.mended
    return bool(mended.restored or mended.replaced or mended.lost or repaired.run or repaired.closed)


def _left_summary(holes: list[tuple[str, Left]]) -> list[tuple[str, ...]]:
    """Return a line for each dataset and reason, with why the first of its holes stays and how many have another one."""
    lines: dict[tuple[str, str], list[Left]] = {}
    for name, left in holes:
        lines.setdefault((name, str(left.gap.reason)), []).append(left)
    rows: list[tuple[str, ...]] = []
    for (name, reason), group in sorted(lines.items()):
        why = group[0].why
        others = len({left.why for left in group}) - 1
        if others:
            why += f" (and {count_of(others, 'other reason')})"
        start = min(left.gap.span.start for left in group)
        end = max(left.gap.span.end for left in group)
        missing = total_of([left.gap.missing for left in group])
        rows.append((name, reason, f"{len(group):,}", missing, format_time(start), format_time(end), why))
    return rows


def _repaired_line(repaired: Repaired) -> str:
    mended = repaired.mended
    outcome = repaired.run.outcome if repaired.run else repaired.note
    parts: list[str] = []
    if mended.restored or mended.replaced:
        parts.append(f"{mended.restored} segments from the backup, {mended.replaced} replaced")
    if mended.replaced:
        parts.append(f"{mended.salvaged:,} rows of them saved")
    if mended.lost:
        parts.append(f"lost {', '.join(map(str, mended.lost))}")
    if outcome:
        parts.append(f"asked: {outcome}")
    if repaired.closed:
        parts.append(f"{count_of(len(repaired.closed), 'gap')} closed")
    if repaired.left:
        parts.append(f"{len(repaired.left):,} stay")
    return f"{mended.dataset}: {'; '.join(parts)}"


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
    verb = "would remove" if dry_run else "removed"
    return say(f"{verb} {done.segments:,} old segments and {done.garbage:,} files nobody names: {big(done.bytes)}")


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
        _ = chosen(lake, [exchange] if exchange else [], None, None)
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
    rows = [_cleaned_row(cleaned) for cleaned in done.datasets]
    columns = ["dataset", "before", "rows", "bytes", "segments", "cut", "quarantined", "revisions"]
    if rows:
        print_table(columns, rows, numbers=columns[2:])
    verb = "would remove" if dry_run else "removed"
    lines = f" and {done.log_lines:,} lines of run logs" if history else ""
    say(f"{verb} {done.rows:,} rows ({big(done.bytes)} of segments){lines}")
    if done.bytes and not dry_run:
        say("the disk has that space once older versions are gone: 'ticklake vacuum', which keeps them for 7 days")
    return None


def _cleaned_row(cleaned: Cleaned) -> tuple[Any, ...]:
    gone, history = cleaned.deleted, cleaned.history
    counts = (gone.rows, gone.bytes, gone.whole, gone.cut, history.quarantined, history.revisions)
    return str(cleaned.dataset), format_time(cleaned.before), *counts


def rebuild(force: Force = False, lake_path: o.LakePath = None, as_json: o.AsJson = False) -> None:
    """Make a new catalog from what can be read of the old one and from the files; the old one is kept beside it."""
    from ticklake.app import rebuild_lake
    from ticklake.config import load_settings

    done = rebuild_lake(lake_path or load_settings().lake, force=force)
    if as_json:
        print_json(done)
    else:
        _show_rebuilt(done)
    raise typer.Exit(1 if done.unreadable or done.lost else 0)


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

    settings = load_settings().model_dump(mode="json")
    if as_json:
        return print_json(settings)
    for name, value in settings.items():
        say(f"{name} = {value}")
    return say("set them in ticklake.toml or with TICKLAKE_... variables: see docs/reference/settings.md")
