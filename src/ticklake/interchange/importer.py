"""Import: the rows of another lake into ours, file by file; the other lake is only read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import polars as pl

from ticklake.catalog.runs import Runs
from ticklake.core.dataset import Dataset
from ticklake.core.file_reports import FileReport, FileState, Report
from ticklake.core.progress import Progress, Watch
from ticklake.core.provenance import Provenance
from ticklake.core.read_plan import CHUNK_ROWS
from ticklake.core.results import Receipt
from ticklake.core.runs import Run, RunState
from ticklake.engine.engine import Engine
from ticklake.errors import BadInput, Cancelled, StorageError, TicklakeError
from ticklake.interchange.layout import Layout, Names
from ticklake.interchange.layouts import parquet_files
from ticklake.interchange.parquet import count_rows, digest_of, footer_of, has_nulls, read_chunks, read_note

__all__ = ["Import"]


@dataclass(frozen=True, slots=True)
class Import:
    """One import of the files below *root*, which have a *layout*.

    A file is read to its end before any row of it goes in. Killed at any moment, the lake keeps what was committed; the
    same import again changes nothing.
    """

    engine: Engine
    runs: Runs
    layout: Layout
    root: Path
    names: Names
    watch: Watch = lambda _progress: None

    def plan(self) -> Report:
        """Return what a run would read, without reading rows."""
        return self._report(self._planned(path) for path in parquet_files(self.root))

    def run(self) -> Report:
        """Bring the rows in, record that as a run, and return what became of each file."""
        paths = sorted(parquet_files(self.root), key=self._has_all_ids)
        run = self.runs.create("import", str(self.root), {"layout": self.layout.name, "files": len(paths)})
        progress = Progress.of_steps(len(paths))
        try:
            report = self._report(self._all(paths, progress, run))
        except BaseException as error:
            state = RunState.CANCELLED if isinstance(error, KeyboardInterrupt | Cancelled) else RunState.FAILED
            with suppress(TicklakeError):
                self.runs.finish(run.id, state, dict(progress.counts), str(error) or "interrupted")
            raise
        state = RunState.SUCCEEDED if report.is_complete else RunState.INCOMPLETE
        self.runs.finish(run.id, state, report.counts, report.told)
        return report

    def _has_all_ids(self, path: PurePosixPath) -> bool:
        """Whether it can wait: what a dataset gets first decides whether its trades are told apart by ids or by values."""
        return not has_nulls(self.root / path, self.layout.ids)

    def _report(self, files: Iterable[FileReport]) -> Report:
        return Report(self.layout.name, str(self.root), tuple(files))

    def _planned(self, path: PurePosixPath) -> FileReport:
        try:
            dataset = self._dataset(path)
            return FileReport(str(path), FileState.PLANNED, str(dataset), count_rows(self.root / path))
        except BadInput as error:
            return FileReport(str(path), FileState.REFUSED, problems=(str(error),))

    def _all(self, paths: Sequence[PurePosixPath], progress: Progress, run: Run) -> Iterator[FileReport]:
        done = []
        for path in paths:
            done.append(self._file(path, progress))
            progress.step()
            self.runs.update_progress(run.id, progress.done, dict(progress.counts))
            self.watch(progress)
        for file in self._compared(done):
            if file.note:
                self.runs.append_log(run.id, f"{file.path}: {file.note}", "warning")
            yield file

    def _compared(self, files: Sequence[FileReport]) -> Sequence[FileReport]:
        try:
            return list(_compare(files, self.root, self.layout.registered(self.root)))
        except StorageError as error:
            return [*files, FileReport("", FileState.FAILED, problems=(str(error),))]

    def _file(self, path: PurePosixPath, progress: Progress) -> FileReport:
        report = FileReport(str(path), FileState.IMPORTED)
        try:
            dataset = self._dataset(path)
            report = replace(report, dataset=str(dataset))
            for receipt, note in self._append(path, dataset, progress):
                report = _added(report, receipt, note)
        except BadInput as error:
            state = FileState.FAILED if report.dataset else FileState.REFUSED
            report = replace(report, state=state, problems=(str(error),))
        return report

    def _dataset(self, path: PurePosixPath) -> Dataset:
        dataset = self.layout.dataset_of(path, self.names)
        if dataset is None:
            raise BadInput(f"{path} is no file of the layout {self.layout.name}")
        return dataset

    def _append(self, path: PurePosixPath, dataset: Dataset, progress: Progress) -> Iterator[tuple[Receipt, str]]:
        """Append the rows of a file and yield, for each commit, what became of them and what was left out."""
        file = self.root / path
        space = (read_note(file) or {}).get("id_space", self.layout.id_space(dataset))
        tool, note = self.layout.collected_by(footer_of(file))
        origin = Provenance(self.layout.name, str(path.parent), tool, space, note=note)
        if count_rows(file) > CHUNK_ROWS:
            self._read_to_the_end(file, dataset, progress)
        for rows in self._rows(file, dataset):
            over = _over(rows, dataset, self.engine.now(), file.stat().st_mtime_ns)
            left = rows.height - over.height
            receipt = self.engine.append(dataset, over, origin)
            yield receipt, f"{left:,} bars left out: not over yet" if left else ""
            progress.counts["received"] += rows.height
            progress.reached[str(dataset)] = _last(rows)
            self.watch(progress)

    def _rows(self, file: Path, dataset: Dataset) -> Iterator[pl.DataFrame]:
        pieces = read_chunks(file, self.layout.times)
        return (self.layout.to_ours(dataset, rows) for rows in pieces if rows.height)

    def _read_to_the_end(self, file: Path, dataset: Dataset, progress: Progress) -> None:
        """Raise if something is wrong further on, before the first rows are in."""
        for _ in self._rows(file, dataset):
            self.watch(progress)


def _over(rows: pl.DataFrame, dataset: Dataset, now: int, written: int) -> pl.DataFrame:
    """Leave out bars that were not over: now, or when the file was written, if that was inside the last of them."""
    frame = dataset.timeframe
    if frame is None:
        return rows
    final = frame.unfinished_from(now, dataset.anchor, last=_last(rows), written=written)
    return rows.filter((pl.col("ts").to_physical() < final).fill_null(True))


def _compare(files: Sequence[FileReport], root: Path, registered: Mapping[str, str]) -> Iterator[FileReport]:
    """Note which files are not as the other lake's catalog has them, and add those that it names and are not there."""
    for file in files:
        known = registered.get(file.path)
        if known and file.state is FileState.IMPORTED and digest_of(root / file.path) != known:
            yield replace(file, problems=("its checksum is not the one in its lake's catalog: it was changed since",))
        else:
            yield file
    for path in sorted(registered.keys() - {file.path for file in files}):
        yield FileReport(path, FileState.FAILED, problems=("its lake's catalog names it, and it is not there",))


def _last(rows: pl.DataFrame) -> int:
    newest = rows["ts"].cast(pl.Int64).max()
    return newest if isinstance(newest, int) else 0


def _added(report: FileReport, receipt: Receipt, note: str) -> FileReport:
    return replace(
        report,
        rows=report.rows + receipt.received,
        new=report.new + receipt.new,
        changed=report.changed + receipt.changed,
        duplicate=report.duplicate + receipt.duplicate,
        quarantined=report.quarantined + receipt.quarantined,
        problems=(note,) if note else report.problems,
    )
