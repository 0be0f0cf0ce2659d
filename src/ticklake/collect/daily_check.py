"""Doubt: a source that has nothing of a time in which its own daily bars show trades does not serve it any more."""

from __future__ import annotations

import asyncio

from ticklake.core.coverage import Covered, Found
from ticklake.core.fetch_plan import FetchPlan
from ticklake.core.span import Span
from ticklake.core.time import DAY, format_time
from ticklake.engine.engine import Engine
from ticklake.sources.base import Source

__all__ = ["doubt_silence"]


async def doubt_silence(source: Source, engine: Engine, plan: FetchPlan) -> str | None:
    """Call the silence before a dataset's first row ``unavailable`` if there were trades in it; return why.

    Field note: history may be recent-only, and the answer for what is older is empty all the same. Only a silence of a
    day and more that was just fetched is doubted; it costs one question.
    """
    silence = await asyncio.to_thread(_silence, engine, plan)
    if silence is None:
        return None
    day = await source.first_traded(plan.dataset, silence)
    if day is None:
        return None
    reason = f"{source.exchange} traded on {format_time(day)[:10]} and serves nothing before {format_time(silence.end)}"
    await asyncio.to_thread(_take_back, engine, source, plan, silence, reason)
    return reason


def _silence(engine: Engine, plan: FetchPlan) -> Span | None:
    if plan.want is None:
        return None
    row = engine.catalog.dataset(plan.dataset)
    end = plan.want.end
    if row is not None and row.rows and row.min_ts is not None:
        end = min(row.min_ts, end)
    if end - plan.want.start < DAY:
        return None
    silence = Span(plan.want.start, end)
    if not any(span.overlaps(silence) for span in plan.spans):
        return None
    return silence


def _take_back(engine: Engine, source: Source, plan: FetchPlan, silence: Span, reason: str) -> None:
    dataset, covered = plan.dataset, engine.catalog.coverage(plan.dataset).within(silence)
    empty, origin = dataset.spec.empty(), source.provenance(dataset)
    for span in covered.spans(Found.DATA):
        engine.delete(dataset, span)
        engine.append(dataset, empty, origin, [Covered(span, Found.UNAVAILABLE, reason)])
