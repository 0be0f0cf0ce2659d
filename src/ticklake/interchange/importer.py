"""Import the rows of another lake into ours, file by file; the other lake is only read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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

    A file is read to its end before any of its rows is saved. If the import is killed, the lake keeps what was committed; the
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
        return self._report(list(map(self._planned, parquet_files(self.root))))

    def run(self) -> Report:
        """Import the rows, record that as a run, and return what became of each file."""
        # The first rows of a dataset decide whether its trades are identified by ids: files that lack some come first,
        # or their rows without id would go to quarantine.
        paths = sorted(parquet_files(self.root), key=self._has_all_ids)
        run = self.runs.create("import", str(self.root), {"layout": self.layout.name, "files": len(paths)})
        progress = Progress.of_steps(len(paths))
        try:
            report = self._report(self._import_all(paths, progress, run))
        except BaseException as error:
            state = RunState.FAILED
            if isinstance(error, KeyboardInterrupt | Cancelled):
                state = RunState.CANCELLED
            # What ended the import is the error to raise, not that the run could not be closed.
            with suppress(TicklakeError):
                self.runs.finish(run.id, state, dict(progress.counts), str(error) or "interrupted")
            raise
        state = RunState.INCOMPLETE
        if report.is_complete:
            state = RunState.SUCCEEDED
        self.runs.finish(run.id, state, report.counts, report.told)
        return report

    def _has_all_ids(self, path: PurePosixPath) -> bool:
        return not has_nulls(self.root / path, self.layout.ids)

    def _report(self, files: Sequence[FileReport]) -> Report:
        return Report(self.layout.name, str(self.root), tuple(files))

    def _planned(self, path: PurePosixPath) -> FileReport:
        try:
            dataset = self._dataset(path)
            return FileReport(str(path), FileState.PLANNED, str(dataset), count_rows(self.root / path))
        except BadInput as error:
            return FileReport(str(path), FileState.REFUSED, problems=(str(error),))

    def _import_all(self, paths: Sequence[PurePosixPath], progress: Progress, run: Run) -> Sequence[FileReport]:
        imported = []
        for path in paths:
            imported.append(self._import_file(path, progress))
            progress.step()
            self.runs.update_progress(run.id, progress.done, dict(progress.counts))
            self.watch(progress)
        reports = self._compared(imported)
        for file in reports:
            if file.note:
                self.runs.append_log(run.id, f"{file.path}: {file.note}", "warning")
        return reports

    def _compared(self, files: Sequence[FileReport]) -> Sequence[FileReport]:
        """Compare the files with the other lake's own catalog, if it can be read."""
        try:
            registered = self.layout.registered(self.root)
        except StorageError as error:
            return [*files, FileReport("", FileState.FAILED, problems=(str(error),))]
        return list(_compare(files, self.root, registered))

    def _import_file(self, path: PurePosixPath, progress: Progress) -> FileReport:
        report = FileReport(str(path), FileState.IMPORTED)
        try:
            dataset = self._dataset(path)
        except BadInput as error:
            return replace(report, state=FileState.REFUSED, problems=(str(error),))
        report = replace(report, dataset=str(dataset))
        try:
            for receipt, note in self._append(path, dataset, progress):
                report = _added(report, receipt, note)
        except BadInput as error:
            report = replace(report, state=FileState.FAILED, problems=(str(error),))
        return report

    def _dataset(self, path: PurePosixPath) -> Dataset:
        dataset = self.layout.dataset_of(path, self.names)
        if dataset is None:
            raise BadInput(f"{path} is not a file of the layout {self.layout.name}")
        return dataset

    def _append(self, path: PurePosixPath, dataset: Dataset, progress: Progress) -> Iterator[tuple[Receipt, str]]:
        """Append the rows of a file and yield, for each commit, what became of them and what was left out."""
        file = self.root / path
        note = read_note(file) or {}
        id_space = note.get("id_space", self.layout.id_space(dataset))
        tool, source = self.layout.collected_by(footer_of(file))
        provenance = Provenance(self.layout.name, str(path.parent), tool, id_space, note=source)
        # A smaller file is one chunk: it is read whole before its rows are saved anyway.
        if count_rows(file) > CHUNK_ROWS:
            self._check_to_end(file, dataset, progress)
        for rows in self._rows(file, dataset):
            final = _without_forming(rows, dataset, self.engine.now(), file.stat().st_mtime_ns)
            left_out, note_of_commit = rows.height - final.height, ""
            if left_out:
                note_of_commit = f"{left_out:,} bars left out: not over yet"
            yield self.engine.append(dataset, final, provenance), note_of_commit
            progress.counts["received"] += rows.height
            progress.reached[str(dataset)] = _last(rows)
            self.watch(progress)

    def _rows(self, file: Path, dataset: Dataset) -> Iterator[pl.DataFrame]:
        for rows in read_chunks(file, self.layout.times):
            if rows.height:
                yield self.layout.to_ours(dataset, rows)

    def _check_to_end(self, file: Path, dataset: Dataset, progress: Progress) -> None:
        """Read a file to its end: what is wrong further on must show before the first rows are saved."""
        for _ in self._rows(file, dataset):
            self.watch(progress)


def _without_forming(rows: pl.DataFrame, dataset: Dataset, now: int, written: int) -> pl.DataFrame:
    """Leave out bars that are not over; if the file was *written* inside the last bar, that one was not over then."""
    timeframe = dataset.timeframe
    if timeframe is None:
        return rows
    final = timeframe.unfinished_from(now, dataset.anchor, last=_last(rows), written=written)
    # Rows without a time are kept for the check to count.
    is_over = pl.col("ts").to_physical() < final
    return rows.filter(is_over.fill_null(True))


def _compare(files: Sequence[FileReport], root: Path, registered: Mapping[str, str]) -> Iterator[FileReport]:
    """Note which files differ from the other lake's catalog, and add those that it names and are not there."""
    for file in files:
        checksum = registered.get(file.path)
        if checksum and file.state is FileState.IMPORTED and digest_of(root / file.path) != checksum:
            yield replace(file, problems=("its checksum is not the one in its lake's catalog: it was changed since",))
        else:
            yield file
    for path in sorted(registered.keys() - {file.path for file in files}):
        yield FileReport(path, FileState.FAILED, problems=("its lake's catalog names it, and it is not there",))


def _last(rows: pl.DataFrame) -> int:
    newest = rows["ts"].cast(pl.Int64).max()
    if not isinstance(newest, int):
        return 0
    return newest


def _added(report: FileReport, receipt: Receipt, note: str) -> FileReport:
    if note:
        report = replace(report, problems=(note,))
    return replace(
        report,
        rows=report.rows + receipt.received,
        new=report.new + receipt.new,
        changed=report.changed + receipt.changed,
        duplicate=report.duplicate + receipt.duplicate,
        quarantined=report.quarantined + receipt.quarantined,
    )
