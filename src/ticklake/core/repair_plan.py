"""Repair plans: which gaps are requested again, and why the others are not."""

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
    """A gap that remains, and why it cannot be closed."""

    gap: Gap
    why: str


@dataclass(frozen=True, slots=True)
class RepairPlan:
    """The spans that a repair requests (``ask``, sorted and disjoint), and the gaps that it leaves, each with the reason."""

    dataset: Dataset
    ask: tuple[Span, ...] = ()
    left: tuple[Left, ...] = ()

    def asks_for(self, gap: Gap) -> bool:
        """Whether a gap touches a requested span."""
        return any(map(gap.span.touches, self.ask))


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
        Gaps that an earlier repair requested in vain, with the reasons: only *retry* requests them again.
    fresh
        Spans whose rows were just lost to damage: they are requested in any case.
    retry
        Also request what is ``unavailable``, and what was requested in vain.
    is_collected
        Whether the dataset was ever fetched from a source. One that was only imported or saved is left alone: rows of
        a source may not belong to it.
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
    """Return why a gap is not requested; empty if it is."""
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
    """Return the span to request: whole bars, or for trades whole milliseconds and the one after them."""
    frame, anchor = dataset.timeframe, dataset.anchor
    if frame is not None:
        return Span(frame.floor(span.start, anchor), frame.ceil(span.end, anchor))
    return Span(span.start // MS * MS, -(-span.end // MS) * MS + MS)
