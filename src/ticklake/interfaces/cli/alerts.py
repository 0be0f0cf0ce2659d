"""Commands about alerts: what is wrong, and whether those who should be told can be."""

from __future__ import annotations

import typer

from ticklake.core.time import format_time
from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.output import print_json, print_table, say

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="What is wrong with the lake, and who is told.")


@app.command("check")
def check(lake: o.LakePath = None, as_json: o.AsJson = False) -> None:
    """Look for failed runs, stale datasets, gaps and a full disk, and tell. Exit code 3: something is wrong."""
    with o.opened(lake) as held:
        told = held.alerts.check()
        going_on = held.alerts.known() if held.alerts.is_on else [one for one in told if not one.is_recovery]
        is_on = held.alerts.is_on
    if as_json:
        print_json({"told": told if is_on else [], "wrong": going_on})
    elif going_on:
        rows = [(one.rule, one.subject, one.text, format_time(one.since or 0)) for one in going_on]
        print_table(["rule", "subject", "what", "since"], rows)
    else:
        say("all is well")
    if not as_json:
        say(f"messages sent: {len(told):,}" if is_on else "nobody is told: alerts.urls is not set")
    raise typer.Exit(3 if going_on else 0)


@app.command("test")
def send_test(lake: o.LakePath = None, as_json: o.AsJson = False) -> None:
    """Send a notification to every address, to see whether it arrives."""
    with o.opened(lake) as held:
        held.alerts.test()
    if as_json:
        return print_json({"sent": True})
    return say("sent to every address")
