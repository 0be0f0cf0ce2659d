"""Repair plans: which gaps are worth another question, and why the others are not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ticklake.core.dataset import SNAPSHOTS, Dataset
from ticklake.core.display import Displayed
from ticklake.core.gaps import Gap, GapReason, missing_in
from ticklake.core.results import Mended
from ticklake.core.runs import Run
from ticklake.core.span import Span, normalise
from ticklake.core.time import MS

__all__ = ["Left", "RepairPlan", "Repaired", "plan_repair"]

_AGAIN = "--retry asks once more"
_NOT_COLLECTED = (
    "it was only imported or saved, so no source is asked: import what is missing, or 'ticklake backfill' it"
)


@dataclass(frozen=True, slots=True, repr=False)
class Left(Displayed):
    """A gap that stays, and why it cannot be closed."""

    gap: Gap
    why: str


@dataclass(frozen=True, slots=True)
class RepairPlan:
    """What a repair asks a source for: *ask*, sorted and disjoint; what it leaves as it is, and why."""

    dataset: Dataset
    ask: tuple[Span, ...] = ()
    left: tuple[Left, ...] = ()

    def asks_for(self, gap: Gap) -> bool:
        """Whether a gap meets what is asked."""
        return any(gap.span.touches(span) for span in self.ask)


@dataclass(frozen=True, slots=True, repr=False)
class Repaired(Displayed):
    """What a repair did to one dataset.

    ``mended`` is what became of damaged segments (see :class:`~ticklake.core.results.Mended`), ``run`` the run that
    asked for what was missing; where it could not be asked, ``note`` says why. ``closed`` are the gaps that are gone,
    ``left`` those that stay, each with the reason.
    """

    mended: Mended
    run: Run | None = None
    note: str = ""
    closed: tuple[Gap, ...] = ()
    left: tuple[Left, ...] = ()

    def _summary(self) -> dict[str, Any]:
        outcome = self.note
        if self.run is not None:
            outcome = self.run.outcome
        return {
            "dataset": str(self.mended.dataset),
            "restored": self.mended.restored,
            "replaced": self.mended.replaced,
            "lost": self.mended.lost,
            "outcome": outcome,
            "closed": len(self.closed),
            "left": len(self.left),
        }

    @property
    def is_idle(self) -> bool:
        """Whether there was nothing to do and nothing stays open."""
        return not (self.mended.restored or self.mended.replaced or self.run or self.note or self.left)


def plan_repair(
    dataset: Dataset,
    gaps: Iterable[Gap],
    in_vain: Mapping[tuple[Span, str], str],
    *,
    fresh: Iterable[Span] = (),
    retry: bool = False,
    is_collected: bool = True,
) -> RepairPlan:
    """Decide which gaps are asked for again.

    Parameters
    ----------
    in_vain
        Gaps that were asked for again before and stayed, with what was said of them: only *retry* asks once more.
    fresh
        Spans whose rows were just lost to damage: asked for whatever was known of them.
    retry
        Also ask for what is ``unavailable``, and for what was asked in vain.
    is_collected
        Whether a source was ever asked for the dataset. What was only imported or saved is left alone: nobody said that
        the rows of a source belong with it.
    """
    missing = missing_in(gaps)
    if not is_collected:
        return RepairPlan(dataset, left=tuple(Left(gap, _NOT_COLLECTED) for gap in missing))
    ask = [_wide(dataset, span) for span in fresh]
    left: list[Left] = []
    for gap in missing:
        why = _why_not(dataset, gap, in_vain, retry=retry)
        if why:
            left.append(Left(gap, why))
        else:
            ask.append(_wide(dataset, gap.span))
    return RepairPlan(dataset, tuple(normalise(ask)), tuple(left))


def _why_not(dataset: Dataset, gap: Gap, in_vain: Mapping[tuple[Span, str], str], *, retry: bool) -> str:
    """Return why a gap is not asked for; nothing if it is."""
    if dataset.kind == "book":
        return "order books of the past are served by nobody"
    if dataset.kind in SNAPSHOTS:
        return "predicted funding rates of the past are served by nobody"
    words = in_vain.get((gap.span, str(gap.reason)))
    if retry or (words is None and gap.reason is not GapReason.UNAVAILABLE):
        return ""
    if words is None:
        return f"{gap.detail or 'it is served no more'}; {_AGAIN}"
    if not words:
        return f"asked for again in vain; {_AGAIN}"
    return f"asked for again in vain: {words}; {_AGAIN}"


def _wide(dataset: Dataset, span: Span) -> Span:
    """Return the span to ask for: whole bars; for trades with the instant after it, where some may stand, too."""
    frame, anchor = dataset.timeframe, dataset.anchor
    if frame is not None:
        return Span(frame.floor(span.start, anchor), frame.ceil(span.end, anchor))
    return Span(span.start // MS * MS, -(-span.end // MS) * MS + MS)
