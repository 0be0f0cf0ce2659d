"""The workloads of reading over HTTP. Each runs a benchmark in a process of its own, which prints its figures as JSON."""

from __future__ import annotations

from functools import partial

from benchmarks.figures import OURS, Target
from benchmarks.live_workloads import printed
from benchmarks.workload import Scale, Workload

__all__ = ["http_workloads"]

_PEER = "datasette"


def http_workloads(scale: Scale) -> list[Workload]:
    """Return the workloads of a scale. All rows share one run of each server."""
    row = partial(Workload, repeats=scale.few, returns=True, only=(OURS, _PEER), warm_up=False)
    run = ("http", "--seconds", scale.seconds / 2, "--warm", scale.seconds / 2)
    read = "100 clients read random days as JSON from two processes"
    served = partial(printed, named=True)
    return [
        row(
            "http-rate",
            read,
            served("requests_per_second", *run),
            (Target(1_000, at_least=True),),
            unit="requests/s",
        ),
        row("http-p50", f"{read}, p50", served("p50_ms", *run), ()),
        row("http-p99", f"{read}, p99", served("p99_ms", *run), (Target(150), Target(1, _PEER))),
        row(
            "http-cpu",
            f"{read}: the servers",
            served("cpu_ms_per_request", *run),
            (Target(1, _PEER),),
            unit="ms of CPU",
        ),
        row(
            "http-growth", f"{read}: growth of the servers", served("memory_growth_mb", *run), (Target(20),), unit="MB"
        ),
    ]
