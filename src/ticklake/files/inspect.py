"""Examine a file as a whole before any of it is saved: its datasets, its rows, and what is odd about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import polars as pl

from ticklake.core.batch import canonical
from ticklake.core.checks import check
from ticklake.core.coverage import Covered, Found, shown_spans
from ticklake.core.dataset import Dataset
from ticklake.core.display import pairs_text
from ticklake.core.kinds import PROVENANCE
from ticklake.core.span import Span, common, normalise, outside
from ticklake.core.time import format_time
from ticklake.errors import InvalidData, InvalidName
from ticklake.files.filenames import PartialDataset, label_of, span_in
from ticklake.files.formats import Format
from ticklake.files.message_counts import Tally
from ticklake.files.oddities import Order, notes_on, off_grid, order_of
from ticklake.files.readers import FilePlan, ImportOptions, Part, parts_of

__all__ = ["MOST_IN_MEMORY", "FileDataset", "InvalidRows", "cure", "examine", "pieces_of"]

MOST_IN_MEMORY = 4_000_000
"""A dataset of at most this many rows stays in memory between the check and the save, and is saved as one commit."""
_MOST_OFF_GRID = 0.5
"""Bars are mislabelled if a larger share of them does not begin where bars of their timeframe begin."""
_FEW = 5
_UNPROVEN = "a change of the book is missing: it is not proven until it came whole again"


@dataclass
class InvalidRows:
    """Rows that cannot be true: how many by reason, and where the first few of them stand in the file."""

    counts: Counter[str] = field(default_factory=Counter)
    places: dict[str, list[int]] = field(default_factory=dict)
    unit: str = "lines"

    def add(self, part: Part, dataset: Dataset, now: int) -> None:
        """Check the next rows."""
        rows = canonical(part.frame, dataset.spec)
        places = part.places
        if places is None:
            places = pl.Series([0]).new_from_index(0, rows.height)
        # The column that will say where a row came from is empty here: it carries the places through the check.
        with_places = rows.with_columns(places.cast(pl.Int32, strict=False).alias(PROVENANCE))
        invalid = check(with_places, dataset, now).bad
        reasons = invalid.group_by("reason", maintain_order=True)
        for reason, count, places_of_part in reasons.agg(pl.len(), pl.col(PROVENANCE).head(_FEW)).iter_rows():
            self.counts[reason] += count
            first = self.places.setdefault(reason, [])
            # A place may be unknown (0), or too large for the column (null).
            first += list(filter(None, places_of_part))[: _FEW - len(first)]

    def __str__(self) -> str:
        return "; ".join(f"{reason} {count:,}{self._where(reason)}" for reason, count in self.counts.most_common())

    def _where(self, reason: str) -> str:
        first = self.places[reason]
        if not first:
            return ""
        listed = ", ".join(f"{place:,}" for place in first)
        if self.counts[reason] > len(first):
            listed += ", ..."
        return f" ({self.unit} {listed})"


@dataclass
class FileDataset:
    """The rows of one dataset in a file.

    ``frames`` are its rows in the order they came, dropped once there are more than :data:`MOST_IN_MEMORY`. Bars that begin at
    ``final`` or later are not over: they are left out, and counted as ``forming``;
    ``off_grid`` counts bars that do not begin where bars of the timeframe begin. ``answers`` are the spans of recorded answers:
    each shows what there is between its first row and its last, and nothing of what lies between two answers. ``natives`` are the
    exchange's names of its market; ``unproven`` is when books lack a change, ``None`` if nothing shows whether they do; ``depth`` is how many
    levels a side they keep, if the exchange does not say which fall out.
    """

    dataset: Dataset
    space: str = ""
    rows: int = 0
    order: Order = Order()  # noqa: RUF009
    frames: list[pl.DataFrame] | None = field(default_factory=list)
    first: int | None = None
    last: int | None = None
    notes: list[str] = field(default_factory=list)
    final: int | None = None
    forming: int = 0
    off_grid: float = 0
    invalid: InvalidRows = field(default_factory=InvalidRows)
    answers: list[Span] | None = None
    natives: set[str] = field(default_factory=set)
    unproven: list[Span] | None = None
    depth: int | None = None
    _previous: int | None = None

    def add(self, part: Part, now: int) -> None:
        """Add the next rows, and check them.

        Raises
        ------
        InvalidData
            If their ids are of another numbering than those before.
        """
        if part.space != self.space:
            raise InvalidData(
                f"its trades have {self.space!r} and {part.space!r} ids: two numberings cannot be one dataset"
            )
        # Forming bars are neither checked nor counted as rows: their values are not final.
        is_final = self._is_final(part.frame)
        frame, places = part.frame.filter(is_final), part.places
        if places is not None:
            places = places.filter(is_final)
        self.forming += part.frame.height - frame.height
        self.natives.add(part.native)
        self.invalid.add(replace(part, frame=frame, places=places), self.dataset, now)
        self.rows += frame.height
        self._add_times(frame["ts"].cast(pl.Int64))
        if part.answers is not None:
            self._add_answers(frame["ts"].cast(pl.Int64), part.answers.filter(is_final))
        if self.frames is not None:
            self.frames.append(frame)
            if self.rows > MOST_IN_MEMORY:
                self.frames = None

    def _add_times(self, ts: pl.Series) -> None:
        self.order += order_of(ts)
        if self.dataset.timeframe is not None:
            self.off_grid += off_grid(ts, self.dataset.timeframe, self.dataset.anchor) * ts.len()
        times = ts.drop_nulls()
        if not times.len():
            return
        # The step from one chunk to the next counts as well.
        if self._previous is not None:
            self.order += Order(int(times[0] > self._previous), int(times[0] < self._previous))
        self._previous = int(times[-1])
        low, high = int(times.min()), int(times.max())  # type: ignore[arg-type]
        if self.first is None or low < self.first:
            self.first = low
        if self.last is None or high > self.last:
            self.last = high

    def _add_answers(self, ts: pl.Series, answers: pl.Series) -> None:
        times = pl.DataFrame({"answer": answers, "ts": ts}).drop_nulls()
        edges = times.group_by("answer").agg(first=pl.col("ts").min(), last=pl.col("ts").max())
        spans = [Span(first, self.dataset.row_end(last)) for _, first, last in edges.iter_rows()]
        self.answers = normalise([*(self.answers or ()), *spans])

    def without_forming(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the rows without bars that are not over."""
        if self.final is None:
            return frame
        return frame.filter(self._is_final(frame))

    def _is_final(self, frame: pl.DataFrame) -> pl.Series:
        if self.final is None:
            return pl.Series([True]).new_from_index(0, frame.height)
        # A row without a time is kept for the check to count.
        return (frame["ts"].cast(pl.Int64) < self.final).fill_null(True)

    def leave_out_from(self, final: int) -> None:
        """Leave out the bars that begin at *final* or later."""
        self.final = final
        whole = pl.concat(self.frames or [])
        kept = self.without_forming(whole)
        self.forming += whole.height - kept.height
        self.frames, self.rows, self.last = [kept], kept.height, None
        if kept.height:
            self.last = int(kept["ts"].cast(pl.Int64).max())  # type: ignore[arg-type]

    def sorted_rows(self) -> pl.DataFrame:
        """Return the rows oldest first; rows that came newest first are reversed, so that ties keep their true order."""
        rows = pl.concat(self.frames or [])
        if self.order.newest_first:
            return rows.reverse()
        return rows

    @property
    def is_without_ids(self) -> bool:
        """Whether rows could have ids and none has, as far as they are in memory."""
        if not self.frames or "id" not in self.dataset.spec.names:
            return False
        return all("id" not in frame.columns or frame["id"].null_count() == frame.height for frame in self.frames)

    @property
    def clock(self) -> str:
        """Whose clock ``ts`` is: ours, where it is nothing but the time of receipt."""
        with_receipt = [frame for frame in self.frames or [] if "received_at" in frame.columns]
        if with_receipt and all(frame["received_at"].eq_missing(frame["ts"]).all() for frame in with_receipt):
            return "local"
        return "exchange"

    def covered(self, now: int, named: Span | None) -> tuple[Covered, ...]:
        """Return the time that the file covers: from its first row to its last, or *named*, the time in its name.

        It does not cover stretches that its rows do not show: see :func:`~ticklake.core.coverage.shown_spans`.
        """
        if self.first is None or self.last is None:
            return ()
        span = Span(self.first, self.dataset.row_end(self.last))
        if self.answers is not None:
            return tuple(Covered.each_of(common(self.answers, [span])))
        # A name that lies about the rows, or speaks of days to come, is no evidence.
        if not (named and named.end <= now and named.start <= span.start and span.end <= named.end):
            named = span
        if not self.frames:
            return self._proven([named])
        times = pl.concat(frame["ts"].cast(pl.Int64) for frame in self.frames).drop_nulls().unique().sort()
        bar = 0
        if self.dataset.timeframe is not None:
            bar = self.dataset.timeframe.length
        return self._proven(shown_spans(times, span, named, bar))

    def _proven(self, shown: Sequence[Span]) -> tuple[Covered, ...]:
        """Return what the file covers, and where changes of books are missing in it: the rows there are true, and not all."""
        lost = common(list(shown), self.unproven or [])
        return (*Covered.each_of(outside(shown, lost)), *Covered.each_of(lost, Found.LOST, _UNPROVEN))

    def prove(self, tally: Tally) -> None:
        """Take over when books lack a change, by the messages in the file."""
        if self.dataset.kind != "book":
            return
        depths = set(map(tally.depths.get, self.natives))
        if len(depths) == 1:
            (self.depth,) = depths
        unproven: list[Span] = []
        for native in self.natives:
            proof = tally.proofs_of_book(native)
            if proof is None:
                # Of a book that nobody looked at, nothing is told.
                return
            unproven += proof.finish()
        self.unproven = normalise(unproven)


