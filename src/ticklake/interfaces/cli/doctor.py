"""The command doctor."""

from __future__ import annotations

from typing import Annotated

import typer

from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.output import count_of, print_json, say

__all__ = ["doctor"]

Offline = Annotated[bool, typer.Option("--offline", help="Ask no exchange.")]


def doctor(
    offline: Offline = False,
    lake_path: o.LakePath = None,
    exchange_url: o.ExchangeUrl = None,
    as_json: o.AsJson = False,
) -> None:
    """Look for what is wrong with the machine, the settings, the lake and the exchanges. Exit code 1: something is."""
    from ticklake.interfaces.doctor.examine import examine
    from ticklake.interfaces.doctor.findings import Finding, State

    findings: list[Finding] = []
    for finding in examine(lake_path, exchange_url, offline=offline):
        findings.append(finding)
        # As they come: exchanges may take seconds to answer.
        if not as_json:
            said = ": ".join(filter(None, [finding.text, finding.cure]))
            say(f"{finding.state:<8} {finding.check:<12} {said}")
    bad = sum(finding.state is State.WRONG for finding in findings)
    if as_json:
        print_json(findings)
    else:
        warned = sum(finding.state is State.WARNING for finding in findings)
        say(f"{bad} wrong, {count_of(warned, 'warning')}")
    if bad:
        raise typer.Exit(1)
