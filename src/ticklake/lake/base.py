"""What every part of the facade stands on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ticklake.core.dataset import Dataset
from ticklake.core.span import Span
from ticklake.core.time import TimeLike
from ticklake.engine.engine import Engine

if TYPE_CHECKING:
    from ticklake.ingest.alerts import Alerts
    from ticklake.ingest.collector import Collector
    from ticklake.ingest.jobs import Jobs
    from ticklake.ingest.schedules import Schedules

__all__ = ["Base", "DatasetLike"]

DatasetLike = str | Dataset


class Base:
    """The engine, the collector and the version that the verbs work on."""

    def __init__(
        self,
        engine: Engine,
        collector: Collector,
        root: Path | None,
        catalog_file: str,
        version: int | None = None,
        *,
        keep: Mapping[str, int] | None = None,
        desks: Callable[[Any], tuple[Jobs, Schedules]],
        make_alerts: Callable[[], Alerts],
    ) -> None:
        self.engine = engine
        self.runs = collector.runs
        self.root = root
        self._collector = collector
        self._catalog_file = catalog_file
        self._make_desks = desks
        self._make_alerts = make_alerts
        self._version = version
        self._keep = keep or {}

    def _want(self, dataset: Dataset, start: TimeLike | None, end: TimeLike | None) -> Span | None:
        if start is not None and end is not None:
            return Span.parse(start, end)
        known = self.engine.known(dataset)
        if known is None:
            return None
        return Span.parse(known.start if start is None else start, known.end if end is None else end)
