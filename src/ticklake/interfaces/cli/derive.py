"""Commands about datasets that are made of others: derive add, list, refresh, drop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.delete import Yes, ask
from ticklake.interfaces.cli.output import count_of, print_json, print_table, say
from ticklake.interfaces.cli.read import Closed, Origin, Session, edges_of

if TYPE_CHECKING:
    from ticklake.core.rules import DerivedRule, Refreshed

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Datasets that are made of others by rules: add, list, refresh, drop.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of the rule: the variant of what it makes.")]
SomeName = Annotated[str | None, typer.Argument(metavar="[NAME]", help="The name of a rule. [default: all]")]
Inputs = Annotated[
    list[str],
    typer.Option("--from", metavar="DATA", help="Datasets or patterns, like 'binance:trades:*'; may be given again."),
]
To = Annotated[
    str, typer.Option("--to", metavar="RULE", help="The bars: 5m, 1h, 1d, ...; 100ticks, 5volume, 1000000dollars.")
]
Kind = Annotated[
    str | None,
    typer.Option("--kind", "-k", help="ohlcv, or bars, which have all that is known of a bar. [default: what fits]"),
]


@app.command("add")
def add_rule(
    name: Name,
    inputs: Inputs,
    to: To,
    kind: Kind = None,
    closed: Closed = None,
    origin: Origin = None,
    session: Session = None,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Declare a rule; 'ticklake derive refresh' makes what it says, and keeps it up to date."""
    with o.opened(lake_path, create=True) as lake:
        edges = edges_of(closed, None, origin, session, None)
        rule = lake.derive(name, inputs, to, kind=kind, **edges)
    if as_json:
        return print_json(rule)
    return say(
        f"rule {rule.name} makes {rule.rule} bars of {', '.join(rule.inputs)}: 'ticklake derive refresh {rule.name}'"
    )


@app.command("list")
def list_rules(lake_path: o.LakePath = None, as_json: o.AsJson = False) -> None:
    """List the rules, and what they have made."""
    with o.opened(lake_path) as lake:
        rules = lake.derived.list()
    if as_json:
        return print_json(rules)
    return print_table(
        ["name", "from", "to", "kind", "version", "datasets"], map(_row, rules), numbers=("version", "datasets")
    )


@app.command("refresh")
def refresh_rules(name: SomeName = None, lake_path: o.LakePath = None, as_json: o.AsJson = False) -> None:
    """Bring what rules make up to date: only bars that changed rows touch are computed again."""
    with o.opened(lake_path) as lake:
        done = lake.derived.refresh(name)
    if as_json:
        return print_json(done)
    return _say_done(done)


@app.command("drop")
def drop_rule(
    name: Name,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Yes = False,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Remove a rule and all that it has made; older versions hold the rows until vacuum."""
    with o.opened(lake_path) as lake:
        datasets = lake.derived.get(name).datasets
        rows = sum(lake.drop(dataset, dry_run=True) for dataset in datasets)
        if not dry_run:
            ask(f"remove the rule {name}, and {count_of(rows, 'row')} that it made?", yes=yes, as_json=as_json)
            rows = lake.derived.drop(name)
    if as_json:
        return print_json({"rule": name, "datasets": datasets, "rows": rows, "dry_run": dry_run})
    happened = "is gone"
    if dry_run:
        happened = "would go"
    return say(f"rule {name} {happened}, and {count_of(rows, 'row')} that it made")


def _row(rule: DerivedRule) -> tuple[Any, ...]:
    return rule.name, " ".join(rule.inputs), rule.rule, rule.kind, rule.read_version, len(rule.datasets)


def _say_done(done: Sequence[Refreshed]) -> None:
    if not done:
        say("there are no rules: 'ticklake derive add' declares one")
    for each in done:
        text = f"{each.name}: {each.new:,} new, {each.changed:,} changed, {each.removed:,} removed"
        if each.dropped:
            text += f"; dropped {', '.join(each.dropped)}"
        say(f"{text}; up to version {each.version}")
