"""Measuring one workload: contenders take turns, so that noise hits all alike."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.contenders.base import Cannot, Contender
from benchmarks.figures import Figure, Result
from benchmarks.workload import Market, Step, Steps, Workload

__all__ = ["measure", "timed"]


@dataclass
class _Lane:
    """One contender in one workload."""

    steps: Steps
    samples: list[float] = field(default_factory=list)
    reason: str = ""
    failed: bool = False

    def take(self, workload: Workload, *, keep: bool) -> None:
        """Do the next step, unless this contender is out already."""
        if self.reason:
            return
        try:
            sample = _sample(next(self.steps), returns=workload.returns)
        except Cannot as cannot:
            self.reason = str(cannot)
        except Exception as error:  # a peer may break in any way: it is out, the others go on
            self.reason, self.failed = f"{type(error).__name__}: {str(error).strip()[:200]}", True
        else:
            self.samples += [sample] if keep else []

    def figure(self) -> Figure:
        """Return what was measured; nothing if it broke on the way."""
        return Figure((), self.reason, self.failed) if self.reason else Figure(tuple(self.samples))


def measure(workload: Workload, contenders: Mapping[str, type[Contender]], folder: Path, market: Market) -> Result:
    """Set everybody up, warm up once, then repeat in turns."""
    taking = [name for name in contenders if not workload.only or name in workload.only]
    lanes = {name: _Lane(workload.prepare(contenders[name], folder / name, market)) for name in taking}
    for turn in range(0 if workload.warm_up else 1, workload.repeats + 1):
        for name in sorted(lanes, key=lambda name, turn=turn: (taking.index(name) + turn) % len(taking)):  # type: ignore[misc]
            lanes[name].take(workload, keep=turn > 0)
    figures = {name: lane.figure() for name, lane in lanes.items()}
    for lane in lanes.values():
        _close(lane.steps)
    return Result(workload.name, workload.title, workload.unit, figures, workload.targets)


def timed(step: Step) -> tuple[float, object]:
    """Run a step without the garbage collector; return its milliseconds and its answer."""
    with _no_garbage():
        start = time.perf_counter()
        answer = step.run()
        return (time.perf_counter() - start) * 1000, answer


def _sample(step: Step, *, returns: bool) -> float:
    elapsed, answer = timed(step)
    if step.rows is not None and len(answer) != step.rows:  # type: ignore[arg-type]
        raise AssertionError(f"{len(answer):,} rows came back, not {step.rows:,}")  # type: ignore[arg-type]
    return float(answer) if returns else elapsed  # type: ignore[arg-type]


def _close(steps: Steps) -> None:
    try:
        steps.close()  # type: ignore[attr-defined]
    except Exception as error:
        print(f"while closing: {error}", file=sys.stderr)


@contextmanager
def _no_garbage() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
