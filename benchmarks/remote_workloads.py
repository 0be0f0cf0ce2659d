"""The workloads of the remote client. They share one run, in a process of its own, which prints its figures as JSON."""

from __future__ import annotations

from functools import partial

from benchmarks.figures import OURS, Target
from benchmarks.live_workloads import printed
from benchmarks.workload import Scale, Workload

__all__ = ["remote_workloads"]


def remote_workloads(scale: Scale) -> list[Workload]:
    """Return the workloads of a scale. Ours alone takes part: the local read is the peer, in the same run."""
    row = partial(Workload, repeats=scale.few, returns=True, only=(OURS,), warm_up=False)
    run = ("remote", "--trades", scale.trades)
    read = f"{scale.trades:,} trades to a client"
    return [
        row("remote", read, printed("remote_ms", *run), ()),
        row(
            "remote-share",
            f"{read}, against a local read",
            printed("share_of_local", *run),
            (Target(0.5, at_least=True),),
            unit="of its speed",
        ),
        row("remote-arrow", f"{read}, as Arrow", printed("arrow_ms", *run), ()),
        row(
            "remote-memory",
            f"{read}: growth of the server",
            printed("server_growth_mb", *run),
            (Target(64),),
            unit="MB",
        ),
    ]