def cure(missing: Sequence[str]) -> str:
    """Say which parts of a dataset are not known, and how to specify them."""
    if missing == ["exchange"]:
        return "the exchange is not known: say it with exchange='okx' (--exchange okx)"
    verb = "are"
    if len(missing) == 1:
        verb = "is"
    return (
        f"the {' and the '.join(missing)} {verb} not known: "
        "name the dataset with dataset='exchange:kind[:timeframe]:symbol' (--dataset), one call a dataset"
    )


@dataclass
class _Examination:
    """The rows of a file as they are read: by dataset, and how many are left out by a description of what they are, and why in doubt."""

    plan: FilePlan
    options: ImportOptions
    datasets: dict[Dataset, FileDataset] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    doubts: dict[str, str] = field(default_factory=dict)
    symbols: set[str] = field(default_factory=set)

    def add(self, part: Part) -> None:
        """Add the next rows to their dataset."""
        dataset = _dataset_of(part, self.plan, self.options)
        if dataset is None:
            description = _description(part, self.plan, self.options)
            self.left_out[description] += part.frame.height
            if part.doubt:
                self.doubts[description] = part.doubt
            return
        if part.symbol:
            self.symbols.add(part.symbol)
        if dataset in self.datasets and _is_other_book(part, self.datasets[dataset]):
            self.left_out[f"{dataset} numbered otherwise"] += part.frame.height
            return
        if dataset not in self.datasets:
            self.datasets[dataset] = self._empty(dataset, part.space)
        self.datasets[dataset].add(part, self.options.now)

    def _empty(self, dataset: Dataset, space: str) -> FileDataset:
        unit, final = "rows", None
        if self.plan.form in {Format.CSV, Format.NDJSON}:
            unit = "lines"
        if dataset.timeframe is not None:
            final = dataset.timeframe.unfinished_from(self.options.now, dataset.anchor)
        return FileDataset(dataset, space, final=final, invalid=InvalidRows(unit=unit))


