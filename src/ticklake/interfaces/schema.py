"""JSON: the one form in which results leave the program, for ``--json``, HTTP and clients.

Times are ISO 8601 text in UTC, enums are their values, datasets their names, and floats that are no numbers are null. Whoever
adds a result adds its form here; a result without one is written field by field. :mod:`ticklake.interfaces.decoding` reads it again,
so what a result is made of is in its form, nothing is rounded, and lengths of time are there in whole nanoseconds, too.
"""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import is_dataclass
from enum import Enum
from functools import partial, singledispatch
from itertools import chain
from typing import Any

import polars as pl

from ticklake.core import quality as metrics
from ticklake.core.alerts import Alert, Freshness
from ticklake.core.coverage import Coverage, Covered
from ticklake.core.crosscheck import CrossCheck
from ticklake.core.dataset import Dataset
from ticklake.core.display import field_values, moment
from ticklake.core.fetch_plan import FetchPlan
from ticklake.core.file_reports import FileReport, Report
from ticklake.core.frame import Frame
from ticklake.core.frame_parts import MissingPart
from ticklake.core.gaps import Gap, GapReport
from ticklake.core.jobs import Job
from ticklake.core.quality import DayQuality, Figures, Holes, Quality
from ticklake.core.repair_plan import Left, Repaired
from ticklake.core.requests import BackfillRequest
from ticklake.core.results import Cleaned, Cleanup
from ticklake.core.rules import DerivedRule
from ticklake.core.runs import LogLine, Run
from ticklake.core.schedules import Change, Schedule
from ticklake.core.segment import Segment
from ticklake.core.span import Span
from ticklake.core.statistics import GroupStats, LakeStats
from ticklake.core.symbol import Symbol
from ticklake.core.time import SECOND, format_time
from ticklake.core.timeframe import Timeframe
from ticklake.core.tokens import NewToken, Token

__all__ = [
    "days_to_json",
    "frame_text",
    "gaps_to_json",
    "is_time",
    "job_to_json",
    "row_to_json",
    "rows_of",
    "to_json",
    "token_to_json",
]

_TIMES = frozenset({"ts", "at", "since", "first", "last", "next_at", "last_at", "before", "start", "end"})
"""Fields of integers that are times, beside those that end in ``_at`` or begin with ``valid_``."""
_STORED = ("datasets", "rows", "files", "bytes", "raw_bytes", "file_bytes")
_INLINE = ("inline_segments", "inline_rows", "inline_bytes", "retired_segments", "retired_bytes")


@singledispatch
def to_json(value: Any) -> Any:
    """Return a result, or a mapping or list of results, as values that JSON has."""
    if is_dataclass(value):
        return row_to_json(field_values(value))
    return str(value)


def row_to_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row, like one of the inventory or of quarantine, whose times are nanoseconds."""
    return {name: _field(name, value) for name, value in row.items()}


def rows_of(dataset: Dataset, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows that begin with the name of their dataset."""
    name = str(dataset)
    return [{"dataset": name, **row} for row in rows]


def is_time(name: str) -> bool:
    """Whether integers of that name are times."""
    return name in _TIMES or name.endswith("_at") or name.startswith("valid_")


def _field(name: str, value: Any) -> Any:
    # Not isinstance: a boolean is an integer, too.
    if type(value) is int and is_time(name):
        return format_time(value)
    return to_json(value)


@to_json.register(type(None))
@to_json.register(bool)
@to_json.register(int)
@to_json.register(str)
def _(value: Any) -> Any:
    # Enums of text or integers are dispatched to here, not to an entry of their own.
    if isinstance(value, Enum):
        return value.value
    return value


@to_json.register
def _(value: float) -> float | None:
    # JSON has no NaN and no infinity.
    if math.isfinite(value):
        return value
    return None


@to_json.register
def _(value: Mapping) -> dict[str, Any]:  # type: ignore[type-arg]
    return {str(to_json(key)): to_json(item) for key, item in value.items()}


