"""Decoding: results read from the JSON that :mod:`ticklake.interfaces.schema` makes of them. It is the inverse, and pure.

Fields are read by their types: a text is a time where an integer belongs, a word is an enum, and so on. Where a result is written in
another way than field by field, :data:`_ALIASES` or a function below says how. A float that is no number comes back as ``None``.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache, partial
from types import UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import polars as pl

from ticklake.core.coverage import Coverage, Covered
from ticklake.core.crosscheck import DIFFERENCES, CrossCheck
from ticklake.core.dataset import Dataset
from ticklake.core.feature_values import DAY_STATISTICS, FeatureDescription
from ticklake.core.features import FeatureSet
from ticklake.core.fetch_plan import FetchPlan
from ticklake.core.gaps import Gap
from ticklake.core.jobs import Job
from ticklake.core.kinds import DURATION, TIME
from ticklake.core.quality import DayQuality, Holes, Quality
from ticklake.core.repair_plan import Left
from ticklake.core.requests import BackfillRequest
from ticklake.core.results import Cleaned, Deleted, History
from ticklake.core.runs import LogLine, Run
from ticklake.core.schedules import Change, Rhythm, Schedule, parse_every
from ticklake.core.segment import Segment
from ticklake.core.span import Span
from ticklake.core.symbol import Symbol
from ticklake.core.time import DAY, HOUR, MINUTE, decimal_to_ns, parse_time
from ticklake.core.timeframe import Timeframe
from ticklake.errors import BadResponse
from ticklake.interfaces.schema import is_time

_DURATION = re.compile(r"(-)?P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?)?")
__all__ = ["frame_from_json", "from_json", "rows_from_json"]

T = TypeVar("T")
_ALIASES: dict[type, dict[str, str]] = {
    Change: {"retention": "keep_days"},
    FetchPlan: {"page_span": "page_nanoseconds"},
    Holes: {"time": "nanoseconds"},
    Job: {
        "created_at": "created",
        "due_at": "due",
        "started_at": "started",
        "finished_at": "finished",
        "expires_at": "expires",
    },
    Run: {"job_id": "job", "started_at": "started", "finished_at": "finished", "heartbeat_at": "heartbeat"},
    Schedule: {"created_at": "created", "next_at": "next", "last_at": "last"},
    Quality: {"open_time": "open_nanoseconds", "freshness": "freshness_nanoseconds"},
    DayQuality: {"open_time": "open_nanoseconds"},
}
"""Fields whose name in JSON is another than in Python."""


def from_json(kind: type[T], value: Any) -> T:
    """Return the result of type *kind* that was written as *value*; a type may also be one like ``list[Gap]``.

    Raises
    ------
    BadResponse
        If *value* is no such result.
    """
    try:
        return cast(T, _read(kind, value))
    except BadResponse:
        raise
    except (TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
        name = getattr(kind, "__name__", str(kind))
        raise BadResponse(f"the server sent no {name} that this version of ticklake can read: {error}") from error


def rows_from_json(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows, like those of quarantine, whose times are nanoseconds again."""
    return [{name: _row_value(name, value) for name, value in row.items()} for row in rows]


def _row_value(name: str, value: Any) -> Any:
    # A row as it was before is a text, too.
    if is_time(name) and name != "before" and isinstance(value, str):
        return parse_time(value)
    return value


def _read(kind: Any, value: Any) -> Any:
    if kind in _READERS:
        return _READERS[kind](value)
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return _read_optional(get_args(kind), value)
    if origin is not None:
        return _read_many(origin, get_args(kind), value)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    if is_dataclass(kind):
        return _read_fields(cast(type, kind), value)
    return value


def _read_optional(kinds: Sequence[Any], value: Any) -> Any:
    if value is None:
        return None
    (kind,) = (each for each in kinds if each is not type(None))
    return _read(kind, value)


def _read_many(origin: Any, kinds: Sequence[Any], value: Any) -> Any:
    if issubclass(origin, Mapping):
        return {name: _read(kinds[1], item) for name, item in value.items()}
    items = map(partial(_read, kinds[0]), value)
    if origin is tuple:
        return tuple(items)
    return list(items)


def _read_fields(kind: type[Any], raw: Mapping[str, Any], **known: Any) -> Any:
    """Read a dataclass field by field; *known* are the values of fields that were read already."""
    values = dict(known)
    aliases = _ALIASES.get(kind, {})
    for name, (field_type, is_needed) in _fields_of(kind).items():  # type: ignore[arg-type]
        written = aliases.get(name, name)
        if name not in values and written in raw:
            values[name] = _read(field_type, raw[written])
        elif name not in values and is_needed:
            raise BadResponse(f"the server sent a {kind.__name__} without {written!r}: its version may be another one")
    return kind(**values)


@cache
def _fields_of(kind: type[Any]) -> dict[str, tuple[Any, bool]]:
    """Return the types of the fields of a dataclass, and whether each must be there."""
    # Polars is named for types alone in some modules of core.
    hints = get_type_hints(kind, localns={"pl": pl})
    known: dict[str, tuple[Any, bool]] = {}
    for each in fields(kind):
        if each.init:
            is_needed = each.default is MISSING and each.default_factory is MISSING
            known[each.name] = hints[each.name], is_needed
    return known