def examine(
    plan: FilePlan,
    options: ImportOptions,
    watch: Callable[[int], None] = lambda _rows: None,
    tally: Tally | None = None,
) -> list[FileDataset]:
    """Read a whole file, and return what it holds of each dataset; nothing is saved.

    *watch* is called with the number of rows of each chunk that was read; *tally* counts recorded messages by channel.

    Raises
    ------
    InvalidData
        If any of it is damaged or cannot be what it should be: then none of it may be saved.
    """
    tally = tally or Tally()
    examination = _Examination(plan, options)
    for part in parts_of(plan, options.now, tally=tally):
        watch(part.frame.height)
        examination.add(part)
    datasets = list(examination.datasets.values())
    if not datasets:
        if examination.doubts:
            raise InvalidName("; ".join(dict.fromkeys(examination.doubts.values())))
        raise InvalidData(_no_rows(examination.left_out, options, tally))
    _refuse_mislabelled(datasets, examination.symbols, options)
    _refuse_untrue(datasets, plan)
    for content in datasets:
        content.prove(tally)
        if content.frames is not None:
            rows = pl.concat(content.frames)
            content.notes += notes_on(rows, content.dataset, content.order, span_in(label_of(plan.entry)))
            _leave_out_forming(content, plan, options.now)
        content.notes += _notes(content, examination)
    datasets[0].notes += _notes_on_file(examination)
    return datasets


