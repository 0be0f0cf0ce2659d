"""Commands about alerts: what is wrong, and whether those who should be told can be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from ticklake.core.time import format_time
from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    from ticklake.core.alerts import Alert, Message

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="What is wrong with the lake, and who is told.")


@app.command("check")
def check(lake_path: o.LakePath = None, as_json: o.AsJson = False) -> None:
    """Look for failed runs, stale datasets, gaps and a full disk, and tell. Exit code 3: something is wrong."""
    with o.opened(lake_path) as lake:
        messages = lake.alerts.check()
        is_on = lake.alerts.is_on
        sent: Sequence[Message] = []
        wrong: Sequence[Alert | Message] = [message for message in messages if not message.is_recovery]
        if is_on:
            # The messages are those of this check alone: an alert that was sent before may still hold.
            sent, wrong = messages, lake.alerts.known()
    if as_json:
        print_json({"told": sent, "wrong": wrong})
    else:
        _show(wrong)
        if is_on:
            say(f"messages sent: {len(sent):,}")
        else:
            say("nobody is told: alerts.urls is not set")
    if wrong:
        raise typer.Exit(3)


def _show(wrong: Sequence[Alert | Message]) -> None:
    if not wrong:
        return say("all is well")
    return print_table(["rule", "subject", "what", "since"], map(_row, wrong))


def _row(alert: Alert | Message) -> tuple[str, ...]:
    return alert.rule, alert.subject, alert.text, format_time(alert.since or 0)


@app.command("test")
def send_test(lake_path: o.LakePath = None, as_json: o.AsJson = False) -> None:
    """Send a notification to every address, to see whether it arrives."""
    with o.opened(lake_path) as lake:
        lake.alerts.test()
    if as_json:
        return print_json({"sent": True})
    return say("sent to every address")
