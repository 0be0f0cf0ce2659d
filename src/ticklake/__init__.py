"""Ticklake: a complete, correct, deduplicated copy of market data on your own machine.

>>> import ticklake
>>> lake = ticklake.open("data")  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ticklake.alerts.service import Alerts
    from ticklake.catalog.runs import Runs
    from ticklake.core.alerts import Alert, AlertRule, Message
    from ticklake.core.bars import Bars
    from ticklake.core.book import Book
    from ticklake.core.coverage import Coverage, Covered, Found
    from ticklake.core.crosscheck import CrossCheck
    from ticklake.core.dataset import Dataset
    from ticklake.core.event_rows import Event
    from ticklake.core.feature_columns import FeatureColumn
    from ticklake.core.feature_values import FeatureDescription, FeatureDiff
    from ticklake.core.features import FeatureSet
    from ticklake.core.fetch_plan import FetchPlan
    from ticklake.core.file_reports import FileReport, FileState, MigratedFile, Report
    from ticklake.core.frame import Frame
    from ticklake.core.frame_parts import MissingPart
    from ticklake.core.frames import Frames
    from ticklake.core.gaps import Gap, GapReason, GapReport
    from ticklake.core.instrument import Instrument, Rename, Sighting
    from ticklake.core.jobs import Job, JobState
    from ticklake.core.progress import Progress
    from ticklake.core.provenance import Provenance
    from ticklake.core.quality import DayQuality, Quality
    from ticklake.core.records import BookLevel, BookSnapshot, FundingRate, OHLCVBar, OpenInterest, Quote, Trade
    from ticklake.core.repair_plan import Left, Repaired
    from ticklake.core.requests import BackfillRequest
    from ticklake.core.results import (
        Backup,
        Cleaned,
        Cleanup,
        Compaction,
        DatasetChange,
        Deleted,
        Mended,
        Problem,
        Rebuilt,
        Receipt,
        Vacuumed,
    )
    from ticklake.core.rules import DerivedRule, Refreshed
    from ticklake.core.runs import LogLine, Run, RunState
    from ticklake.core.schedules import Change, Schedule
    from ticklake.core.segment import Segment
    from ticklake.core.span import Span
    from ticklake.core.sql import SqlResult
    from ticklake.core.statistics import GroupStats, LakeStats
    from ticklake.core.streams import StreamRequest, StreamStatus
    from ticklake.core.symbol import Symbol
    from ticklake.core.timeframe import Timeframe
    from ticklake.errors import TicklakeError
    from ticklake.files.mapping import Mapping
    from ticklake.interfaces.client import connect
    from ticklake.interfaces.opening import open_lake as open  # noqa: A004
    from ticklake.jobs.queue import Jobs
    from ticklake.jobs.schedules import Schedules
    from ticklake.lake import Lake, Snapshot
    from ticklake.lake.admin import Admin
    from ticklake.lake.deriving import Derived
    from ticklake.lake.features import Features
    from ticklake.lake.instruments import LakeInstruments
    from ticklake.lake.streams import Streams

_PUBLIC = {
    "Admin": "lake.admin",
    "Alert": "core.alerts",
    "AlertRule": "core.alerts",
    "Alerts": "alerts.service",
    "BackfillRequest": "core.requests",
    "Backup": "core.results",
    "Bars": "core.bars",
    "Book": "core.book",
    "BookLevel": "core.records",
    "BookSnapshot": "core.records",
    "Change": "core.schedules",
    "Cleaned": "core.results",
    "Cleanup": "core.results",
    "Compaction": "core.results",
    "Coverage": "core.coverage",
    "Covered": "core.coverage",
    "CrossCheck": "core.crosscheck",
    "Dataset": "core.dataset",
    "DatasetChange": "core.results",
    "DayQuality": "core.quality",
    "Deleted": "core.results",
    "Derived": "lake.deriving",
    "DerivedRule": "core.rules",
    "Event": "core.event_rows",
    "FeatureColumn": "core.feature_columns",
    "FeatureDescription": "core.feature_values",
    "FeatureDiff": "core.feature_values",
    "FeatureSet": "core.features",
    "Features": "lake.features",
    "FetchPlan": "core.fetch_plan",
    "FileReport": "core.file_reports",
    "FileState": "core.file_reports",
    "Found": "core.coverage",
    "Frame": "core.frame",
    "Frames": "core.frames",
    "FundingRate": "core.records",
    "Gap": "core.gaps",
    "GapReason": "core.gaps",
    "GapReport": "core.gaps",
    "GroupStats": "core.statistics",
    "Instrument": "core.instrument",
    "Job": "core.jobs",
    "JobState": "core.jobs",
    "Jobs": "jobs.queue",
    "Lake": "lake",
    "LakeInstruments": "lake.instruments",
    "LakeStats": "core.statistics",
    "Left": "core.repair_plan",
    "LogLine": "core.runs",
    "Mapping": "files.mapping",
    "Materialised": "core.feature_values",
    "Mended": "core.results",
    "Message": "core.alerts",
    "MigratedFile": "core.file_reports",
    "MissingPart": "core.frame_parts",
    "OHLCVBar": "core.records",
    "OpenInterest": "core.records",
    "Problem": "core.results",
    "Progress": "core.progress",
    "Provenance": "core.provenance",
    "Quality": "core.quality",
    "Quote": "core.records",
    "Rebuilt": "core.results",
    "Refreshed": "core.rules",
    "Receipt": "core.results",
    "Rename": "core.instrument",
    "Repaired": "core.repair_plan",
    "Report": "core.file_reports",
    "Run": "core.runs",
    "RunState": "core.runs",
    "Runs": "catalog.runs",
    "Schedule": "core.schedules",
    "Schedules": "jobs.schedules",
    "Segment": "core.segment",
    "Sighting": "core.instrument",
    "Snapshot": "lake",
    "Span": "core.span",
    "SqlResult": "core.sql",
    "StreamRequest": "core.streams",
    "StreamStatus": "core.streams",
    "Streams": "lake.streams",
    "Symbol": "core.symbol",
    "TicklakeError": "errors",
    "Timeframe": "core.timeframe",
    "Trade": "core.records",
    "Vacuumed": "core.results",
    "connect": "interfaces.client",
    "open": "interfaces.opening",
}
_RENAMED = {"open": "open_lake"}

__all__ = [
    "Admin",
    "Alert",
    "AlertRule",
    "Alerts",
    "BackfillRequest",
    "Backup",
    "Bars",
    "Book",
    "BookLevel",
    "BookSnapshot",
    "Change",
    "Cleaned",
    "Cleanup",
    "Compaction",
    "Coverage",
    "Covered",
    "CrossCheck",
    "Dataset",
    "DatasetChange",
    "DayQuality",
    "Deleted",
    "Derived",
    "DerivedRule",
    "Event",
    "FeatureColumn",
    "FeatureDescription",
    "FeatureDiff",
    "FeatureSet",
    "Features",
    "FetchPlan",
    "FileReport",
    "FileState",
    "Found",
    "Frame",
    "Frames",
    "FundingRate",
    "Gap",
    "GapReason",
    "GapReport",
    "GroupStats",
    "Instrument",
    "Job",
    "JobState",
    "Jobs",
    "Lake",
    "LakeInstruments",
    "LakeStats",
    "Left",
    "LogLine",
    "Mapping",
    "Materialised",
    "Mended",
    "Message",
    "MigratedFile",
    "MissingPart",
    "OHLCVBar",
    "OpenInterest",
    "Problem",
    "Progress",
    "Provenance",
    "Quality",
    "Quote",
    "Rebuilt",
    "Refreshed",
    "Receipt",
    "Rename",
    "Repaired",
    "Report",
    "Run",
    "RunState",
    "Runs",
    "Schedule",
    "Schedules",
    "Segment",
    "Sighting",
    "Snapshot",
    "Span",
    "SqlResult",
    "StreamRequest",
    "StreamStatus",
    "Streams",
    "Symbol",
    "TicklakeError",
    "Timeframe",
    "Trade",
    "Vacuumed",
    "connect",
    "open",
]


def __getattr__(name: str) -> Any:
    """Load a public name on first use: importing the package itself costs nothing."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'ticklake' has no attribute {name!r}")
    value = getattr(import_module(f"ticklake.{_PUBLIC[name]}"), _RENAMED.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