def pieces_of(plan: FilePlan, content: FileDataset, options: ImportOptions) -> Iterator[pl.DataFrame]:
    """Yield the rows of a dataset oldest first, to be saved one after the other; a single piece unless they are very many.

    Pieces are cut between instants: identical prints are told apart within a piece.
    """
    if content.frames is not None:
        yield content.sorted_rows()
        return
    frames: list[pl.DataFrame] = []
    for part in parts_of(plan, options.now):
        if _dataset_of(part, plan, options) != content.dataset or _is_other_book(part, content):
            continue
        frames.append(content.without_forming(part.frame))
        if sum(frame.height for frame in frames) > MOST_IN_MEMORY:
            rows = pl.concat(frames)
            last_instant = int(rows["ts"].search_sorted(rows["ts"][-1], "left"))
            yield rows.head(last_instant)
            frames = [rows.slice(last_instant)]
    if frames:
        yield pl.concat(frames)


def _is_other_book(part: Part, content: FileDataset) -> bool:
    """Whether rows are of a second book of the same market, like the best levels beside the changes: its numbers are others."""
    return part.kind == "book" and part.space != content.space


def _dataset_of(part: Part, plan: FilePlan, options: ImportOptions) -> Dataset | None:
    """Return the dataset that rows belong to; ``None`` if it is not the one the caller named, or is not known."""
    dataset = options.dataset
    if dataset is None:
        return _partial_dataset(part, plan).dataset()
    if plan.preset.shape:
        is_same = part.is_of(dataset)
    else:
        # Tables may be mislabelled: the caller's word for the symbol stands against the file's, and is noted.
        is_same = part.kind == dataset.kind and part.timeframe in ("", str(dataset.timeframe))
    if not is_same:
        return None
    return dataset


def _partial_dataset(part: Part, plan: FilePlan) -> PartialDataset:
    return plan.from_path.replaced(part.kind, part.symbol, part.timeframe, part.exchange)


def _description(part: Part, plan: FilePlan, options: ImportOptions) -> str:
    """Say of what rows are that are left out."""
    if options.dataset is None:
        return str(_partial_dataset(part, plan))
    if part.sure:
        return f"{part.kind} of {part.symbol}"
    return part.kind


def _no_rows(left_out: Counter[str], options: ImportOptions, tally: Tally) -> str:
    """Say why no row of a file belongs to a dataset."""
    if left_out:
        return _none_of_dataset(left_out, options, tally)
    if tally.channels:
        return _no_known_messages(tally)
    return "it holds no rows of any kind that is kept: no trades, quotes, price levels, bars or funding"


def _none_of_dataset(left_out: Counter[str], options: ImportOptions, tally: Tally) -> str:
    """Say which rows there are, and how to name their dataset."""
    shown = dict(islice(left_out.items(), _FEW))
    contents = ", ".join(f"{rows:,} of {description}" for description, rows in shown.items())
    other_rows = left_out.total() - sum(shown.values())
    if other_rows:
        contents += f", {other_rows:,} of {len(left_out) - len(shown)} others"
    sentence = f"it holds rows: {contents}"
    if options.dataset is not None:
        sentence = f"it holds no rows of {options.dataset}, but {contents}"
    advice = "name the dataset they are of with dataset= (--dataset)"
    if options.dataset is None and all(text.startswith("?:") and "/" in text for text in left_out):
        advice = cure(["exchange"])
    elif options.dataset is None and not any("/" in text for text in left_out):
        advice += ", or their market with exchange= and symbol= (--exchange, --symbol)"
    return "; ".join([f"{sentence}: {advice}", *tally.notes()])


