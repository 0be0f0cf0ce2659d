"""Import: the rows of another lake into ours, file by file; the other lake is only read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.provenance import Provenance
from ticklake.engine.appending import Receipt
from ticklake.engine.engine import Engine
from ticklake.errors import BadInput, StorageError
from ticklake.interchange.layout import Layout
from ticklake.interchange.layouts import parquet_files
from ticklake.interchange.parquet import count_rows, digest_of, read_chunks
from ticklake.interchange.reports import FileReport, FileState, Progress, Report, Watch

__all__ = ["Import"]


@dataclass(frozen=True, slots=True)
class Import:
    """One import of the files below *root*, which have a *layout*.

    Killed at any moment, the lake keeps what was committed; the same import again changes nothing.
    """

    engine: Engine
    layout: Layout
    root: Path
    watch: Watch = lambda _progress: None

    def plan(self) -> Report:
        """Return what a run would read, without reading rows."""
        return self._report(self._planned(path) for path in parquet_files(self.root))

    def run(self) -> Report:
        """Bring the rows in and return what became of each file."""
        paths = list(parquet_files(self.root))
        progress = Progress(len(paths))
        done = [self._file(path, progress) for path in paths]
        try:
            return self._report(_compared(done, self.root, self.layout.registered(self.root)))
        except StorageError as error:
            return self._report([*done, FileReport("", FileState.FAILED, note=str(error))])

    def _report(self, files: Iterable[FileReport]) -> Report:
        return Report(self.layout.name, str(self.root), tuple(files))

    def _planned(self, path: PurePosixPath) -> FileReport:
        try:
            dataset = self._dataset(path)
            return FileReport(str(path), FileState.PLANNED, str(dataset), count_rows(self.root / path))
        except BadInput as error:
            return FileReport(str(path), FileState.REFUSED, note=str(error))

    def _file(self, path: PurePosixPath, progress: Progress) -> FileReport:
        report = FileReport(str(path), FileState.IMPORTED)
        try:
            dataset = self._dataset(path)
            report = replace(report, dataset=str(dataset))
            for receipt in self._chunks(path, dataset, progress):
                report = _added(report, receipt)
        except BadInput as error:
            report = replace(report, state=FileState.FAILED if report.dataset else FileState.REFUSED, note=str(error))
        progress.finished += 1
        self.watch(progress)
        return report

    def _dataset(self, path: PurePosixPath) -> Dataset:
        dataset = self.layout.dataset_of(path)
        if dataset is None:
            raise BadInput(f"{path} is no file of the layout {self.layout.name}")
        return dataset

    def _chunks(self, path: PurePosixPath, dataset: Dataset, progress: Progress) -> Iterator[Receipt]:
        origin = Provenance(self.layout.name, str(path.parent))
        for rows in read_chunks(self.root / path, self.layout.times):
            if not rows.height:
                continue
            ours = self.layout.to_ours(dataset, rows)
            yield self.engine.append(dataset, ours, origin)
            progress.counts["received"] += rows.height
            progress.reached[str(dataset)] = _last(ours)
            self.watch(progress)


def _compared(files: Sequence[FileReport], root: Path, registered: Mapping[str, str]) -> Iterator[FileReport]:
    """Note which files are not as the other lake's catalog has them, and add those that it names and are not there."""
    for file in files:
        known = registered.get(file.path)
        if known and file.state is FileState.IMPORTED and digest_of(root / file.path) != known:
            yield replace(file, note="its checksum is not the one in its lake's catalog: it was changed since")
        else:
            yield file
    for path in sorted(registered.keys() - {file.path for file in files}):
        yield FileReport(path, FileState.FAILED, note="its lake's catalog names it, and it is not there")


def _last(rows: pl.DataFrame) -> int:
    newest = rows["ts"].cast(pl.Int64).max()
    return newest if isinstance(newest, int) else 0


def _added(report: FileReport, receipt: Receipt) -> FileReport:
    return replace(
        report,
        rows=report.rows + receipt.received,
        new=report.new + receipt.new,
        changed=report.changed + receipt.changed,
        duplicate=report.duplicate + receipt.duplicate,
        quarantined=report.quarantined + receipt.quarantined,
    )
