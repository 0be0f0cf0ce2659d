"""Commands that bring data in: exchanges, symbols, backfill, update."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.datasets import Datasets, all_of, chosen, complete_names, some_of, to_collect
from ticklake.interfaces.cli.output import big, print_error, print_json, print_table, say
from ticklake.interfaces.cli.progress import watching

if TYPE_CHECKING:
    from ticklake.core.dataset import Dataset
    from ticklake.core.fetch_plan import FetchPlan
    from ticklake.core.runs import Run
    from ticklake.lake import Lake

__all__ = ["backfill", "exchanges", "symbols", "update"]

_NAMED = 3
"""Datasets that a note names; the others are counted."""
EXIT_CODES = {"succeeded": 0, "incomplete": 3}
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be fetched, and fetch nothing.")]
Collected = Annotated[
    list[str],
    typer.Argument(
        metavar="EXCHANGE SYMBOL... | DATASET...",
        help="Like binance BTC/USDT 'ETH/*', with -t for bars or -k; or names like binance:ohlcv:1h:BTC/USDT.",
        autocompletion=complete_names,
        show_default=False,
    ),
]
SymbolOption = Annotated[
    list[str] | None, typer.Option("--symbols", metavar="PATTERN", help="More symbols or patterns.")
]


def exchanges(
    search: Annotated[str, typer.Argument(help="Only exchanges whose id contains this.")] = "",
    proof: Annotated[
        bool, typer.Option("--proof", help="What proves that no message of a stream is missing, and what it can't see.")
    ] = False,
    as_json: o.AsJson = False,
) -> None:
    """List the exchanges that can be asked, what each serves, and what stands in the way of it: a key, a short history."""
    from ticklake.app import list_exchanges

    if proof:
        return _show_proofs(search, as_json=as_json)
    kinds_by_exchange, broken_sources = list_exchanges(search)
    for problem in broken_sources:
        print_error(f"warning: {problem}")
    if as_json:
        return print_json(kinds_by_exchange)
    rows = [(name, " ".join(kinds), _restrictions(kinds)) for name, kinds in kinds_by_exchange.items()]
    return print_table(["exchange", "serves", "but"], rows)


def _show_proofs(search: str, *, as_json: bool) -> None:
    from ticklake.app import list_proofs

    proofs = list_proofs(search)
    if not as_json:
        return print_table(["exchange", "kind", "proven by", "not seen"], proofs)
    by_exchange: dict[str, dict[str, dict[str, str]]] = {}
    for proof in proofs:
        by_exchange.setdefault(proof.exchange, {})[proof.kind] = {"by": proof.by, "blind": proof.blind}
    return print_json(by_exchange)


def _restrictions(kinds: dict[str, str]) -> str:
    """Return the restrictions of an exchange, each once with all kinds that it applies to."""
    kinds_by_text: dict[str, list[str]] = {}
    for kind, text in kinds.items():
        if text:
            kinds_by_text.setdefault(text, []).append(kind)
    return "; ".join(f"{' '.join(names)}: {text}" for text, names in kinds_by_text.items())


def symbols(
    exchange: o.ExchangeName,
    search: Annotated[str, typer.Option("--search", help="Only symbols that contain this.")] = "",
    exchange_url: o.ExchangeUrl = None,
    as_json: o.AsJson = False,
) -> None:
    """List what an exchange trades."""
    from ticklake.app import memory_lake
    from ticklake.config import load_settings

    with memory_lake(load_settings(exchange_url=exchange_url)) as lake:
        listed = lake.symbols(exchange.lower())
    pattern = search.casefold()
    matches: list[bool] = []
    # Case is folded by Python: symbols need not be ASCII.
    for symbol, native_id in listed.select("symbol", "native_id").iter_rows():
        matches.append(pattern in f"{symbol} {native_id}".casefold())
    matching = listed.filter(matches)
    if as_json:
        return print_json(matching)
    return print_table(matching.columns, matching.rows())


def backfill(
    what: Collected,
    more: SymbolOption = None,
    timeframe: o.TimeframeText = None,
    kind: o.KindName = None,
    start: o.Start = None,
    end: o.End = None,
    all_quote: o.AllQuote = None,
    dry_run: DryRun = False,
    retry: o.Retry = False,
    no_archives: o.NoArchives = False,
    depth: o.Depth = None,
    lake_path: o.LakePath = None,
    exchange_url: o.ExchangeUrl = None,
    as_json: o.AsJson = False,
) -> None:
    """Bring history into the lake: what is missing of it, nothing twice.

    Interrupt it at any moment; the same command goes on where it stopped. Exit code 3: done, but gaps remain.
    """
    exchange, symbols, timeframe, kind = to_collect(what, timeframe, kind)
    # All options but depth, which plan() does not take.
    request: dict[str, Any] = {
        "symbols": [*symbols, *(more or ())],
        "timeframe": timeframe,
        "kind": kind,
        "start": start,
        "end": end,
        "all_quote": all_quote,
        "retry": retry,
        "archives": not no_archives,
    }
    with o.opened(lake_path, create=not dry_run, exchange_url=exchange_url) as lake:
        if dry_run:
            return _show_plans(lake.plan(exchange, **request), as_json=as_json)
        with watching(exchange, quiet=as_json) as watch:
            run = lake.backfill(exchange, **request, depth=depth, watch=watch)
    _show_run(run, as_json=as_json)
    raise typer.Exit(EXIT_CODES.get(run.state, 1))


def update(
    what: Datasets = None,
    timeframe: o.TimeframeText = None,
    kind: o.KindName = None,
    lake_path: o.LakePath = None,
    exchange_url: o.ExchangeUrl = None,
    as_json: o.AsJson = False,
) -> None:
    """Bring what was collected before up to now.

    Books, and what was only imported or saved, are left alone. An exchange that cannot be reached keeps no other from being
    asked. Exit code 3: gaps remain, or some failed; 1: all failed.
    """
    with o.opened(lake_path, exchange_url=exchange_url) as lake, watching("update", quiet=as_json) as watch:
        to_update, left_alone = _to_update(lake, what, timeframe, kind)
        runs = lake.update(to_update, watch=watch)
    _show_updates(runs, list(map(str, left_alone)), as_json=as_json)
    states = {run.state for run in runs}
    if states == {"failed"}:
        raise typer.Exit(1)
    if not states <= {"succeeded"}:
        raise typer.Exit(3)


def _to_update(
    lake: Lake, what: list[str] | None, timeframe: str | None, kind: str | None
) -> tuple[list[Dataset] | None, list[Dataset]]:
    """Return the datasets to be brought up to now, ``None`` for all, and those that no source collected."""
    if not hasattr(lake, "collected"):
        # A server knows which of all can be updated, and refuses what is named and cannot.
        return all_of(lake, what, timeframe, kind), []
    collected = set(lake.collected())
    # A pattern may match both kinds: what was imported is named in a note, and keeps nothing else from being updated.
    to_update: list[Dataset] = []
    left_alone: list[Dataset] = []
    for dataset in chosen(lake, what, timeframe, kind):
        if dataset in collected:
            to_update.append(dataset)
        else:
            left_alone.append(dataset)
    if what and not to_update:
        # The error of the lake says why none of them can be updated.
        to_update = left_alone
    return to_update, left_alone


def _show_updates(runs: list[Run], left_alone: list[str], *, as_json: bool) -> None:
    if as_json:
        return print_json({"runs": runs, "left_alone": left_alone})
    failed: list[str] = []
    for run in runs:
        say(f"run {run.id} {run.state}: {run.subject}: {run.outcome}")
        if run.state == "failed":
            failed.append(run.subject)
    if left_alone:
        print_error(f"note: left alone, for no source collected them: {some_of(left_alone, most=_NAMED)}")
    if failed:
        say(f"{len(failed):,} of {len(runs):,} failed: {', '.join(failed)}")
    if not runs:
        say("there was nothing to bring up to now: 'ticklake backfill' begins a dataset")
    return None


def _show_run(run: Run, *, as_json: bool) -> None:
    if as_json:
        from ticklake.interfaces.schema import to_json

        # The counts stand beside the run as well: scripts read them there.
        return print_json({**run.progress, **to_json(run)})
    say(run.subject)
    say(f"run {run.id} {run.state}: {run.outcome}")
    if run.state != "succeeded":
        say(f"'ticklake gaps' lists what is missing and why, 'ticklake runs {run.id}' what happened")
    return None


def _show_plans(plans: list[FetchPlan], *, as_json: bool) -> None:
    if as_json:
        return print_json(plans)
    pages, seconds = 0, 0.0
    for plan in plans:
        say("\n".join(_plan_lines(plan)))
        pages += plan.pages
        seconds += plan.seconds
    say(f"in all {pages:,} pages, about {seconds:.0f} s; nothing was fetched")
    return None


def _plan_lines(plan: FetchPlan) -> list[str]:
    from ticklake.interfaces.schema import to_json

    as_json = to_json(plan)
    files = ""
    if plan.archives:
        files = f"{len(plan.archives):,} archive files and "
    lines = [f"{plan.dataset}: {files}{plan.pages:,} pages, about {plan.seconds:.0f} s and {big(plan.bytes)}"]
    lines += [f"  fetch {span}" for span in as_json["fetch"]]
    lines += [f"  archive {address}" for address in plan.archives]
    if plan.unavailable:
        lines.append(f"  unavailable {as_json['unavailable']}: {plan.note}")
    return lines