def _no_known_messages(tally: Tally) -> str:
    """Say why nothing of a recording comes in."""
    empty = control = 0
    for channel in tally.channels.values():
        empty += channel.without_rows
        control += channel.control
    reasons = list(tally.notes())
    if empty:
        reasons.append(f"{empty:,} have no row to keep, like bars that are not over")
    if control:
        reasons.append(f"{control:,} have no market data")
    return f"no {tally.unit} in it has a row that can be kept: {'; '.join(reasons)}"


def _refuse_mislabelled(datasets: Iterable[FileDataset], symbols: Collection[str], options: ImportOptions) -> None:
    """Refuse rows that are not of the dataset they are said to be of, or cannot be brought in order."""
    if options.dataset is not None and len(symbols) > 1:
        raise InvalidData(
            f"it holds rows of several symbols ({', '.join(sorted(symbols))[:200]}): "
            f"they cannot all be {options.dataset}"
        )
    for content in datasets:
        timeframe, order = content.dataset.timeframe, content.order
        if content.off_grid > _MOST_OFF_GRID * content.rows:
            raise InvalidData(f"its rows are not {timeframe} bars: most do not begin where such bars begin")
        # What does not fit in memory is saved in the order of the file.
        if content.frames is None and (order.newest_first or order.odd):
            raise InvalidData(
                f"its {content.rows:,} rows are not in order of time, and too many to sort: divide the file"
            )


def _refuse_untrue(datasets: Iterable[FileDataset], plan: FilePlan) -> None:
    """Refuse a file of which no row can be true: most likely its columns were taken for others."""
    rows = 0
    invalid: list[str] = []
    for content in datasets:
        if content.invalid.counts.total() < content.rows:
            return
        if content.rows:
            rows += content.rows
            invalid.append(str(content.invalid))
    if not rows:
        return
    reasons = "; ".join(invalid[:_FEW])
    # If no row is possible, the mapping is most likely wrong, so the error shows it.
    if plan.mapping.columns:
        reasons += f", read as {pairs_text(plan.mapping.columns)}: say which column is which (--columns)"
    raise InvalidData(f"none of its {rows:,} rows can be true: {reasons}")


def _notes(content: FileDataset, examination: _Examination) -> Iterator[str]:
    """Yield what is odd about the rows of a dataset."""
    dataset, plan, options = content.dataset, examination.plan, examination.options
    if content.forming and content.final is not None:
        yield f"{content.forming:,} bars from {format_time(content.final)} on left out: not over yet"
    if options.markets.exchange not in ("", dataset.exchange):
        yield f"it says that it is of {dataset.exchange}, not of {options.markets.exchange}"
    if content.invalid.counts:
        yield f"{content.invalid.counts.total():,} rows that cannot be true: {content.invalid}"
    yield from _contradictions(plan, options, examination.symbols)


def _notes_on_file(examination: _Examination) -> Iterator[str]:
    """Yield what of the file is left out: it is said once, with the first dataset of the file."""
    if examination.plan.preset.left_out:
        yield f"left out: {examination.plan.preset.left_out}"
    reason = "they are of another dataset"
    if examination.options.dataset is None:
        reason = "name their dataset to import them"
    for description, count in examination.left_out.items():
        yield f"{count:,} rows of {description} left out: {examination.doubts.get(description, reason)}"


def _contradictions(plan: FilePlan, options: ImportOptions, symbols: Collection[str]) -> Iterator[str]:
    """Say where names or columns say something else than the dataset that the caller named."""
    if options.dataset is None:
        return
    for symbol in symbols:
        ours = str(options.dataset.symbol)
        if "/" in symbol and symbol.partition(":")[0] != ours.partition(":")[0]:
            yield f"its rows say {symbol}, taken as {ours}"
    from_path = plan.from_path.dataset()
    if from_path is not None and from_path != options.dataset:
        yield f"its name says {from_path}, taken as {options.dataset}"


def _leave_out_forming(content: FileDataset, plan: FilePlan, now: int) -> None:
    """Leave out the last bar as well, if the file was written before it was over."""
    timeframe = content.dataset.timeframe
    if timeframe is None or content.last is None:
        return
    # Nothing else says when the file was written.
    written = plan.entry.path.stat().st_mtime_ns
    final = timeframe.unfinished_from(now, content.dataset.anchor, last=content.last, written=written)
    if final != content.final:
        content.leave_out_from(final)
