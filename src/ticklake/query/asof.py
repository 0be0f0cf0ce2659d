"""Rows of datasets as they were known at the instants of a frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from ticklake.core.asof import asof_rows, joined, take
from ticklake.core.batch import times_of
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.knowledge import KNOWN_AT, LIVE_WITHIN, NO_LAG, Knowledge, Lags, happened_at, known_at
from ticklake.core.segment import Segment
from ticklake.core.span import ALL_TIME, Span
from ticklake.core.time import DAY, HOUR, MINUTE
from ticklake.core.timeline import known_versions
from ticklake.core.windows import Stretch, clusters
from ticklake.engine.engine import Engine
from ticklake.engine.read import load
from ticklake.engine.store import Store
from ticklake.errors import BadInput

__all__ = [
    "Known",
    "asof_datasets",
    "clusters_of",
    "datasets_of_rows",
    "known_before",
    "known_rows",
    "load_known",
    "load_versions",
    "pinned",
    "stretches_of",
]

_HAPPENED = "_happened"
_KNOWN = "_known"
_INSTANT = "_instant"
_APART = 1 << 17
"""So many rows are rather left out than read for nothing: a row group."""
_MOST_ROWS = 1 << 22
"""Rows that are read at once, about."""
_ROWS_EACH = 16
"""So many rows for each instant are read no faster in parts."""
_REACHES = (MINUTE, HOUR, DAY, 30 * DAY, 1000 * DAY, ALL_TIME.length)
"""How far before the first instant rows are looked for, in turn: mostly the newest are the ones."""


@dataclass(frozen=True, slots=True)
class Known:
    """Which rows count at an instant: from when on they are known, how old they may be, and whether the very instant counts."""

    knowledge: Knowledge = "default"
    lags: Lags = NO_LAG
    max_age: int | None = None
    allow_exact: bool = True


def pinned(engine: Engine) -> Engine:
    """Return an engine that reads one version, the newest one: several reads then answer of the same rows."""
    if engine.catalog.pinned is not None:
        return engine
    return engine.at(engine.catalog.version(), engine.now())


def asof_datasets(
    engine: Engine,
    left: pl.DataFrame,
    instants: pl.Series,
    datasets: Sequence[Dataset],
    columns: Sequence[str],
    known: Known,
    suffix: str = "_right",
) -> pl.DataFrame:
    """Return *left* with the newest row of its dataset that was known at each instant: one row for each, in its order.

    Of several datasets each row gets one of its own ``symbol`` (and ``exchange``, if *left* has that column).

    Raises
    ------
    BadInput
        If the datasets are of different kinds, or *left* does not say which of them a row belongs to.
    """
    instants = times_of(instants)
    found = datasets[0].spec.empty().select(columns)
    rows = pl.Series("row", [None], dtype=pl.UInt32).new_from_index(0, left.height)
    for dataset, places in datasets_of_rows(left, datasets):
        of_dataset, matches = known_rows(engine, dataset, instants[places], columns, known)
        rows = rows.scatter(places, matches + found.height)
        found.extend(of_dataset)
    return joined(left, take(found, rows), suffix)


def known_rows(
    engine: Engine, dataset: Dataset, instants: pl.Series, columns: Sequence[str], known: Known
) -> tuple[pl.DataFrame, pl.Series]:
    """Return rows of *dataset*, and for each instant the number of the newest one of them that was known then; null for none."""
    nothing = pl.Series("row", [None], dtype=pl.UInt32).new_from_index(0, instants.len())
    found = _Found(dataset.spec.empty().select(columns), nothing)
    for places in clusters_of(engine, dataset, instants):
        for span in _spans(engine, dataset, instants[places], known):
            wanted = pl.DataFrame({_INSTANT: instants[places]})
            there = load_known(engine, dataset, span, columns, known)
            matches = asof_rows(
                wanted,
                there,
                on=_INSTANT,
                right_on=_KNOWN,
                newest=_HAPPENED,
                max_age=known.max_age,
                allow_exact=known.allow_exact,
            )
            found.add(places, there, matches)
            # The others are looked for in the next span, which lies before.
            places = places.filter(matches.is_null())
            if not places.len():
                break
    return found.frame, found.rows


@dataclass
class _Found:
    """The rows that some instant gets, and for each instant the number of its row among them."""

    frame: pl.DataFrame
    rows: pl.Series

    def add(self, places: pl.Series, there: pl.DataFrame, matches: pl.Series) -> None:
        """Add the rows of *there* that the instants at *places* match; no others stay in memory."""
        used = matches.drop_nulls().unique().sort()
        numbers = used.search_sorted(matches.fill_null(0)) + self.frame.height
        self.rows = self.rows.scatter(places, numbers.set(matches.is_null(), None))
        self.frame = pl.concat([self.frame, there[used].select(self.frame.columns)])


def clusters_of(engine: Engine, dataset: Dataset, instants: pl.Series) -> Iterator[pl.Series]:
    """Yield the numbers of the instants that are best read together, so that a long time takes little memory; no nulls."""
    times = pl.DataFrame({"time": instants.to_physical()}).with_row_index("row").drop_nulls()
    first, last = times["time"].min(), times["time"].max()
    if not isinstance(first, int) or not isinstance(last, int):
        return
    stretches: list[Stretch] = []
    if last > first:
        stretches = stretches_of(engine.store, dataset, Span(first, last))
    # Where few rows lie between the first and the last, or not many more than there are instants, nothing is gained.
    few = max(_APART, min(_MOST_ROWS, _ROWS_EACH * times.height))
    if sum(stretch.rows for stretch in stretches) < few:
        yield times["row"]
        return
    for cluster in clusters(times["time"], stretches, _MOST_ROWS, _APART):
        yield times["row"].gather(cluster)


def stretches_of(store: Store, dataset: Dataset, span: Span) -> list[Stretch]:
    """Return where a dataset has rows inside *span*, and about how many."""
    parts: list[Stretch] = []
    for segment in store.view(dataset, span, data=False).segments:
        for piece in _pieces(segment):
            inside = piece.span.intersect(span)
            if inside is not None:
                parts.append(Stretch(inside, max(piece.rows * inside.length // piece.span.length, 1)))
    return parts


def _pieces(segment: Segment) -> Iterator[Stretch]:
    """Yield the blocks of a segment, or all of it where they are not known."""
    has_blocks = False
    for block in segment.blocks:
        if block.rows:
            has_blocks = True
            yield Stretch(Span(block.min_ts, block.max_ts + 1), block.rows)
    if not has_blocks:
        yield Stretch(segment.span, segment.rows)


def load_known(engine: Engine, dataset: Dataset, span: Span, columns: Sequence[str], known: Known) -> pl.DataFrame:
    """Return the rows of a dataset with *columns*, and when each of them happened and was known.

    A value that was changed later is there, too, before the row: until then it was known.
    """
    if known.knowledge != "event" and engine.catalog.has_history(dataset)[0]:
        rows, since = load_versions(engine.store, dataset, span, known.knowledge, known.lags)
    else:
        rows = engine.load(dataset, span, columns=with_times(dataset, columns))
        since = known_at(rows, dataset, known.knowledge, known.lags)
    return rows.with_columns(happened_at(rows, dataset).cast(TIME).alias(_HAPPENED), since.cast(TIME).alias(_KNOWN))


def load_versions(
    store: Store, dataset: Dataset, span: Span, knowledge: Knowledge, lags: Lags
) -> tuple[pl.DataFrame, pl.Series]:
    """Return the rows of a dataset, right before each of them its earlier values, and from when on each is known."""
    # With all columns, as the log of revisions tells rows apart by their keys.
    rows = load(store, dataset, span)
    revisions = store.catalog.revisions(dataset, span)
    keying = store.view(dataset, span, data=False).keying
    return known_versions(rows, dataset, knowledge, lags, keying, revisions)


def with_times(dataset: Dataset, columns: Sequence[str]) -> list[str]:
    """Return *columns* and those that say when a row happened and was known."""
    names = list(columns)
    for name in ("ts", "received_at", "close_time", KNOWN_AT):
        if name in dataset.spec.names and name not in names:
            names.append(name)
    return names


def known_before(
    engine: Engine, dataset: Dataset, span: Span, columns: Sequence[str], at: int, known: Known
) -> pl.DataFrame:
    """Return the rows of a dataset inside *span* that were known at an instant."""
    rows = load_known(engine, dataset, span, columns, known)
    return rows.filter(rows[_KNOWN].to_physical() <= at).select(columns)


def datasets_of_rows(frame: pl.DataFrame, datasets: Sequence[Dataset]) -> Iterator[tuple[Dataset, pl.Series]]:
    """Yield each dataset with the numbers of the rows of *frame* that belong to it, by ``symbol`` (and ``exchange``).

    Raises
    ------
    BadInput
        If the datasets are of different kinds, or the frame does not say which of them a row belongs to.
    """
    kinds = {(tuple(dataset.spec.names), dataset.timeframe) for dataset in datasets}
    if len(kinds) > 1:
        raise BadInput(f"{datasets[0]} and {datasets[-1]} have different rows: join one kind and timeframe at a time")
    if len(datasets) == 1:
        yield datasets[0], pl.int_range(frame.height, dtype=pl.UInt32, eager=True)
        return
    by = ["symbol"]
    if "exchange" in frame.columns:
        by.append("exchange")
    if "symbol" not in frame.columns:
        raise BadInput(
            f"the frame has no column 'symbol', which says which of {len(datasets)} datasets a row belongs to"
        )
    keys = [(str(dataset.symbol), dataset.exchange)[: len(by)] for dataset in datasets]
    if len(set(keys)) < len(keys):
        raise BadInput("two of the datasets have the same symbol: add a column 'exchange', or name fewer datasets")
    rows = frame.select(pl.col(by).cast(pl.String)).with_row_index("_row").partition_by(by, as_dict=True)
    for dataset, key in zip(datasets, keys, strict=True):
        if key in rows:
            yield dataset, rows[key]["_row"]


def _spans(engine: Engine, dataset: Dataset, instants: pl.Series, known: Known) -> Iterator[Span]:
    """Yield the spans of rows that may count at one of *instants*, the newest first; none is yielded twice.

    What happened later counts before what happened earlier: an instant that found a row in one span need not look into the next.
    """
    times = instants.to_physical()
    first, last = times.min(), times.max()
    if not isinstance(first, int) or not isinstance(last, int):
        return
    first -= _length(dataset)
    end = _end_of_known(dataset, last, known)
    earliest = _earliest(dataset, first, known)
    for place, reach in enumerate(_REACHES):
        # Mostly the first span is enough: where the dataset begins is not looked up before.
        if place == 1:
            earliest = max(earliest, _first_time(engine, dataset, end))
        start = max(first - reach, earliest)
        if start < end:
            yield Span(start, end)
            end = start
        if start == earliest:
            return


def _length(dataset: Dataset) -> int:
    """Return how long after its ``ts`` a row happens at most, as far as its timeframe says it."""
    if dataset.timeframe is None:
        return 0
    return dataset.timeframe.length


def _end_of_known(dataset: Dataset, last: int, known: Known) -> int:
    """Return the end of the times that a row may have that is known at *last*."""
    end = last + 1
    # In these a row may be known before it happened, as clocks differ.
    if known.knowledge == "received" or KNOWN_AT in dataset.spec.names:
        end += LIVE_WITHIN
    return min(end, ALL_TIME.end)


def _earliest(dataset: Dataset, first: int, known: Known) -> int:
    """Return the earliest time that a row may have that is young enough at *first*."""
    # Bars of any length may have begun at any time.
    has_length = dataset.timeframe is not None or "close_time" not in dataset.spec.names
    if known.max_age is None or not has_length:
        return ALL_TIME.start
    return max(ALL_TIME.start, first - known.max_age)


def _first_time(engine: Engine, dataset: Dataset, end: int) -> int:
    """Return the time of the first row before *end*; *end* if there is none."""
    if end <= ALL_TIME.start:
        return end
    segments = engine.store.view(dataset, Span(ALL_TIME.start, end), data=False).segments
    return min((segment.min_ts for segment in segments), default=end)