@to_json.register(list)
@to_json.register(tuple)
@to_json.register(set)
@to_json.register(frozenset)
def _(values: Any) -> list[Any]:
    return list(map(to_json, values))


@to_json.register(Dataset)
@to_json.register(Symbol)
@to_json.register(Timeframe)
def _(value: Any) -> str:
    return str(value)


@to_json.register
def _(span: Span) -> dict[str, str]:
    return {"start": format_time(span.start), "end": format_time(span.end)}


# Rows


def frame_text(frame: pl.DataFrame) -> pl.DataFrame:
    """Return rows whose times are ISO 8601 text in UTC, with no more decimals than needed, and durations ISO durations."""
    return frame.with_columns(
        pl.selectors.datetime().map_batches(_times_text, return_dtype=pl.String),
        pl.selectors.duration().dt.to_string("iso"),
    )


def _times_text(times: pl.Series) -> pl.Series:
    """Write times as :func:`~ticklake.core.time.format_time` does."""
    # Most frames have whole seconds, and nothing to trim.
    if not (times.dt.nanosecond() != 0).any():
        return times.dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    text = times.dt.strftime("%Y-%m-%dT%H:%M:%S%.f")
    trimmed = pl.when(text.str.contains(".", literal=True)).then(text.str.strip_chars_end("0")).otherwise(text)
    return pl.select(trimmed + "Z").to_series().alias(times.name)


@to_json.register
def _(frame: pl.DataFrame) -> Any:
    # Polars writes floats that are no numbers as null.
    return json.loads(frame_text(frame).write_json())


@to_json.register
def _(frame: Frame) -> dict[str, Any]:
    return {name: to_json(value) for name, value in frame.to_dict(rows=to_json).items()}


@to_json.register
def _(part: MissingPart) -> dict[str, Any]:
    return part.to_dict()


@to_json.register
def _(segment: Segment) -> dict[str, Any]:
    # Without the bytes of an inline one: rows are read as rows.
    fields = {**field_values(segment), "packed": b64encode(segment.packed).decode(), "data": None}
    return {name: _field(name, value) for name, value in fields.items()}


# Collecting


@to_json.register
def _(request: BackfillRequest) -> dict[str, Any]:
    return request.to_json()


@to_json.register
def _(plan: FetchPlan) -> dict[str, Any]:
    unavailable = None
    if plan.unavailable:
        unavailable = _bounds(plan.unavailable)
    return {
        "dataset": str(plan.dataset),
        "fetch": list(map(_bounds, plan.spans)),
        "unavailable": unavailable,
        "archives": list(plan.archives),
        "pages": plan.pages,
        "seconds": to_json(plan.seconds),
        "bytes": plan.bytes,
        "note": plan.note,
        "want": to_json(plan.want),
        "known": to_json(plan.known),
        "page_nanoseconds": plan.page_span,
        "now": format_time(plan.now),
    }


def _bounds(span: Span) -> str:
    return f"{format_time(span.start)} .. {format_time(span.end)}"


@to_json.register
def _(file: FileReport) -> dict[str, Any]:
    return {**row_to_json(field_values(file)), "refused": file.refused, "note": file.note}


@to_json.register
def _(report: Report) -> dict[str, Any]:
    return {"layout": report.layout, "root": report.root, "counts": report.counts, "files": to_json(report.files)}


# Runs, jobs, schedules


@to_json.register
def _(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "job": run.job_id,
        "state": run.state.value,
        "operation": run.operation,
        "subject": run.subject,
        "started": moment(run.started_at),
        "finished": moment(run.finished_at),
        "heartbeat": moment(run.heartbeat_at),
        "done": run.done,
        "outcome": run.outcome,
        "process": run.process,
        "parameters": to_json(run.parameters),
        "progress": to_json(run.progress),
    }


@to_json.register
def _(line: LogLine) -> list[str | None]:
    return [moment(line.at), line.level, line.message]


@to_json.register
def _(job: Job) -> dict[str, Any]:
    return job_to_json(job)


