"""Commands that keep a lake well: init, stats, verify, compact, vacuum, cleanup, rebuild, backup, config."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticklake.core.time import format_time
from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.datasets import Datasets, all_of, chosen
from ticklake.interfaces.cli.output import big, count_of, print_json, print_table, say, total_of
from ticklake.interfaces.cli.progress import watching

if TYPE_CHECKING:
    from ticklake.audit.repair import Repaired
    from ticklake.core.repair_plan import Left
    from ticklake.core.statistics import GroupStats
    from ticklake.engine.rebuild import Rebuilt
    from ticklake.engine.retention import Cleaned

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
    lake: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Check that every segment is there and is what was written. Exit code 1: something is damaged."""
    with o.opened(lake) as held:
        datasets = all_of(held, what, timeframe, kind)
        problems = list(held.engine.verify(datasets, deep=deep))
        count = len(held.datasets() if datasets is None else datasets)
    if as_json:
        print_json([asdict(problem) for problem in problems])
    elif problems:
        print_table(["dataset", "segment", "problem"], [(p.dataset, p.segment, p.problem) for p in problems])
    else:
        named = f"{datasets[0]} is" if datasets is not None and count == 1 else "all is"
        say(f"{named} as it was written ({count:,} datasets)")
    raise typer.Exit(1 if problems else 0)


def stats(lake: o.LakePath = None, as_json: o.AsJson = False) -> None:
    """Say how much the lake holds and what that takes, by exchange and kind."""
    with o.opened(lake) as held:
        found = held.stats()
    if as_json:
        totals = {name: found.total(name) for name in _TOTALS}
        sizes = {"catalog_bytes": found.catalog_bytes, "wal_bytes": found.wal_bytes, "compression": found.compression}
        return print_json({**totals, **sizes, "groups": [_group_fields(group) for group in found.groups]})
    columns = ["exchange", "kind", "datasets", "rows", "files", "in files", "inline", "raw", "retired", "first", "last"]
    rows = [
        (
            *(group.exchange, group.kind, f"{group.datasets:,}", f"{group.rows:,}", f"{group.files:,}"),
            *(big(group.file_bytes), big(group.inline_bytes), big(group.raw_bytes), big(group.retired_bytes)),
            *(o.moment(group.first), o.moment(group.last)),
        )
        for group in found.groups
    ]
    if rows:
        print_table(columns, rows, numbers=columns[2:9])
    times = f", {found.compression:.1f} times smaller than raw" if (found.compression or 0) >= 1 else ""
    counted = f"{count_of(found.datasets, 'dataset')}, {count_of(found.rows, 'row')} in {count_of(found.files, 'file')}"
    say(f"{counted}: {big(found.bytes)}{times}")
    inline = f"{count_of(found.total('inline_rows'), 'row')} inline"
    say(f"catalog {big(found.catalog_bytes)} ({inline}), its log {big(found.wal_bytes)}")
    retired = found.total("retired_bytes")
    return say(f"retired {big(retired)}: 'ticklake vacuum' frees what is older than it keeps") if retired else None


_TOTALS = (
    *(
        "datasets",
        "rows",
        "files",
        "bytes",
        "raw_bytes",
        "file_bytes",
        "inline_segments",
        "inline_rows",
        "inline_bytes",
    ),
    *("retired_segments", "retired_bytes"),
)


def _group_fields(group: GroupStats) -> dict[str, Any]:
    times = {"first": o.moment(group.first), "last": o.moment(group.last)}
    named = {"exchange": group.exchange, "kind": group.kind}
    return {**named, **{name: getattr(group, name) for name in _TOTALS}, **times}


