"""Snapshots: fetch and store current order books or predicted funding rates."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from ticklake.catalog.runs import Runs
from ticklake.core.dataset import Dataset
from ticklake.core.progress import Progress
from ticklake.core.runs import Run, RunState
from ticklake.core.span import Span
from ticklake.engine.engine import Engine
from ticklake.errors import SourceError
from ticklake.sources.base import Source

__all__ = ["take_snapshots"]


async def take_snapshots(
    source: Source, engine: Engine, runs: Runs, datasets: Sequence[Dataset], depth: int | None
) -> Run:
    """Store the current state of each dataset as one snapshot, and return the finished run."""
    names = list(map(str, datasets))
    run = await asyncio.to_thread(runs.create, "snapshot", names[0], {"datasets": names, "depth": depth})
    progress = Progress(len(names), names=names)
    for dataset in datasets:
        try:
            if dataset.kind == "book":
                page = await source.book(dataset, depth)
            else:
                page = await source.predicted_funding(dataset)
        except SourceError as error:
            progress.failed(str(dataset), error)
            continue
        # Some exchanges send no time with a book: the origin says whose clock its time is from.
        origin = replace(source.provenance(dataset), clock=page.clock)
        receipt = await asyncio.to_thread(engine.append, dataset, page.frame, origin)
        # Progress is measured by spans, and a snapshot has none: any one will do.
        progress.page(dataset, [Span(0, 1)], receipt, page.requests)
        for note in page.notes:
            await asyncio.to_thread(runs.append_log, run.id, note)
    if progress.failures:
        state, outcome = RunState.FAILED, "; ".join(progress.failures.values())
    else:
        unit = "rates"
        if datasets[0].kind == "book":
            unit = "levels"
        state, outcome = RunState.SUCCEEDED, f"{progress.counts['new']:,} {unit}"
    return await asyncio.to_thread(runs.finish, run.id, state, progress.to_dict(), outcome)