def job_to_json(job: Job, now: int | None = None) -> dict[str, Any]:
    """Return a job as JSON; with *now*, ``seconds_left`` is estimated."""
    seconds_left = None
    if now is not None:
        seconds_left = job.seconds_left(now)
    if seconds_left is not None:
        seconds_left = round(seconds_left, 1)
    return {
        "id": job.id,
        # Both names, here and for progress: programs came to read either, and neither may vanish.
        "status": job.status,
        "state": job.status,
        "operation": job.operation,
        "subject": job.subject,
        "dataset": job.dataset,
        "parameters": to_json(job.parameters),
        "priority": job.priority,
        "attempts": job.attempts,
        "max_attempts": job.max_attempts,
        "progress": job.progress,
        "done": job.progress,
        "seconds_left": seconds_left,
        "created": moment(job.created_at),
        "due": moment(job.due_at),
        "started": moment(job.started_at),
        "finished": moment(job.finished_at),
        "expires": moment(job.expires_at),
        "owner": job.owner,
        "fence": job.fence,
        "cancelling": job.cancelling,
        "outcome": job.outcome,
    }


@to_json.register
def _(schedule: Schedule) -> dict[str, Any]:
    return {
        "name": schedule.name,
        "operation": schedule.operation,
        "when": str(schedule.rhythm),
        "parameters": to_json(schedule.parameters),
        "priority": schedule.priority,
        "paused": schedule.paused,
        "managed": schedule.managed,
        "created": moment(schedule.created_at),
        "next": moment(schedule.next_at),
        "last": moment(schedule.last_at),
        "last_job": schedule.last_job,
        "missed": schedule.missed,
    }


def token_to_json(token: Token, now: int) -> dict[str, Any]:
    """Return a token as JSON, with its state."""
    return {**row_to_json(field_values(token)), "state": token.state(now)}


@to_json.register
def _(new: NewToken) -> dict[str, Any]:
    return {**row_to_json(field_values(new.token)), "token": new.secret}


@to_json.register
def _(change: Change) -> dict[str, Any]:
    return {
        "action": change.action,
        "name": change.name,
        "detail": change.detail,
        "warning": change.warning,
        "datasets": to_json(change.datasets),
        "keep_days": change.retention,
    }


@to_json.register
def _(alert: Alert) -> dict[str, Any]:
    return {
        "rule": alert.rule.value,
        "subject": alert.subject,
        "text": alert.text,
        "since": moment(alert.since),
        "told_at": moment(alert.told_at),
        "is_told": alert.is_told,
    }


@to_json.register
def _(fresh: Freshness) -> dict[str, Any]:
    times = {"newest": moment(fresh.newest), "expected_by": moment(fresh.expected_by)}
    return {"dataset": fresh.dataset, "is_kept_up": fresh.is_kept_up, **times, "is_stale": fresh.is_stale}


# Proving


@to_json.register
def _(piece: Covered) -> dict[str, Any]:
    return {**to_json(piece.span), "found": piece.found.value, "reason": piece.reason}


@to_json.register
def _(coverage: Coverage) -> list[Any]:
    return to_json(coverage.pieces)  # type: ignore[no-any-return]


@to_json.register
def _(gap: Gap) -> dict[str, Any]:
    return {**to_json(gap.span), "missing": gap.missing, "reason": gap.reason.value, "detail": gap.detail}


def gaps_to_json(dataset: Dataset, report: GapReport) -> Iterator[dict[str, Any]]:
    """Yield the holes of a dataset as rows with its name: there may be hundreds of thousands."""
    name = str(dataset)
    for gap in report.gaps:
        yield {"dataset": name, **to_json(gap)}


@to_json.register
def _(left: Left) -> dict[str, Any]:
    gap = left.gap
    return {
        **to_json(gap.span),
        "missing": gap.missing,
        "reason": gap.reason.value,
        "detail": gap.detail,
        "why": left.why,
    }


