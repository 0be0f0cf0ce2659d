"""Figures, what they should be, and whether they are: pure arithmetic."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["OURS", "Figure", "Result", "Target", "Verdict"]

OURS = "ticklake"


@dataclass(frozen=True, slots=True)
class Figure:
    """What one contender reached in one workload: samples, or the reason why there are none."""

    samples: tuple[float, ...] = ()
    reason: str = ""
    failed: bool = False

    @property
    def median(self) -> float | None:
        """The middle sample."""
        return statistics.median(self.samples) if self.samples else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target that was looked at: what ours may be, and whether it is."""

    text: str
    allowed: float | None
    passed: bool | None


@dataclass(frozen=True, slots=True)
class Target:
    """Ours must be at most *limit* times the figure of *against*, or at most *limit* if nobody is named; or *at_least* that."""

    limit: float
    against: str = ""
    at_least: bool = False

    def text(self, unit: str) -> str:
        """Say the target in words."""
        if self.at_least:
            return f">= {self.limit:,g} {unit}"
        if not self.against:
            return f"<= {self.limit:g} {unit}"
        if self.limit < 0.1:
            return f">= {1 / self.limit:g}x faster than {self.against}"
        return f"<= {self.limit:g}x {self.against}"

    def judge(self, figures: Mapping[str, Figure], unit: str) -> Verdict:
        """Compare ours with the limit; undecided if either was not measured."""
        other = figures[self.against].median if self.against in figures else None
        base = other if self.against else 1.0
        allowed = None if base is None else base * self.limit
        ours = figures[OURS].median if OURS in figures else None
        passed = None
        if ours is not None and allowed is not None:
            passed = ours >= allowed if self.at_least else ours <= allowed
        return Verdict(self.text(unit), allowed, passed)


@dataclass(frozen=True, slots=True)
class Result:
    """One row of the table."""

    name: str
    title: str
    unit: str
    figures: Mapping[str, Figure]
    targets: tuple[Target, ...] = field(default=())

    def ratio(self, contender: str) -> float | None:
        """How many times ours the other's figure is: above 1, ours is better."""
        ours, other = (self.figures[name].median if name in self.figures else None for name in (OURS, contender))
        return None if not ours or other is None else other / ours

    def verdicts(self) -> list[Verdict]:
        """Judge every target."""
        return [target.judge(self.figures, self.unit) for target in self.targets]
