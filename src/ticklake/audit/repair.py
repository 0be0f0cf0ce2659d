"""Repair of gaps: ask the sources again, and note which gaps cannot be closed and why."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

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
    """The answer of a source: the run, or why there is none or it failed; ``final`` if asking again cannot help."""

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
        """Close the gaps of each dataset that can be closed, given what was mended of it before."""
        for result in mended:
            repaired = self._repair(result, retry=retry)
            if not repaired.is_idle:
                yield repaired

    def _repair(self, mended: Mended, *, retry: bool) -> Repaired:
        dataset = mended.dataset
        # What is missing in derived rows is missing in those they are made of, and is asked for there.
        if dataset.variant is not None:
            return Repaired(mended)
        # Spans that consecutive ids prove complete need no call.
        cover_seams(self.engine, dataset)
        before = self._gaps(dataset)
        # A repair may run each night: what nobody has is not asked for again (docs/adr/0015).
        in_vain = self.notes.in_vain(dataset)
        is_collected = self.notes.wanted(dataset) is not None
        plan = plan_repair(dataset, before, in_vain, fresh=mended.lost, retry=retry, is_collected=is_collected)
        if not plan.ask:
            return Repaired(mended, left=plan.left)
        answer = self._ask_source(plan)
        after = self._gaps(dataset)
        self.notes.note(dataset, _in_vain(plan, after, in_vain, answer))
        closed = tuple(gap for gap in before if plan.asks_for(gap) and not _is_open(gap, after))
        return Repaired(mended, answer.run, answer.note, closed, self._left(dataset, after, answer))

    def _ask_source(self, plan: RepairPlan) -> _Answer:
        try:
            run = self.ask(plan.dataset, plan.ask)
        except BadInput as error:
            return _Answer(None, str(error), final=True)
        except SourceError as error:
            # The source did not answer: the gaps are not noted as requested in vain.
            return _Answer(None, str(error))
        if run.state is not RunState.FAILED:
            return _Answer(run, final=True)
        return _Answer(run, run.outcome, final=not run["retriable"])

    def _left(self, dataset: Dataset, after: Sequence[Gap], answer: _Answer) -> tuple[Left, ...]:
        """Return the gaps that are still open, each with the reason."""
        plan = plan_repair(dataset, after, self.notes.in_vain(dataset))
        reasons = {left.gap: left.why for left in plan.left}
        otherwise = answer.note or "it was asked for and did not come: run it again"
        return tuple(Left(gap, reasons.get(gap, otherwise)) for gap in missing_in(after))

    def _gaps(self, dataset: Dataset) -> tuple[Gap, ...]:
        """Return the gaps that ``lake.gaps`` reports; none without coverage, because no source was asked."""
        if not self.engine.catalog.coverage(dataset).pieces:
            return ()
        known = self.engine.known(dataset)
        if known is None:
            return ()
        return gap_report(self.engine, dataset, known).gaps


def _is_open(gap: Gap, after: Sequence[Gap]) -> bool:
    """Whether a part of a gap is still missing for the same reason; *after* is sorted."""
    first = bisect_right(after, gap.span.start, key=lambda other: other.span.end)
    for other in islice(after, first, None):
        if other.span.start >= gap.span.end:
            return False
        if other.reason is gap.reason:
            return True
    return False


def _in_vain(
    plan: RepairPlan, after: Sequence[Gap], before: Mapping[tuple[Span, str], str], answer: _Answer
) -> Iterator[Gap]:
    """Yield the gaps that were asked for in vain, now or before, each with the reason.

    A gap that was never fetched counts only if the source refuses to serve it.
    """
    is_refused = answer.final and bool(answer.note)
    for gap in after:
        noted = before.get((gap.span, str(gap.reason)))
        if noted is not None:
            yield replace(gap, detail=noted)
        elif not gap.reason.is_missing or not (answer.final and plan.asks_for(gap)):
            continue
        elif is_refused or gap.reason is not GapReason.NOT_FETCHED:
            yield replace(gap, detail=answer.note or gap.detail)