@to_json.register
def _(repaired: Repaired) -> dict[str, Any]:
    mended, run = repaired.mended, repaired.run
    run_id, outcome = None, repaired.note
    if run is not None:
        run_id, outcome = run.id, run.outcome
    return {
        "dataset": str(mended.dataset),
        "restored": mended.restored,
        "replaced": mended.replaced,
        "salvaged": mended.salvaged,
        "lost": list(map(str, mended.lost)),
        "run": run_id,
        "outcome": outcome,
        "closed": len(repaired.closed),
        "left": to_json(repaired.left),
    }


@to_json.register
def _(quality: Quality) -> dict[str, Any]:
    start, end = quality.span or (None, None)
    freshness_seconds = None
    if quality.freshness is not None:
        freshness_seconds = quality.freshness / SECOND
    return {
        "dataset": str(quality.dataset),
        "start": moment(start),
        "end": moment(end),
        **_figures(quality),
        "last": moment(quality.last),
        "freshness_seconds": freshness_seconds,
        "freshness_nanoseconds": quality.freshness,
        "bars_behind": quality.bars_behind,
        "offered_again": quality.offered_again,
    }


def days_to_json(quality: Quality) -> list[dict[str, Any]]:
    """Return the days of a dataset as rows with its name."""
    return rows_of(quality.dataset, map(to_json, quality.days))


@to_json.register
def _(day: DayQuality) -> dict[str, Any]:
    return {"day": format_time(day.day)[:10], **_figures(day)}


def _figures(figures: Figures) -> dict[str, Any]:
    return {
        **{metric.name: to_json(metric.of(figures)) for metric in metrics.METRICS},
        "gaps": to_json(figures.gaps),
        "quarantined": dict(figures.quarantined),
        "on_grid": figures.on_grid,
        "open_nanoseconds": figures.open_time,
    }


@to_json.register
def _(holes: Holes) -> dict[str, Any]:
    return {"count": holes.count, "records": holes.records, "seconds": holes.time / SECOND, "nanoseconds": holes.time}


@to_json.register
def _(check: CrossCheck) -> dict[str, Any]:
    return {
        "dataset": str(check.dataset),
        "against": check.against,
        "compared": check.compared,
        "differences": to_json(check.differences),
    }


@to_json.register
def _(rule: DerivedRule) -> dict[str, Any]:
    return {
        **field_values(rule),
        "inputs": list(rule.inputs),
        "datasets": list(rule.datasets),
        "created_at": moment(rule.created_at),
    }


# Keeping


def _sizes(size_of: Callable[[str], int]) -> dict[str, int]:
    return {name: size_of(name) for name in chain(_STORED, _INLINE)}


@to_json.register
def _(stats: LakeStats) -> dict[str, Any]:
    return {
        **_sizes(stats.total),
        "catalog_bytes": stats.catalog_bytes,
        "wal_bytes": stats.wal_bytes,
        "compression": stats.compression,
        "groups": to_json(stats.groups),
    }


@to_json.register
def _(group: GroupStats) -> dict[str, Any]:
    return {
        "exchange": group.exchange,
        "kind": group.kind,
        **_sizes(partial(getattr, group)),
        "width": group.width,
        "first": moment(group.first),
        "last": moment(group.last),
    }


@to_json.register
def _(cleanup: Cleanup) -> dict[str, Any]:
    return {
        "rows": cleanup.rows,
        "bytes": cleanup.bytes,
        "log_lines": cleanup.log_lines,
        "dry_run": cleanup.dry_run,
        "datasets": to_json(cleanup.datasets),
    }


@to_json.register
def _(cleaned: Cleaned) -> dict[str, Any]:
    return {
        "dataset": str(cleaned.dataset),
        "before": format_time(cleaned.before),
        "rows": cleaned.deleted.rows,
        "bytes": cleaned.deleted.bytes,
        "segments": cleaned.deleted.whole,
        "cut": cleaned.deleted.cut,
        "quarantined": cleaned.history.quarantined,
        "revisions": cleaned.history.revisions,
    }
