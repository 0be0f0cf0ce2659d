"""Import files: each is planned, checked as a whole, then saved; or it is refused with the reason, and nothing of it saved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from ticklake.audit.sequence import cover_seams
from ticklake.catalog.runs import Runs
from ticklake.core.coverage import Covered
from ticklake.core.dataset import Dataset
from ticklake.core.file_reports import FileReport, FileState
from ticklake.core.progress import Progress, Watch
from ticklake.core.provenance import CHECKED, Provenance, depth_note
from ticklake.core.results import Receipt
from ticklake.core.runs import Run, RunState
from ticklake.core.time import format_time
from ticklake.engine.engine import Engine
from ticklake.errors import BadInput, InvalidData, TicklakeError
from ticklake.files.decompress import entries_of, refuse_other_checksum
from ticklake.files.filenames import label_of, span_in
from ticklake.files.inspect import FileDataset, cure, examine, pieces_of
from ticklake.files.message_counts import Tally
from ticklake.files.presets import preset_named
from ticklake.files.readers import FilePlan, ImportOptions, plan_file

__all__ = ["Importer"]


@dataclass
class Importer:
    """Imports files into a lake.

    With ``dry_run`` nothing is saved, and no run is recorded. ``lake_folder`` is passed over where it lies in a folder that is
    imported.
    """

    engine: Engine
    runs: Runs
    options: ImportOptions
    dry_run: bool = False
    watch: Watch = lambda _progress: None
    lake_folder: Path | None = None

    def run(self, paths: Sequence[Path]) -> list[FileReport]:
        """Import every file, those in folders too, and report what became of each.

        Raises
        ------
        BadInput
            If there is no file, or no preset of that name, or files do not say of which dataset they are: then nothing is saved.
        """
        if self.options.preset:
            preset_named(self.options.preset, "")
        planned = list(self._plan(paths))
        if not planned:
            raise BadInput(f"there is no file in {', '.join(map(str, paths))}")
        progress = Progress.of_steps(len(planned))
        if self.dry_run:
            return list(self._import_all(planned, progress, None))
        self._refuse_without_dataset([plan for plan in planned if isinstance(plan, FilePlan)])
        return self._recorded(planned, progress, paths)

    def _recorded(
        self, planned: Sequence[FilePlan | FileReport], progress: Progress, paths: Sequence[Path]
    ) -> list[FileReport]:
        """Import the files in a run of the catalog."""
        shown = list(map(self._shown, paths))
        run = self.runs.create("import", shown[0], {"paths": shown})
        try:
            results = list(self._import_all(planned, progress, run))
        # Each file is committed on its own: what came before the interruption is in the lake.
        except KeyboardInterrupt:
            outcome = "interrupted; run the same command again to go on where it stopped"
            self.runs.finish(run.id, RunState.CANCELLED, progress.to_dict(), outcome)
            raise
        except TicklakeError as error:
            self.runs.finish(run.id, RunState.FAILED, progress.to_dict(), str(error))
            raise
        refused = new = 0
        names: set[str] = set()
        for result in results:
            new += result.new
            if result.refused:
                refused += 1
            elif result.dataset:
                names.add(result.dataset)
        # Only now: two files of one dataset may meet, whichever of them came first.
        for name in sorted(names):
            cover_seams(self.engine, Dataset.parse(name))
        state = _state(refused, len(results))
        outcome = f"{new:,} new rows; {refused} of {len(results)} files refused"
        self.runs.finish(run.id, state, progress.to_dict(), outcome)
        return results

    def _shown(self, path: object) -> str:
        """Return a path as records name it: what waits in the lake itself, like an upload, by its name alone."""
        text = str(path)
        if self.lake_folder is None or not Path(text).is_relative_to(self.lake_folder):
            return text
        return Path(text).name

    def _plan(self, paths: Sequence[Path]) -> Iterator[FilePlan | FileReport]:
        """Yield the plan of each file, or its refusal."""
        for path in _files(paths, self.lake_folder):
            try:
                refuse_other_checksum(path)
                entries = entries_of(path)
            except InvalidData as error:
                yield FileReport(str(path), FileState.REFUSED, problems=(str(error),))
                continue
            for entry in entries:
                try:
                    yield plan_file(entry, self.options)
                except BadInput as error:
                    yield FileReport(str(entry), FileState.REFUSED, problems=(str(error),))

    def _refuse_without_dataset(self, plans: Sequence[FilePlan]) -> None:
        """Refuse all files if one does not say of which dataset it is: the caller can say so before anything is saved."""
        if self.options.dataset is not None:
            return
        incomplete = [plan for plan in plans if plan.missing]
        if incomplete:
            first = incomplete[0]
            raise BadInput(
                f"{len(incomplete)} of {len(plans)} files do not say of which dataset they are, like {first.entry} "
                f"({first.preset.name}: {first.from_path}): {first.from_path.doubt or cure(first.missing)}"
            )

    def _import_all(
        self, planned: Iterable[FilePlan | FileReport], progress: Progress, run: Run | None
    ) -> Iterator[FileReport]:
        for plan in planned:
            for result in self._import_file(plan, progress):
                _count(result, progress)
                if run is not None:
                    self._log(run, result)
                yield result
            progress.step()
            if run is not None:
                self.runs.update_progress(run.id, progress.done, progress.to_dict())
            self.watch(progress)

    def _log(self, run: Run, result: FileReport) -> None:
        if not result.problems:
            return
        level = "info"
        if result.refused:
            level = "warning"
        self.runs.append_log(run.id, f"{self._shown(result.path)}: {'; '.join(result.problems)}", level)

    def _import_file(self, plan: FilePlan | FileReport, progress: Progress) -> list[FileReport]:
        """Import a file that was not refused; every result has the counts and proofs of all messages, the first one the notes about them."""
        if isinstance(plan, FileReport):
            return [plan]
        tally = Tally()
        results = self._save_file(plan, progress, tally)
        channels, proofs = tally.to_dicts(), tuple(tally.proofs())
        results = [replace(result, channels=channels, proofs=proofs) for result in results]
        if results and not results[0].refused:
            results[0] = replace(results[0], problems=(*results[0].problems, *tally.notes()))
        return results

    def _save_file(self, plan: FilePlan, progress: Progress, tally: Tally) -> list[FileReport]:
        """Examine a file and save its rows, and return a result for each dataset in it."""

        def count_rows(rows: int) -> None:
            progress.counts["received"] += rows
            self.watch(progress)

        try:
            datasets = examine(plan, self.options, count_rows, tally)
            self._refuse_without_ids(datasets)
        # A file may be removed or locked between its plan and its reading.
        except (BadInput, OSError) as error:
            return [replace(_result_of_file(plan), problems=(str(error),), state=FileState.REFUSED)]
        results = [_result_of_dataset(plan, content) for content in datasets]
        if self.dry_run:
            for number, content in enumerate(datasets):
                invalid = content.invalid.counts.total()
                results[number] = replace(results[number], state=FileState.PLANNED, quarantined=invalid)
            return results
        try:
            receipts = self._save(plan, datasets)
        except BadInput as error:
            return [
                replace(result, problems=(*result.problems, str(error)), state=FileState.REFUSED) for result in results
            ]
        return [_with_counts(result, receipt) for result, receipt in zip(results, receipts, strict=True)]

    def _refuse_without_ids(self, datasets: Sequence[FileDataset]) -> None:
        """Refuse trades without ids for datasets that tell theirs apart by id: all of them would go to quarantine."""
        for content in datasets:
            if not content.is_without_ids:
                continue
            _, heads = self.engine.catalog.heads([content.dataset])
            if any(head.seq and head.keying == "id" for head in heads.values()):
                raise InvalidData(
                    f"its {content.rows:,} trades have no ids, by which {content.dataset} tells trades apart: "
                    "say which column has them (--columns id=...)"
                )

    def _save(self, plan: FilePlan, datasets: Sequence[FileDataset]) -> list[Receipt]:
        """Save all rows of a file with one commit; only rows that do not fit in memory take several."""
        # Very large: it is read again, piece by piece.
        if any(content.frames is None for content in datasets):
            return [self._save_in_pieces(plan, content) for content in datasets]
        return self.engine.append_each(
            (content.dataset, content.sorted_rows(), _provenance(plan, content), self._covered(plan, content))
            for content in datasets
        )

    def _save_in_pieces(self, plan: FilePlan, content: FileDataset) -> Receipt:
        """Save rows with several commits, of which the last has the coverage: killed before, none is claimed."""
        provenance, total = _provenance(plan, content), Receipt()
        previous: pl.DataFrame | None = None
        for piece in pieces_of(plan, content, self.options):
            if previous is not None:
                total += self.engine.append(content.dataset, previous, provenance)
            previous = piece
        if previous is None:
            return total
        return total + self.engine.append(content.dataset, previous, provenance, self._covered(plan, content))

    def _covered(self, plan: FilePlan, content: FileDataset) -> tuple[Covered, ...]:
        named = None
        if plan.preset.whole:
            named = span_in(label_of(plan.entry))
        return content.covered(self.options.now, named)


def _count(result: FileReport, progress: Progress) -> None:
    for name in ("new", "changed", "duplicate", "quarantined"):
        progress.counts[name] += getattr(result, name)


def _result_of_file(plan: FilePlan) -> FileReport:
    """Return what is known of a file before it is read."""
    form = ".".join([str(plan.form), *reversed(plan.layers)])
    mapping = plan.mapping.to_dict()
    return FileReport(str(plan.entry), FileState.IMPORTED, format=form, preset=plan.preset.name, mapping=mapping)


def _result_of_dataset(plan: FilePlan, content: FileDataset) -> FileReport:
    """Return what is known of a dataset in a file before it is saved."""
    first = last = None
    if content.first is not None:
        first = format_time(content.first)
    if content.last is not None:
        last = format_time(content.last)
    return replace(
        _result_of_file(plan),
        dataset=str(content.dataset),
        rows=content.rows,
        first=first,
        last=last,
        problems=tuple(content.notes),
    )


def _with_counts(result: FileReport, receipt: Receipt) -> FileReport:
    return replace(
        result,
        new=receipt.new,
        changed=receipt.changed,
        duplicate=receipt.duplicate,
        quarantined=receipt.quarantined,
    )


def _provenance(plan: FilePlan, content: FileDataset) -> Provenance:
    note = f"preset {plan.preset.name}"
    if content.depth is not None:
        note = f"{note}, {depth_note(content.depth)}"
    if content.unproven is not None:
        note = f"{note}, {CHECKED}"
    return Provenance("file", plan.entry.name, id_space=content.space, clock=content.clock, note=note)


def _state(refused: int, files: int) -> RunState:
    if not refused:
        return RunState.SUCCEEDED
    if refused < files:
        return RunState.INCOMPLETE
    return RunState.FAILED


def _files(paths: Iterable[Path], lake_folder: Path | None) -> Iterator[Path]:
    """Yield the files themselves, and those in folders; hidden files, checksums of others and the lake are passed over."""
    lake = lake_folder and lake_folder.resolve()
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for inner in sorted(path.rglob("*")):
            if not inner.is_file() or inner.suffix == ".CHECKSUM":
                continue
            if any(part.startswith(".") for part in inner.relative_to(path).parts):
                continue
            if not (lake and inner.resolve().is_relative_to(lake)):
                yield inner