def _integer(value: Any) -> int:
    if isinstance(value, str):
        return parse_time(value)
    return cast(int, value)


def _float(value: Any) -> float | None:
    if value is None:
        return None
    return float(value)


def _span(raw: Mapping[str, Any]) -> Span:
    return Span(parse_time(raw["start"]), parse_time(raw["end"]))


def _covered(raw: Mapping[str, Any]) -> Covered:
    return cast(Covered, _read_fields(Covered, raw, span=_span(raw)))


def _gap(raw: Mapping[str, Any]) -> Gap:
    return cast(Gap, _read_fields(Gap, raw, span=_span(raw)))


def _left(raw: Mapping[str, Any]) -> Left:
    return Left(_gap(raw), raw["why"])


def _coverage(raw: Sequence[Mapping[str, Any]]) -> Coverage:
    return Coverage(tuple(map(_covered, raw)))


def _quality(raw: Mapping[str, Any]) -> Quality:
    span: Span | None = None
    if raw["start"] is not None:
        span = _span(raw)
    return cast(Quality, _read_fields(Quality, raw, span=span))


def _cross_check(raw: Mapping[str, Any]) -> CrossCheck:
    return cast(CrossCheck, _read_fields(CrossCheck, raw, differences=frame_from_json(raw["differences"], DIFFERENCES)))


def _description(raw: Mapping[str, Any]) -> FeatureDescription:
    return cast(
        FeatureDescription, _read_fields(FeatureDescription, raw, days=frame_from_json(raw["days"], DAY_STATISTICS))
    )


def frame_from_json(rows: Sequence[Mapping[str, Any]], schema: Mapping[str, Any]) -> pl.DataFrame:
    """Return rows as a frame of that schema; times are texts in them."""
    columns: list[pl.Series] = []
    for name, dtype in schema.items():
        values = [row[name] for row in rows]
        read = _CELLS.get(dtype)
        if read is None:
            columns.append(pl.Series(name, values, dtype))
        else:
            columns.append(pl.Series(name, list(map(read, values)), pl.Int64).cast(dtype))
    return pl.DataFrame(columns)


def _length(text: str | None) -> int | None:
    """Read an ISO 8601 duration, like ``PT8H``, as nanoseconds; no unit of it is longer than a day."""
    if text is None:
        return None
    match = _DURATION.fullmatch(text)
    if match is None:
        raise BadResponse(f"the server sent {text!r}, which is no length of time")
    sign, days, hours, minutes, seconds = match.groups()
    length = int(days or 0) * DAY + int(hours or 0) * HOUR + int(minutes or 0) * MINUTE + decimal_to_ns(seconds or 0)
    if sign:
        return -length
    return length


def _plan(raw: Mapping[str, Any]) -> FetchPlan:
    unavailable: Span | None = None
    if raw["unavailable"] is not None:
        unavailable = _bounds(raw["unavailable"])
    spans = tuple(map(_bounds, raw["fetch"]))
    return cast(FetchPlan, _read_fields(FetchPlan, raw, spans=spans, unavailable=unavailable))


def _bounds(text: str) -> Span:
    start, _, end = text.partition(" .. ")
    return Span(parse_time(start), parse_time(end))


def _schedule(raw: Mapping[str, Any]) -> Schedule:
    text = raw["when"]
    if text.startswith("every "):
        rhythm = Rhythm(every=parse_every(text.removeprefix("every ")))
    else:
        cron, _, zone = text.rpartition(" ")
        rhythm = Rhythm(cron, zone=zone)
    return cast(Schedule, _read_fields(Schedule, raw, rhythm=rhythm))


def _log_line(raw: Sequence[Any]) -> LogLine:
    at, level, message = raw
    return LogLine(parse_time(at), level, message)


def _cleaned(raw: Mapping[str, Any]) -> Cleaned:
    deleted = Deleted(raw["rows"], raw["bytes"], raw["segments"], raw["cut"])
    history = History(raw["quarantined"], raw["revisions"])
    return Cleaned(Dataset.parse(raw["dataset"]), parse_time(raw["before"]), deleted, history)


def _segment(raw: Mapping[str, Any]) -> Segment:
    return cast(Segment, _read_fields(Segment, raw, packed=b64decode(raw["packed"]), data=None))


_CELLS: dict[Any, Callable[[Any], int | None]] = {TIME: _integer, DURATION: _length}
"""How cells that are texts in JSON are read."""
_READERS: dict[Any, Callable[[Any], Any]] = {
    BackfillRequest: BackfillRequest.from_json,
    Cleaned: _cleaned,
    Coverage: _coverage,
    Covered: _covered,
    CrossCheck: _cross_check,
    Dataset: Dataset.parse,
    FeatureDescription: _description,
    FeatureSet: FeatureSet.from_dict,
    FetchPlan: _plan,
    Gap: _gap,
    Left: _left,
    LogLine: _log_line,
    Quality: _quality,
    Schedule: _schedule,
    Segment: _segment,
    Span: _span,
    Symbol: Symbol,
    Timeframe: Timeframe.parse,
    float: _float,
    int: _integer,
}
