"""Export one version of the rows of our lake, merged and without repeats, as files of another lake."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from ticklake.core.compaction_plan import period_of
from ticklake.core.dataset import Dataset
from ticklake.core.file_reports import FileReport, FileState, Report
from ticklake.core.progress import Progress, Watch
from ticklake.core.span import ALL_TIME, Span
from ticklake.engine.engine import Engine
from ticklake.errors import BadInput, Unsupported
from ticklake.interchange.layout import Layout, Written
from ticklake.interchange.parquet import NOTE, read_note, replace_file
from ticklake.storage.local import LocalStore

__all__ = ["Export", "check_place"]


@dataclass(frozen=True, slots=True)
class Export:
    """One export of the rows inside *span* to files below *root*; *engine* is pinned to one version.

    A file is replaced only by a whole one, and only if an export wrote it; with *overwrite*, whoever wrote it. It never
    loses time that it held before: its span is that of all exports to it.
    """

    engine: Engine
    layout: Layout
    root: Path
    span: Span
    overwrite: bool = False
    watch: Watch = lambda _progress: None

    def run(self, datasets: Sequence[Dataset]) -> Report:
        """Write the files and return what became of each."""
        progress = Progress.of_steps(len(datasets))
        files: list[FileReport] = []
        for dataset in datasets:
            files += self._dataset(dataset, progress)
        return Report(self.layout.name, str(self.root), tuple(files))

    def _dataset(self, dataset: Dataset, progress: Progress) -> Iterator[FileReport]:
        try:
            for path, span in self._periods(dataset):
                file = self._file(dataset, path, span, progress)
                if file.rows or file.state is FileState.REFUSED:
                    yield file
        except Unsupported as error:
            yield FileReport("", FileState.REFUSED, str(dataset), problems=(str(error),))
        progress.step()
        self.watch(progress)

    def _periods(self, dataset: Dataset) -> Iterator[tuple[str, Span]]:
        """Yield path and span of every file that may have rows."""
        # Refuses a dataset that has no place, even if it has no rows.
        self.layout.place(dataset, "")
        grain, cursor = self.layout.grain(dataset), ALL_TIME.start
        for stretch in self.engine.stretches(dataset, self.span):
            cursor = max(cursor, stretch.start)
            while cursor < stretch.end:
                period = period_of(cursor, grain)
                yield self.layout.place(dataset, period.label), period.span
                cursor = period.span.end

    def _file(self, dataset: Dataset, path: str, whole: Span, progress: Progress) -> FileReport:
        target = self.root / path
        note: dict[str, Any] | None = {}
        if target.exists():
            note = read_note(target)
            problem = self._problem(path, dataset, note)
            if problem:
                return FileReport(path, FileState.REFUSED, str(dataset), problems=(problem,))
        span = _widened(self.span.intersect(whole) or whole, note or {}, whole)
        frames = _Frames(self, dataset, span, progress)
        footer = {**self.layout.footer(dataset), NOTE: self._note(dataset, span)}
        rows, changed = replace_file(LocalStore(self.root), path, frames, footer)
        if rows:
            self.layout.register(self.root, Written(path, dataset, frames.first, frames.last))
        state = FileState.UNCHANGED
        if changed:
            state = FileState.WRITTEN
        report = FileReport(path, state, str(dataset), rows)
        losses = self.layout.losses(dataset)
        if losses:
            report = replace(report, problems=(losses,))
        return report

    def _note(self, dataset: Dataset, span: Span) -> bytes:
        """Return what the next export and an import need to know of a file: its layout has no word for it."""
        row, id_space = self.engine.catalog.dataset(dataset), ""
        if row is not None:
            id_space = row.id_space
        note = {"dataset": str(dataset), "start": span.start, "end": span.end, "id_space": id_space}
        return json.dumps(note).encode()

    def _problem(self, path: str, dataset: Dataset, note: dict[str, Any] | None) -> str:
        """Say why an existing file may not be replaced: by its note it is not ours, or is that of another dataset."""
        if note is None and self.overwrite:
            return ""
        if note is None:
            return f"{path} exists and no export wrote it: remove it, or overwrite it"
        other = note.get("dataset", str(dataset))
        if other == str(dataset):
            return ""
        if Dataset.parse(other).variant != dataset.variant:
            return f"{path} is the file of {other}: the layout names no variant, so export each to a folder of its own"
        return f"{path} is the file of {other}: the folder does not tell capitals apart"


@dataclass
class _Frames:
    """The rows of one file, chunk by chunk, in the other lake's columns; keeps their first and last time."""

    export: Export
    dataset: Dataset
    span: Span
    progress: Progress
    first: int = 0
    last: int = 0

    def __iter__(self) -> Iterator[pl.DataFrame]:
        layout = self.export.layout
        for rows in self.export.engine.chunks(self.dataset, self.span):
            ts = rows["ts"].cast(pl.Int64)
            self.first, self.last = self.first or ts[0], ts[-1]
            yield layout.to_theirs(self.dataset, rows)
            self.progress.counts["received"] += rows.height
            self.progress.reached[str(self.dataset)] = self.last
            self.export.watch(self.progress)


def _widened(span: Span, note: dict[str, Any], whole: Span) -> Span:
    """Return the span of a file that, by its note, held rows of another span before."""
    if "start" not in note:
        return span
    start, end = min(span.start, int(note["start"])), max(span.end, int(note["end"]))
    return Span(start, end).intersect(whole) or span


def check_place(root: Path, lake_root: Path | None) -> Path:
    """Return *root* if an export may write there: not into our own lake.

    Raises
    ------
    BadInput
    """
    if lake_root is not None and root.resolve().is_relative_to(lake_root.resolve()):
        raise BadInput(f"{root} lies inside the lake: choose a folder of its own")
    return root
