"""Importing files: each is planned, checked as a whole, then saved; or refused with the reason, and nothing of it saved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ticklake.audit.sequence import cover_seams
from ticklake.catalog.runs import Runs
from ticklake.core.coverage import Covered
from ticklake.core.dataset import Dataset
from ticklake.core.file_reports import FileReport, FileState
from ticklake.core.progress import Progress, Watch
from ticklake.core.provenance import Provenance
from ticklake.core.results import Receipt
from ticklake.core.runs import Run, RunState
from ticklake.core.time import format_time
from ticklake.engine.engine import Engine
from ticklake.errors import BadInput, InvalidData, TicklakeError
from ticklake.files.decompress import entries_of, refuse_other_checksum
from ticklake.files.filenames import label_of, span_in
from ticklake.files.inspect import Found, cure, examine, pieces_of
from ticklake.files.message_counts import Tally
from ticklake.files.presets import preset_named
from ticklake.files.readers import Asked, FilePlan, plan_file

__all__ = ["Importer"]


@dataclass
class Importer:
    """Brings files into a lake.

    ``asked`` is what the caller said of them; with ``dry_run`` nothing is saved, and no run is recorded.
    ``own`` is the lake's folder, which is passed over where it lies in one that is imported.
    """

    engine: Engine
    runs: Runs
    asked: Asked
    dry_run: bool = False
    watch: Watch = lambda _progress: None
    own: Path | None = None

    def run(self, paths: Sequence[Path]) -> list[FileReport]:
        """Import every file, those in folders too, and report what became of each.

        Raises
        ------
        BadInput
            If there is no file, or no preset of that name, or files do not say of which dataset they are: then nothing is saved.
        """
        if self.asked.preset:
            preset_named(self.asked.preset, "")
        planned = list(self._plan(paths))
        if not planned:
            raise BadInput(f"there is no file in {', '.join(str(path) for path in paths)}")
        if not self.dry_run:
            self._refuse_nameless([plan for plan in planned if isinstance(plan, FilePlan)])
        progress = Progress.of_steps(len(planned))
        if self.dry_run:
            return list(self._all(planned, progress, None))
        return self._recorded(planned, progress, paths)

    def _recorded(
        self, planned: Sequence[FilePlan | FileReport], progress: Progress, paths: Sequence[Path]
    ) -> list[FileReport]:
        run = self.runs.create("import", str(paths[0]), {"paths": [str(path) for path in paths]})
        try:
            done = list(self._all(planned, progress, run))
        except KeyboardInterrupt:
            outcome = "interrupted; run the same command again to go on where it stopped"
            self.runs.finish(run.id, RunState.CANCELLED, progress.to_dict(), outcome)
            raise
        except TicklakeError as error:
            self.runs.finish(run.id, RunState.FAILED, progress.to_dict(), str(error))
            raise
        for name in sorted({one.dataset for one in done if one.dataset and not one.refused}):
            cover_seams(self.engine, Dataset.parse(name))
        refused = sum(one.refused for one in done)
        state = _state(refused, len(done))
        new = sum(one.new for one in done)
        self.runs.finish(run.id, state, progress.to_dict(), f"{new:,} new rows; {refused} of {len(done)} files refused")
        return done

    def _plan(self, paths: Sequence[Path]) -> Iterator[FilePlan | FileReport]:
        for path in _files(paths, self.own):
            try:
                refuse_other_checksum(path)
                entries = entries_of(path)
            except InvalidData as error:
                yield FileReport(str(path), FileState.REFUSED, problems=(str(error),))
                continue
            for entry in entries:
                try:
                    yield plan_file(entry, self.asked)
                except BadInput as error:
                    yield FileReport(str(entry), FileState.REFUSED, problems=(str(error),))

    def _refuse_nameless(self, plans: Sequence[FilePlan]) -> None:
        nameless = [plan for plan in plans if self.asked.dataset is None and plan.lacking]
        if nameless:
            first = nameless[0]
            raise BadInput(
                f"{len(nameless)} of {len(plans)} files do not say of which dataset they are, like {first.entry} "
                f"({first.preset.name}: {first.named}): {first.named.doubt or cure(first.lacking)}"
            )

    def _all(
        self, planned: Iterable[FilePlan | FileReport], progress: Progress, run: Run | None
    ) -> Iterator[FileReport]:
        for plan in planned:
            for one in [plan] if isinstance(plan, FileReport) else self._file(plan, progress):
                for name in ("new", "changed", "duplicate", "quarantined"):
                    progress.counts[name] += getattr(one, name)
                if run is not None:
                    self._log(run, one)
                yield one
            progress.step()
            if run is not None:
                self.runs.update_progress(run.id, progress.done, progress.to_dict())
            self.watch(progress)

    def _read(self, progress: Progress, rows: int) -> None:
        progress.counts["received"] += rows
        self.watch(progress)

    def _log(self, run: Run, one: FileReport) -> None:
        if one.problems:
            level = "warning" if one.refused else "info"
            self.runs.append_log(run.id, f"{one.path}: {'; '.join(one.problems)}", level)

    def _file(self, plan: FilePlan, progress: Progress) -> list[FileReport]:
        tally = Tally()
        done = self._examined(plan, progress, tally)
        if done and not done[0].refused:
            done[0] = replace(done[0], problems=(*done[0].problems, *tally.notes()))
        return [replace(one, channels=tally.to_dicts()) for one in done]

    def _examined(self, plan: FilePlan, progress: Progress, tally: Tally) -> list[FileReport]:
        try:
            found = examine(plan, self.asked, lambda rows: self._read(progress, rows), tally)
            self._refuse_without_ids(found)
        except (BadInput, OSError) as error:
            return [replace(_described(plan), problems=(str(error),), state=FileState.REFUSED)]
        if self.dry_run:
            return [_would_import(plan, one) for one in found]
        try:
            receipts = self._save(plan, found)
        except BadInput as error:
            return [
                replace(_told(plan, one), problems=(*one.notes, str(error)), state=FileState.REFUSED) for one in found
            ]
        return [_with_counts(_told(plan, one), receipt) for one, receipt in zip(found, receipts, strict=True)]

    def _refuse_without_ids(self, found: Sequence[Found]) -> None:
        """Refuse trades without ids for datasets that tell theirs apart by id: none of them would come in."""
        for one in found:
            heads = self.engine.catalog.heads([one.dataset])[1] if one.is_without_ids else {}
            if any(head.seq and head.keying == "id" for head in heads.values()):
                raise InvalidData(
                    f"its {one.rows:,} trades have no ids, by which {one.dataset} tells trades apart: "
                    "say which column has them (--columns id=...)"
                )

    def _save(self, plan: FilePlan, found: Sequence[Found]) -> list[Receipt]:
        """Save all rows of a file with one commit; only of more rows than memory should hold it takes several."""
        if any(one.frames is None for one in found):
            return [self._save_in_pieces(plan, one) for one in found]
        return self.engine.append_each(
            (one.dataset, one.sorted_rows(), _origin(plan, one), self._covered(plan, one)) for one in found
        )

    def _save_in_pieces(self, plan: FilePlan, one: Found) -> Receipt:
        """Save rows with several commits, of which the last has the coverage."""
        origin, total, held = _origin(plan, one), Receipt(), None
        for piece in pieces_of(plan, one, self.asked):
            if held is not None:
                total += self.engine.append(one.dataset, held, origin)
            held = piece
        if held is None:
            return total
        return total + self.engine.append(one.dataset, held, origin, self._covered(plan, one))

    def _covered(self, plan: FilePlan, one: Found) -> tuple[Covered, ...]:
        named = span_in(label_of(plan.entry)) if plan.preset.whole else None
        return one.covered(self.asked.now, named)


def _told(plan: FilePlan, one: Found) -> FileReport:
    """Return what is known of a dataset in a file before it is saved."""
    return replace(
        _described(plan),
        dataset=str(one.dataset),
        rows=one.rows,
        first=None if one.first is None else format_time(one.first),
        last=None if one.last is None else format_time(one.last),
        problems=tuple(one.notes),
    )


def _would_import(plan: FilePlan, one: Found) -> FileReport:
    return replace(_told(plan, one), state=FileState.PLANNED, quarantined=one.refusals.counts.total())


def _with_counts(told: FileReport, receipt: Receipt) -> FileReport:
    return replace(
        told,
        new=receipt.new,
        changed=receipt.changed,
        duplicate=receipt.duplicate,
        quarantined=receipt.quarantined,
    )


def _origin(plan: FilePlan, one: Found) -> Provenance:
    note = f"preset {plan.preset.name}"
    return Provenance("file", plan.entry.name, id_space=one.space, clock=one.clock, note=note)


def _described(plan: FilePlan) -> FileReport:
    form = ".".join([str(plan.form), *reversed(plan.layers)])
    return FileReport(
        str(plan.entry), FileState.IMPORTED, format=form, preset=plan.preset.name, mapping=plan.mapping.to_dict()
    )


def _state(refused: int, files: int) -> RunState:
    if not refused:
        return RunState.SUCCEEDED
    return RunState.INCOMPLETE if refused < files else RunState.FAILED


def _files(paths: Iterable[Path], own: Path | None) -> Iterator[Path]:
    """Yield the files themselves, and those in folders; hidden ones, checksums of others and the lake are passed over."""
    lake = own and own.resolve()
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for inner in sorted(path.rglob("*")):
            parts = inner.relative_to(path).parts
            aside = inner.suffix == ".CHECKSUM" or any(part.startswith(".") for part in parts)
            if inner.is_file() and not aside and not (lake and inner.resolve().is_relative_to(lake)):
                yield inner
