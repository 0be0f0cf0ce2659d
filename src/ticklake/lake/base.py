"""What every part of the facade stands on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ticklake.core.dataset import Dataset
from ticklake.core.instrument import unified
from ticklake.core.span import Span
from ticklake.core.symbol import Symbol
from ticklake.core.time import TimeLike
from ticklake.engine.engine import Engine
from ticklake.errors import BadInput, UnknownDataset

if TYPE_CHECKING:
    from ticklake.alerts.service import Alerts
    from ticklake.collect.collector import Collector
    from ticklake.jobs.queue import Jobs
    from ticklake.jobs.schedules import Schedules

__all__ = ["Base", "DatasetLike", "View", "as_list", "as_path"]

DatasetLike = str | Dataset


def as_list(name: str, value: Any) -> list[Any]:
    """Read a list that the caller passed as *name*; one text is a list of one.

    Raises
    ------
    BadInput
        If it is no list.
    """
    if isinstance(value, str | Dataset | Path):
        return [value]
    if not isinstance(value, Iterable):
        raise BadInput(f"{name}={value!r} is no list: pass one, or several in a list")
    return list(value)


def as_path(name: str, value: Any) -> Path:
    """Read a path that the caller passed as *name*.

    Raises
    ------
    BadInput
        If it is neither a text nor a path, or empty: that would be the folder of the process.
    """
    if not isinstance(value, str | Path) or value == "":
        raise BadInput(f"{name}={value!r} is no path: pass a text or a pathlib.Path that names a file or folder")
    return Path(value).expanduser()


class View:
    """The engine that reading verbs ask: that of the newest version, or one pinned to an older version."""

    engine: Engine
    root: Path | None

    def _known(self, dataset: DatasetLike) -> Dataset:
        """Read the name of a dataset that the lake has; its symbol may be the exchange's own id of one market.

        Raises
        ------
        UnknownDataset
            If it has none of this name.
        UnknownSymbol
            If several markets of the exchange have that id.
        """
        parsed = Dataset.parse(dataset)
        if self.engine.catalog.has(parsed):
            return parsed
        named = self._by_native_id(parsed)
        if named != parsed and self.engine.catalog.has(named):
            return named
        raise UnknownDataset(f"the lake has no {parsed}: {self._hint(parsed)}")

    def _by_native_id(self, dataset: Dataset) -> Dataset:
        """Return the dataset that is meant if the symbol is a native id in the list of markets that the lake has."""
        from ticklake.catalog.instruments import Instruments

        listed = Instruments(self.engine.catalog.database, self.engine.now).history(dataset.exchange)
        return replace(dataset, symbol=Symbol(unified(str(dataset.symbol), listed)))

    def _hint(self, dataset: Dataset) -> str:
        names = {str(other): other for other in (row.dataset for row in self.engine.catalog.datasets())}
        alike = [name for name, other in names.items() if other.symbol == dataset.symbol]
        close = [*get_close_matches(str(dataset), alike, 3, 0), *get_close_matches(str(dataset), list(names), 3, 0.7)]
        if close:
            return f"did you mean {' or '.join(list(dict.fromkeys(close))[:3])}?"
        return "'ticklake list' shows what it holds" if names else "it holds nothing yet"

    def _want(self, dataset: Dataset, start: TimeLike | None, end: TimeLike | None) -> Span | None:
        if start is not None and end is not None:
            return Span.parse(start, end)
        known = self.engine.known(dataset)
        if known is None:
            return None
        return Span.parse(known.start if start is None else start, known.end if end is None else end)


class Base(View):
    """The engine and the collector that the verbs of a lake work on."""

    def __init__(
        self,
        engine: Engine,
        collector: Collector,
        root: Path | None,
        catalog_file: str,
        *,
        keep: Mapping[str, int] | None = None,
        make_work: Callable[[], tuple[Jobs, Schedules]],
        make_alerts: Callable[[], Alerts],
    ) -> None:
        self.engine = engine
        self.runs = collector.runs
        self.root = root
        self._collector = collector
        self._catalog_file = catalog_file
        self._make_work = make_work
        self._make_alerts = make_alerts
        self._keep = keep or {}