def compact(
    what: Datasets = None,
    timeframe: o.TimeframeText = None,
    kind: o.KindName = None,
    lake: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Make few large files of many small segments."""
    with o.opened(lake) as held:
        done = held.engine.compact(all_of(held, what, timeframe, kind))
    if as_json:
        return print_json([asdict(one) for one in done])
    columns = ["dataset", "rows", "segments", "bytes"]
    rows = [
        (
            c.dataset,
            f"{c.rows:,}",
            f"{c.segments_before:,} -> {c.segments_after:,}",
            f"{big(c.bytes_before)} -> {big(c.bytes_after)}",
        )
        for c in done
    ]
    return print_table(columns, rows, numbers=("rows",))


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
    lake: o.LakePath = None,
    exchange_url: o.ExchangeUrl = None,
    as_json: o.AsJson = False,
) -> None:
    """Replace what is damaged, and close the gaps that can be closed. Exit code 3: some stay; it says why.

    No exchange is asked for what was only imported or saved.
    """
    from ticklake.core.coverage import Found

    with o.opened(lake, exchange_url=exchange_url) as held, watching("repair", quiet=as_json) as watch:
        named = all_of(held, what, timeframe, kind)
        how: dict[str, Any] = {"backup": backup, "fetch": fetch, "retry": retry, "watch": watch}
        done = [one for dataset in ([None] if named is None else named) for one in held.repair(dataset, **how)]
        lost = any(held.coverage(one.mended.dataset).spans(Found.LOST) for one in done)
    if as_json:
        print_json([_repaired_row(one) for one in done])
    else:
        _show_repaired(done, every=every)
    raise typer.Exit(3 if lost or any(one.left for one in done) else 0)


def _show_repaired(done: list[Repaired], *, every: bool) -> None:
    if not done:
        return say("nothing is damaged, and no gap can be closed")
    changed = done if every or len(done) <= o.FEW else [one for one in done if _did_something(one)]
    for one in changed:
        say(_repaired_line(one))
    holes = [(str(one.mended.dataset), left) for one in done for left in one.left]
    if not holes:
        return None
    if every:
        rows = [[str(one.mended.dataset), *left.values()] for one in done for left in _left_rows(one)]
        return print_table(["dataset", "start", "end", "missing", "reason", "why it stays"], rows, numbers=("missing",))
    columns = ["dataset", "reason", "holes", "missing", "from", "to", "why they stay"]
    print_table(columns, _left_summary(holes), numbers=("holes", "missing"))
    return say(
        f"{count_of(len(holes), 'hole')} in {count_of(len({name for name, _ in holes}), 'dataset')} stay: --all lists each"
    )


def _did_something(one: Repaired) -> bool:
    return bool(one.mended.restored or one.mended.replaced or one.mended.lost or one.run or one.closed)


def _left_summary(holes: list[tuple[str, Left]]) -> list[tuple[str, ...]]:
    """Return a line for each dataset and reason, with why the first of its holes stays and how many have another one."""
    lines: dict[tuple[str, str], list[Left]] = {}
    for name, left in holes:
        lines.setdefault((name, str(left.gap.reason)), []).append(left)
    rows: list[tuple[str, ...]] = []
    for (name, reason), group in sorted(lines.items()):
        others = len({left.why for left in group}) - 1
        why = f"{group[0].why} (and {count_of(others, 'other reason')})" if others else group[0].why
        start, end = min(left.gap.span.start for left in group), max(left.gap.span.end for left in group)
        missing = total_of([left.gap.missing for left in group])
        rows.append((name, reason, f"{len(group):,}", missing, format_time(start), format_time(end), why))
    return rows


def _repaired_row(one: Repaired) -> dict[str, Any]:
    mended = one.mended
    return {
        "dataset": str(mended.dataset),
        "restored": mended.restored,
        "replaced": mended.replaced,
        "salvaged": mended.salvaged,
        "lost": [str(span) for span in mended.lost],
        "run": one.run.id if one.run else None,
        "outcome": one.run.outcome if one.run else one.note,
        "closed": len(one.closed),
        "left": _left_rows(one),
    }


def _left_rows(one: Repaired) -> list[dict[str, Any]]:
    from ticklake.core.time import format_time

    return [
        {
            "start": format_time(left.gap.span.start),
            "end": format_time(left.gap.span.end),
            "missing": left.gap.missing,
            "reason": str(left.gap.reason),
            "why": left.why,
        }
        for left in one.left
    ]


def _repaired_line(one: Repaired) -> str:
    row = _repaired_row(one)
    told = []
    if row["restored"] or row["replaced"]:
        told.append(f"{row['restored']} segments from the backup, {row['replaced']} replaced")
    told += [f"{row['salvaged']:,} rows of them saved"] if row["replaced"] else []
    told += [f"lost {', '.join(row['lost'])}"] if row["lost"] else []
    told += [f"asked: {row['outcome']}"] if row["outcome"] else []
    told += [f"{count_of(row['closed'], 'gap')} closed"] if row["closed"] else []
    told += [f"{len(one.left):,} stay"] if one.left else []
    return f"{row['dataset']}: {'; '.join(told)}"


def vacuum(
    keep: Keep = "7d",
    keep_days: KeepDays = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    lake: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Remove old versions and garbage for good."""
    length: str | timedelta = keep if keep_days is None else timedelta(days=min(keep_days, o.LONGEST_DAYS))
    with o.opened(lake) as held:
        done = held.vacuum(length, dry_run=dry_run)
    if as_json:
        return print_json({**asdict(done), "dry_run": dry_run})
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
    lake: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Remove rows older than they are kept; they are not fetched again. Files wait for vacuum."""
    with o.opened(lake) as held:
        _ = chosen(held, [exchange] if exchange else [], None, None)
        named = all_of(held, what, timeframe, None)
        done = held.cleanup(
            days,
            kinds=kind or None,
            exchange=exchange,
            datasets=named,
            history=history,
            dry_run=dry_run,
        )
    rows = [_cleaned_row(one) for one in done.datasets]
    if as_json:
        totals = {"rows": done.rows, "bytes": done.bytes, "log_lines": done.log_lines, "dry_run": done.dry_run}
        return print_json({**totals, "datasets": rows})
    columns = ["dataset", "before", "rows", "bytes", "segments", "cut", "quarantined", "revisions"]
    if rows:
        print_table(columns, [[row[name] for name in columns] for row in rows], numbers=columns[2:])
    verb = "would remove" if dry_run else "removed"
    lines = f" and {done.log_lines:,} lines of run logs" if history else ""
    say(f"{verb} {done.rows:,} rows ({big(done.bytes)} of segments){lines}")
    if done.bytes and not dry_run:
        say("the disk has that space once older versions are gone: 'ticklake vacuum', which keeps them for 7 days")
    return None


def _cleaned_row(one: Cleaned) -> dict[str, Any]:
    return {
        "dataset": str(one.dataset),
        "before": format_time(one.before),
        "rows": one.deleted.rows,
        "bytes": one.deleted.bytes,
        "segments": one.deleted.whole,
        "cut": one.deleted.cut,
        "quarantined": one.history.quarantined,
        "revisions": one.history.revisions,
    }


def rebuild(force: Force = False, lake: o.LakePath = None, as_json: o.AsJson = False) -> None:
    """Make a new catalog from what can be read of the old one and from the files; the old one is kept beside it."""
    from ticklake.app import rebuild_lake
    from ticklake.config import load_settings

    done = rebuild_lake(lake or load_settings().lake, force=force)
    if as_json:
        print_json(asdict(done))
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
    if done.kept:
        say(f"the old catalog is kept as {done.kept}")


def backup(folder: Folder, lake: o.LakePath = None, as_json: o.AsJson = False) -> None:
    """Copy the lake, whatever writers do meanwhile; again copies only what is new."""
    with o.opened(lake) as held:
        done = held.backup(folder)
    if as_json:
        return print_json(asdict(done))
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
