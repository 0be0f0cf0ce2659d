"""Ticklake: a complete, correct, deduplicated copy of market data on your own machine.

>>> import ticklake
>>> lake = ticklake.open("data")  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ticklake.app import open_lake as open  # noqa: A004
    from ticklake.catalog.runs import Run, RunState
    from ticklake.core.book import Book
    from ticklake.core.coverage import Coverage, Covered, Found
    from ticklake.core.crosscheck import CrossCheck
    from ticklake.core.dataset import Dataset
    from ticklake.core.gaps import Gap, GapReason
    from ticklake.core.jobs import Job, JobState
    from ticklake.core.provenance import Provenance
    from ticklake.core.quality import DayQuality, Quality
    from ticklake.core.records import (
        BookLevel,
        BookSnapshot,
        FundingRate,
        OHLCVBar,
        OpenInterest,
        Quote,
        Trade,
    )
    from ticklake.core.requests import BackfillRequest
    from ticklake.core.results import DatasetChange, Receipt
    from ticklake.core.schedules import Schedule
    from ticklake.core.segment import Segment
    from ticklake.core.span import Span
    from ticklake.core.symbol import Symbol
    from ticklake.core.timeframe import Timeframe
    from ticklake.errors import TicklakeError
    from ticklake.files.mapping import Mapping
    from ticklake.lake import Lake, Snapshot

_PUBLIC = {
    "BackfillRequest": "core.requests",
    "Book": "core.book",
    "BookLevel": "core.records",
    "BookSnapshot": "core.records",
    "Coverage": "core.coverage",
    "Covered": "core.coverage",
    "CrossCheck": "core.crosscheck",
    "Dataset": "core.dataset",
    "DatasetChange": "core.results",
    "DayQuality": "core.quality",
    "Found": "core.coverage",
    "FundingRate": "core.records",
    "Gap": "core.gaps",
    "GapReason": "core.gaps",
    "Job": "core.jobs",
    "JobState": "core.jobs",
    "Lake": "lake",
    "Mapping": "files.mapping",
    "OHLCVBar": "core.records",
    "OpenInterest": "core.records",
    "Provenance": "core.provenance",
    "Quality": "core.quality",
    "Quote": "core.records",
    "Receipt": "core.results",
    "Run": "catalog.runs",
    "RunState": "catalog.runs",
    "Schedule": "core.schedules",
    "Segment": "core.segment",
    "Snapshot": "lake",
    "Span": "core.span",
    "Symbol": "core.symbol",
    "TicklakeError": "errors",
    "Timeframe": "core.timeframe",
    "Trade": "core.records",
    "open": "app",
}
_RENAMED = {"open": "open_lake"}

__all__ = [
    "BackfillRequest",
    "Book",
    "BookLevel",
    "BookSnapshot",
    "Coverage",
    "Covered",
    "CrossCheck",
    "Dataset",
    "DatasetChange",
    "DayQuality",
    "Found",
    "FundingRate",
    "Gap",
    "GapReason",
    "Job",
    "JobState",
    "Lake",
    "Mapping",
    "OHLCVBar",
    "OpenInterest",
    "Provenance",
    "Quality",
    "Quote",
    "Receipt",
    "Run",
    "RunState",
    "Schedule",
    "Segment",
    "Snapshot",
    "Span",
    "Symbol",
    "TicklakeError",
    "Timeframe",
    "Trade",
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
