"""Repairing gaps: ask once more for what can be had, remember what cannot, and say why."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, takewhile

from ticklake.audit.gaps import gap_report
from ticklake.audit.sequence import cover_seams
from ticklake.catalog.gap_notes import GapNotes
from ticklake.core.dataset import Dataset
from ticklake.core.gaps import Gap, GapReason, missing_in
from ticklake.core.repair_plan import Left, Repaired, RepairPlan, plan_repair
from ticklake.core.results import Mended
from ticklake.core.runs import Run, RunState
from ticklake.core.span import Span
from ticklake.engine.engine import Engine
from ticklake.errors import BadInput, SourceError

__all__ = ["Repairs"]

Ask = Callable[[Dataset, tuple[Span, ...]], Run]
"""Asks the source of a dataset for spans, and returns the finished run."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came of asking: the run, or why there is none or it failed; ``final`` if asking again cannot help."""

    run: Run | None = None
    note: str = ""
    final: bool = False


@dataclass(frozen=True, slots=True)
class Repairs:
    """Closes gaps by asking the sources again; a gap that could not be closed is not asked for a second time."""

    engine: Engine
    notes: GapNotes
    ask: Ask

    def repair(self, mended: Iterable[Mended], *, retry: bool = False) -> Iterator[Repaired]:
        """Close what can be closed of each dataset, given what was mended of it."""
        for result in mended:
            repaired = self._repair(result, retry=retry)
            if not repaired.is_idle:
                yield repaired

    def _repair(self, mended: Mended, *, retry: bool) -> Repaired:
        dataset = mended.dataset
        cover_seams(self.engine, dataset)
        before = self._gaps(dataset)
        in_vain = self.notes.in_vain(dataset)
        is_collected = self.notes.wanted(dataset) is not None
        plan = plan_repair(dataset, before, in_vain, fresh=mended.lost, retry=retry, is_collected=is_collected)
        if not plan.ask:
            return Repaired(mended, left=plan.left)
        answer = self._asked(plan)
        after = self._gaps(dataset)
        self.notes.note(dataset, _in_vain(plan, after, in_vain, answer))
        closed = tuple(gap for gap in before if plan.asks_for(gap) and not _is_open(gap, after))
        return Repaired(mended, answer.run, answer.note, closed, self._left(dataset, after, answer))

    def _asked(self, plan: RepairPlan) -> _Answer:
        try:
            run = self.ask(plan.dataset, plan.ask)
        except BadInput as error:
            return _Answer(None, str(error), final=True)
        except SourceError as error:
            return _Answer(None, str(error))
        if run.state is not RunState.FAILED:
            return _Answer(run, final=True)
        return _Answer(run, run.outcome, final=not run["retriable"])

    def _left(self, dataset: Dataset, after: Sequence[Gap], answer: _Answer) -> tuple[Left, ...]:
        """Say why each gap that is still open stays so."""
        settled = plan_repair(dataset, after, self.notes.in_vain(dataset))
        reasons = {left.gap: left.why for left in settled.left}
        otherwise = answer.note or "it was asked for and did not come: run it again"
        return tuple(Left(gap, reasons.get(gap, otherwise)) for gap in missing_in(after))

    def _gaps(self, dataset: Dataset) -> tuple[Gap, ...]:
        """Return the gaps that ``lake.gaps`` reports; none of a dataset without coverage: no source was asked for it."""
        if not self.engine.catalog.coverage(dataset).pieces:
            return ()
        known = self.engine.known(dataset)
        if known is None:
            return ()
        return gap_report(self.engine, dataset, known).gaps


def _is_open(gap: Gap, after: Sequence[Gap]) -> bool:
    """Whether a part of a gap is still there for the same reason; *after* is sorted."""
    near = bisect_right(after, gap.span.start, key=lambda other: other.span.end)
    met = takewhile(lambda other: other.span.start < gap.span.end, islice(after, near, None))
    return any(other.reason is gap.reason for other in met)


def _in_vain(
    plan: RepairPlan, after: Sequence[Gap], before: Mapping[tuple[Span, str], str], answer: _Answer
) -> Iterator[Gap]:
    """Yield the gaps that were asked for in vain, now or before, each with the reason.

    What was never fetched counts only if the source cannot serve it at all.
    """
    refused = answer.final and bool(answer.note)
    for gap in after:
        known = before.get((gap.span, str(gap.reason)))
        if known is not None:
            yield replace(gap, detail=known)
        elif not gap.reason.is_missing or not (answer.final and plan.asks_for(gap)):
            continue
        elif refused or gap.reason is not GapReason.NOT_FETCHED:
            yield replace(gap, detail=answer.note or gap.detail)
