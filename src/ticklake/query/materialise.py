"""Materialise features: call a function at instants of the past, and keep what it returns; and check that it returns the same again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from ticklake.catalog.runs import Runs
from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.feature_rows import rows_at, values_of
from ticklake.core.feature_values import FeatureDiff, Materialised, compare
from ticklake.core.feature_work import Work
from ticklake.core.features import CodeReference, FeatureSet
from ticklake.core.kinds import PROVENANCE
from ticklake.core.progress import Progress, Watch
from ticklake.core.provenance import Provenance
from ticklake.core.results import Receipt
from ticklake.core.runs import RunState
from ticklake.core.span import Span
from ticklake.core.time import format_time
from ticklake.engine.engine import Engine
from ticklake.errors import Cancelled, FeaturesDiffer, InvalidData, TicklakeError
from ticklake.query.features import DERIVED, drop_if_deleted, stored_rows

__all__ = ["OPERATION", "Frames", "Materialising", "check_code", "grid", "instant_of_error", "verify"]

Frames = Callable[[str, str, Sequence[int]], Iterable[Any]]
"""Returns what the function gets for an exchange and a symbol at each of some instants, in their order."""
Place = tuple[str, str]
"""An exchange and a symbol."""
OPERATION = "materialise"
"""What runs of it are called."""
_CALLED_FOR = "while the function was called for "
_COUNTS = ("received", "new", "changed", "duplicate", "quarantined")


def grid(span: Span, every: int) -> range:
    """Return the multiples of *every* inside a span: the same instants wherever the span begins."""
    first = -(-span.start // every) * every
    return range(first, span.end, every)


def check_code(features: FeatureSet, function: Callable[..., Any]) -> CodeReference:
    """Return the reference to a function, which must be the one that the feature set is registered with.

    Raises
    ------
    FeaturesDiffer
        If it has other code.
    """
    code = CodeReference.of(function)
    if features.code is not None and features.code.hash != code.hash:
        raise FeaturesDiffer(
            f"{features} is registered with {features.code.name} as it was then, and {code.name} has other code: "
            "register another version, or its values would be a mixture"
        )
    return code


@dataclass
class Materialising:
    """One run of a function over instants of the past.

    What is committed stays, and is not computed again by the next run.
    """

    engine: Engine
    runs: Runs
    features: FeatureSet
    function: Callable[..., Any]
    frames: Frames
    inputs: Callable[[str, str], Sequence[str]]
    every: int | None
    batch: int
    work: Work
    version: int
    watch: Watch
    counts: dict[str, int] = field(default_factory=dict)
    progress: Progress = field(default_factory=Progress)

    def run(self, places: Sequence[Place], instants: Sequence[int], *, again: bool) -> Materialised:
        """Compute the values of symbols, each with its exchange, at sorted instants.

        Raises
        ------
        FeaturesDiffer
            If there are values that were made in another way, unless they are computed *again*.
        """
        self.counts = dict.fromkeys(("skipped", "computed", "without_row", *_COUNTS), 0)
        names = [str(self.features.dataset(*place)) for place in places]
        self.progress = Progress(datasets=len(places), planned=dict.fromkeys(names, len(instants)), names=names)
        todo = self._todo(places, instants, again=again)
        subject = f"{self.features} of {', '.join(symbol for _, symbol in places[:3])}"
        run = self.runs.create(OPERATION, subject, self._parameters(names, list(todo.values())))
        with self._finished(run.id):
            self.watch(self.progress)
            for place in places:
                if again:
                    self._remove(self.features.dataset(*place), instants)
                self._symbol(place, todo[place], len(instants) - len(todo[place]), run.id)
        return Materialised(str(self.features), len(places), len(places) * len(instants), **self.counts, run_id=run.id)

    def _todo(self, places: Sequence[Place], instants: Sequence[int], *, again: bool) -> dict[Place, Sequence[int]]:
        """Return the instants of each symbol for which the function is called, once it is sure that it may be."""
        replaced: Span | None = None
        if again:
            replaced = Span(instants[0], instants[-1] + 1)
        todo: dict[Place, Sequence[int]] = {}
        for place in places:
            self._check_origins(place, replaced)
            todo[place] = instants
            if not again:
                todo[place] = self._missing(place, instants)
        return todo

    @contextmanager
    def _finished(self, run_id: int) -> Iterator[None]:
        """Note how the run ended with the block."""
        try:
            yield
        except BaseException as error:
            state = RunState.FAILED
            if isinstance(error, KeyboardInterrupt | Cancelled):
                state = RunState.CANCELLED
            # What ended the work is the error to raise, not that the run could not be closed.
            with suppress(TicklakeError):
                self.runs.finish(run_id, state, self.counts, str(error) or "interrupted")
            raise
        self.runs.finish(run_id, RunState.SUCCEEDED, self.counts, f"{self.counts['new']:,} new rows")

    def _parameters(self, names: Sequence[str], todo: Sequence[Sequence[int]]) -> dict[str, Any]:
        """Return what the run records. The version that was read is here and not in the provenance of rows.

        A set that is kept up to date reads another version each time: rows would have a new origin for every few of them.
        """
        return {
            "features": str(self.features),
            "dataset": list(names),
            "first": min((instants[0] for instants in todo if instants), default=None),
            "last": max((instants[-1] for instants in todo if instants), default=None),
            "lake_version": self.version,
            "knowledge": self.work.knowledge,
        }

    def _remove(self, dataset: Dataset, instants: Sequence[int]) -> None:
        if self.engine.catalog.has(dataset):
            self.engine.delete(dataset, Span(instants[0], instants[-1] + 1))

    def _symbol(self, place: Place, todo: Sequence[int], skipped: int, run_id: int) -> None:
        dataset = self.features.dataset(*place)
        self.counts["skipped"] += skipped
        self._advance(dataset, skipped, run_id)
        origin = self._origin(place)
        for start in range(0, len(todo), self.batch):
            chunk = todo[start : start + self.batch]
            self._commit(dataset, chunk, self._values(place, chunk), origin)
            self._advance(dataset, len(chunk), run_id)

    def _missing(self, place: Place, instants: Sequence[int]) -> Sequence[int]:
        """Return the instants that have no row yet, and for which the function was not called in vain before."""
        dataset = self.features.dataset(*place)
        if not self.engine.catalog.has(dataset):
            return instants
        span = Span(instants[0], instants[-1] + 1)
        there = set(self.engine.load(dataset, span, columns=["ts"])["ts"].to_physical())
        pieces = self.engine.catalog.coverage(dataset).pieces
        called = [piece for piece in pieces if piece.found is Found.DATA and piece.reason == self._grid_note]
        return [at for at in instants if at not in there and not any(at in piece.span for piece in called)]

    def _check_origins(self, place: Place, replaced: Span | None) -> None:
        """Refuse to put values beside those that were made by other code or of other frames, unless these are *replaced*.

        Rows that users wrote stay where they are.
        """
        origins = self.engine.catalog.provenances()
        for number, first, last in self._rows_by_origin(place, replaced).iter_rows():
            before = Work.from_note(origins[number].note)
            if origins[number].source != DERIVED or before is None:
                continue
            difference = self.work.difference(before)
            if difference:
                raise FeaturesDiffer(
                    f"{self.features} of {place[1]} has values of {format_time(first)} to {format_time(last)} that were made with "
                    f"{difference}: register another version, or compute all of them anew with again=True"
                )

    def _rows_by_origin(self, place: Place, replaced: Span | None) -> pl.DataFrame:
        """Return the time of the first and the last row of each origin, without rows inside a span."""
        dataset = self.features.dataset(*place)
        ts = pl.col("ts").to_physical()
        if not self.engine.catalog.has(dataset):
            return pl.DataFrame()
        rows = self.engine.scan(dataset, provenance=True)
        if replaced is not None:
            rows = rows.filter((ts < replaced.start) | (ts >= replaced.end))
        return rows.group_by(PROVENANCE).agg(ts.min().alias("first"), ts.max().alias("last")).collect().sort("first")

    @property
    def _grid_note(self) -> str:
        """The reason with which coverage says at which instants the function was called, and how its values are made."""
        return f"every {self.every} ns, work {self.work.hash}"

    def _values(self, place: Place, chunk: Sequence[int]) -> list[Mapping[str, Any] | None]:
        frames = self.frames(*place, chunk)
        called: list[Mapping[str, Any] | None] = []
        for instant, frame in zip(chunk, frames, strict=True):
            called.append(call(self.function, frame, self.features, place[1], instant))
        return called

    def _commit(
        self, dataset: Dataset, chunk: Sequence[int], values: Sequence[Mapping[str, Any] | None], origin: Provenance
    ) -> None:
        rows = rows_at(self.features, chunk, values)
        coverage: list[Covered] = []
        if self.every is not None:
            # A chunk may have holes, of instants that are there already: they are covered, too.
            coverage = [Covered(Span(chunk[0], chunk[-1] + self.every), Found.DATA, self._grid_note)]
        receipt = self.engine.append(dataset, rows, origin, coverage)
        drop_if_deleted(self.engine, self.features, [dataset])
        self.counts["computed"] += len(chunk)
        self.counts["without_row"] += len(chunk) - rows.height
        self._count(receipt)

    def _count(self, receipt: Receipt) -> None:
        for name in _COUNTS:
            self.counts[name] += getattr(receipt, name)
            self.progress.counts[name] += getattr(receipt, name)

    def _advance(self, dataset: Dataset, count: int, run_id: int) -> None:
        self.progress.finished[str(dataset)] += count
        self.runs.update_progress(run_id, self.progress.done, self.counts)
        self.watch(self.progress)

    def _origin(self, place: Place) -> Provenance:
        note = {**self.work.to_dict(), "definition": self.features.hash, "inputs": list(self.inputs(*place))}
        return Provenance(DERIVED, str(self.features), self.engine.store.tool, note=json.dumps(note, sort_keys=True))


def call(
    function: Callable[..., Any], frame: Any, features: FeatureSet, symbol: str, instant: int
) -> Mapping[str, Any] | None:
    """Return the values that a function returns for a frame; its errors say for which symbol and instant it was called."""
    place = f"{features} of {symbol} at {format_time(instant)}"
    try:
        result = function(frame)
    except Exception as error:
        error.add_note(f"{_CALLED_FOR}{place}")
        raise
    try:
        return values_of(features, result)
    except InvalidData as error:
        raise InvalidData(f"{place}: {error}") from None


def instant_of_error(error: Exception) -> str | None:
    """Return for which features, symbol and instant a function was called that raised an error; ``None`` if it is another error."""
    for note in getattr(error, "__notes__", ()):
        if note.startswith(_CALLED_FOR):
            return str(note.removeprefix(_CALLED_FOR))
    return None


def verify(
    engine: Engine,
    features: FeatureSet,
    function: Callable[..., Any],
    frames: Frames,
    datasets: Sequence[Dataset],
    span: Span,
    watch: Watch = lambda _progress: None,
) -> FeatureDiff:
    """Call the function anew, instant by instant as a live program does, and compare the values with the stored ones bit for bit.

    Rows that users wrote are left out. ``removed`` in the result are stored rows for which the function returns none now.
    """
    stored = stored_rows(engine, datasets, span, history=False, source=DERIVED)
    anew: list[pl.DataFrame] = [stored.clear()]
    progress = Progress.of_steps(stored.height)
    for dataset in datasets:
        symbol = str(dataset.symbol)
        mine = stored.filter((stored["exchange"] == dataset.exchange) & (stored["symbol"] == symbol))
        for instant in mine["ts"].to_physical():
            frame = next(iter(frames(dataset.exchange, symbol, [instant])))
            rows = rows_at(features, [instant], [call(function, frame, features, symbol, instant)])
            names = [pl.lit(dataset.exchange).alias("exchange"), pl.lit(symbol).alias("symbol")]
            anew.append(rows.select(*names, pl.all()).select(stored.columns))
            progress.step()
            watch(progress)
    return compare(("stored", "computed again"), _bits(features, stored), _bits(features, pl.concat(anew)))


def _bits(features: FeatureSet, rows: pl.DataFrame) -> pl.DataFrame:
    """Return floats as the integers of their bits: 0.0 and -0.0 are equal, and differ."""
    floats = [column.name for column in features.columns if column.dtype == "float64"]
    return rows.with_columns(pl.col(floats).reinterpret(dtype=pl.Int64))
