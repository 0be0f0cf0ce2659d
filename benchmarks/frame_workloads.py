"""The workloads of frames. Each runs a benchmark in a process of its own, which prints its figures as JSON."""

from __future__ import annotations

from functools import partial

from benchmarks.figures import OURS, Target
from benchmarks.live_workloads import printed
from benchmarks.workload import Scale, Workload

__all__ = ["frame_workloads"]

PACE = 30_000
"""Messages a second that come while frames are made."""


def frame_workloads(scale: Scale) -> list[Workload]:
    """Return the workloads of a scale. Ours alone takes part: no peer knows from when on a row was known."""
    row = partial(Workload, repeats=scale.few, returns=True, only=(OURS,), warm_up=False)
    many = f"{scale.frames:,} past instants"
    run = ("frames", "--instants", scale.frames, "--trades", scale.trades)
    live = ("live", "--events", PACE * scale.seconds, "--pace", PACE, "--frames")
    meanwhile = "a frame of now with 60 bars and 16 indicators while another process collects 30,000 messages/s"
    itself = "a frame of now with 60 bars and 16 indicators in a process that collects 30,000 messages/s itself"
    return [
        row(
            "frame-hot",
            "a frame of 60 bars and 16 indicators from memory, p99",
            printed("hot_p99_ms", *run),
            (Target(1),),
        ),
        row("frame-cold", "a frame of a lake that was just opened", printed("cold_p50_ms", *run), (Target(10),)),
        row(
            "frame-many",
            f"{many} in one call, against as many calls on warm memory",
            printed("times_faster", *run),
            (Target(20, at_least=True),),
            unit="times as fast",
        ),
        row("frame-of-many", f"one of {many}, CPU", printed("batched_us", *run), (), unit="us"),
        row(
            "frame-live",
            f"{meanwhile}, p99",
            printed("frame_p99_ms", *live, "bars", "--apart", pace=PACE),
            (Target(1),),
        ),
        row(
            "frame-live-trades",
            f"{meanwhile}, with the trades of the hour, p99",
            printed("frame_p99_ms", *live, "trades", "--apart", pace=PACE),
            (),
        ),
        row("frame-collecting", f"{itself}, p99", printed("frame_p99_ms", *live, "bars", pace=PACE), ()),
    ]
