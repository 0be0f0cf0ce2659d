"""Examining a file as a whole before any of it is saved: its datasets, its rows, and what is odd about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from ticklake.core.batch import canonical
from ticklake.core.checks import check
from ticklake.core.coverage import Covered, shown_spans
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import PROVENANCE
from ticklake.core.span import Span
from ticklake.core.time import format_time
from ticklake.errors import InvalidData
from ticklake.files.filenames import Named, label_of, span_in
from ticklake.files.formats import Format
from ticklake.files.message_counts import Tally
from ticklake.files.oddities import Order, notes_on, off_grid, order_of
from ticklake.files.readers import Asked, FilePlan, Part, parts_of

__all__ = ["HELD", "Found", "Refusals", "cure", "examine", "pieces_of"]

HELD = 4_000_000
"""A dataset of at most so many rows is held in memory between the check and the save, and saved as one commit."""
_MOST_OFF_GRID = 0.5
_FEW = 5


@dataclass
class Refusals:
    """Rows that cannot be true: how many by reason, and where the first few of them stand in the file."""

    counts: Counter[str] = field(default_factory=Counter)
    places: dict[str, list[int]] = field(default_factory=dict)
    unit: str = "lines"

    def take(self, part: Part, dataset: Dataset, now: int) -> None:
        """Check the next rows."""
        rows = canonical(part.frame, dataset.spec)
        places = part.places if part.places is not None else pl.Series([0]).new_from_index(0, rows.height)
        # The column that will say where a row came from is empty here: it carries the places through the check.
        bad = check(rows.with_columns(places.cast(pl.Int32, strict=False).alias(PROVENANCE)), dataset, now).bad
        found = bad.group_by("reason", maintain_order=True).agg(pl.len(), pl.col(PROVENANCE).head(_FEW).alias("first"))
        for reason, count, first in found.iter_rows():
            self.counts[reason] += count
            known = self.places.setdefault(reason, [])
            known += [place for place in first if place][: _FEW - len(known)]

    def __str__(self) -> str:
        return "; ".join(f"{reason} {count:,}{self._where(reason)}" for reason, count in self.counts.most_common())

    def _where(self, reason: str) -> str:
        first = self.places[reason]
        more = ", ..." if self.counts[reason] > len(first) else ""
        return f" ({self.unit} {', '.join(f'{place:,}' for place in first)}{more})" if first else ""


@dataclass
class Found:
    """What a file holds of one dataset.

    ``frames`` are its rows in the order they came, dropped once there are more than :data:`HELD`. Bars that begin at
    ``final`` or later are not over: they are left out, and counted as ``forming``;
    ``away`` are those that begin off their grid.
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
    away: float = 0
    refusals: Refusals = field(default_factory=Refusals)
    _end: int | None = None

    def take(self, part: Part, now: int) -> None:
        """Take in the next rows, and check them.

        Raises
        ------
        InvalidData
            If their ids are of another numbering than those before.
        """
        if part.space != self.space:
            raise InvalidData(
                f"its trades have {self.space!r} and {part.space!r} ids: two numberings cannot be one dataset"
            )
        kept = self._is_finished(part.frame)
        frame = part.frame.filter(kept)
        self.forming += part.frame.height - frame.height
        places = None if part.places is None else part.places.filter(kept)
        self.refusals.take(replace(part, frame=frame, places=places), self.dataset, now)
        ts = frame["ts"].cast(pl.Int64)
        self.rows += frame.height
        self.order += order_of(ts)
        if self.dataset.timeframe is not None:
            self.away += off_grid(ts, self.dataset.timeframe, self.dataset.anchor) * frame.height
        low, high = ts.min(), ts.max()
        if low is not None and high is not None:
            self._step(int(ts.drop_nulls()[0]))
            self._end = int(ts.drop_nulls()[-1])
            self.first = int(low) if self.first is None else min(self.first, int(low))  # type: ignore[arg-type]
            self.last = int(high) if self.last is None else max(self.last, int(high))  # type: ignore[arg-type]
        if self.frames is not None:
            self.frames.append(frame)
            if self.rows > HELD:
                self.frames = None

    def finished(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the rows without bars that are not over."""
        return frame if self.final is None else frame.filter(self._is_finished(frame))

    def _is_finished(self, frame: pl.DataFrame) -> pl.Series:
        if self.final is None:
            return pl.Series([True]).new_from_index(0, frame.height)
        return (frame["ts"].cast(pl.Int64) < self.final).fill_null(True)

    def sorted_rows(self) -> pl.DataFrame:
        """Return the rows oldest first; what came newest first is turned round, so that ties keep their true order."""
        whole = pl.concat(self.frames or [])
        return whole.reverse() if self.order.newest_first else whole

    @property
    def is_without_ids(self) -> bool:
        """Whether rows could have ids and none has, as far as they are held."""
        held = self.frames or []
        could = bool(held) and "id" in self.dataset.spec.names
        return could and all("id" not in frame.columns or frame["id"].null_count() == frame.height for frame in held)

    @property
    def clock(self) -> str:
        """Whose clock ``ts`` is: ours, where it is nothing but the time of receipt."""
        heard = [frame for frame in self.frames or [] if "received_at" in frame.columns]
        local = bool(heard) and all(frame["received_at"].eq_missing(frame["ts"]).all() for frame in heard)
        return "local" if local else "exchange"

    def covered(self, now: int, named: Span | None) -> tuple[Covered, ...]:
        """Return what the file is the truth about: from its first row to its last, or the time in its name.

        What its rows do not show it is no witness of: see :func:`~ticklake.core.coverage.shown_spans`.
        """
        if self.first is None or self.last is None:
            return ()
        frame = self.dataset.timeframe
        span = Span(self.first, self.dataset.row_end(self.last))
        if not (named and named.end <= now and named.start <= span.start and span.end <= named.end):
            named = span
        times = pl.concat([part["ts"].cast(pl.Int64) for part in self.frames or []] or [pl.Series([], dtype=pl.Int64)])
        if not times.len():
            return (Covered(named),)
        times = times.drop_nulls().unique().sort()
        return tuple(Covered(piece) for piece in shown_spans(times, span, named, frame.length if frame else 0))

    def _step(self, ts: int) -> None:
        if self._end is not None:
            self.order += Order(int(ts > self._end), int(ts < self._end))


def cure(lacking: Sequence[str]) -> str:
    """Say what of a dataset is not known, and how to say it."""
    if list(lacking) == ["exchange"]:
        return "the exchange is not known: say it with exchange='okx' (--exchange okx)"
    unknown = f"the {' and the '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} not known"
    return (
        f"{unknown}: name the dataset with dataset='exchange:kind[:timeframe]:symbol' (--dataset), one call a dataset"
    )


def examine(
    plan: FilePlan, asked: Asked, tell: Callable[[int], None] = lambda _rows: None, tally: Tally | None = None
) -> list[Found]:
    """Read a whole file, and return what it holds of each dataset; nothing is saved.

    *tell* is called with the number of rows that were read, now and then; *tally* counts recorded messages by channel.

    Raises
    ------
    InvalidData
        If any of it is damaged or cannot be what it should be: then none of it may be saved.
    """
    found: dict[Dataset, Found] = {}
    left: Counter[str] = Counter()
    symbols: set[str] = set()
    tally = tally or Tally()
    for part in parts_of(plan, asked.now, tally=tally):
        tell(part.frame.height)
        dataset = _dataset_of(part, plan, asked)
        if dataset is None:
            left[_called(part, plan, asked)] += part.frame.height
            continue
        symbols |= {part.symbol} - {""}
        if dataset not in found:
            frame = dataset.timeframe
            final = frame.unfinished_from(asked.now, dataset.anchor) if frame else None
            unit = "lines" if plan.form in {Format.CSV, Format.NDJSON} else "rows"
            found[dataset] = Found(dataset, part.space, final=final, refusals=Refusals(unit=unit))
        found[dataset].take(part, asked.now)
    _refuse_strange(found, left, symbols, asked, tally)
    _refuse_untrue(found.values(), plan)
    for one in found.values():
        _finish(one, plan, asked, left, symbols)
    return list(found.values())


def pieces_of(plan: FilePlan, one: Found, asked: Asked) -> Iterator[pl.DataFrame]:
    """Yield the rows of a dataset oldest first, to be saved one after the other; a single piece unless they are very many.

    Pieces are cut between instants: identical prints are told apart within a piece.
    """
    if one.frames is not None:
        yield one.sorted_rows()
        return
    held: list[pl.DataFrame] = []
    for part in parts_of(plan, asked.now):
        if _dataset_of(part, plan, asked) != one.dataset:
            continue
        held.append(one.finished(part.frame))
        if sum(frame.height for frame in held) > HELD:
            whole = pl.concat(held)
            cut = int(whole["ts"].search_sorted(whole["ts"][-1], "left"))
            yield whole.head(cut)
            held = [whole.slice(cut)]
    if held:
        yield pl.concat(held)


def _dataset_of(part: Part, plan: FilePlan, asked: Asked) -> Dataset | None:
    """Return the dataset that rows belong to; ``None`` if it is not the one that was asked for, or cannot be told."""
    if asked.dataset is not None:
        same = part.kind == asked.dataset.kind and part.timeframe in ("", str(asked.dataset.timeframe))
        taken = part.is_of(asked.dataset) if plan.preset.shape else same
        return asked.dataset if taken else None
    return _told(part, plan).dataset()


def _told(part: Part, plan: FilePlan) -> Named:
    return plan.named.but(part.kind, part.symbol, part.timeframe, part.exchange)


def _called(part: Part, plan: FilePlan, asked: Asked) -> str:
    """Say of what rows are that are left out."""
    if asked.dataset is None:
        return str(_told(part, plan))
    return f"{part.kind} of {part.symbol}" if part.sure else part.kind


def _refuse_strange(
    found: dict[Dataset, Found], left: Counter[str], symbols: set[str], asked: Asked, tally: Tally
) -> None:
    if not found and left:
        held = ", ".join(f"{count:,} of {what}" for what, count in list(left.items())[:_FEW])
        others = sum(list(left.values())[_FEW:])
        held += f", {others:,} of {len(left) - _FEW} others" if others else ""
        wanted = f"no rows of {asked.dataset}, but {held}" if asked.dataset else f"rows: {held}"
        nowhere = asked.dataset is None and all(what.startswith("?:") and "/" in what for what in left)
        lacking = cure(["exchange"]) if nowhere else "name the dataset they are of with dataset= (--dataset)"
        raise InvalidData("; ".join([f"it holds {wanted}: {lacking}", *tally.notes()]))
    if not found and tally.channels:
        raise InvalidData(_nothing_known(tally))
    if not found:
        raise InvalidData("it holds no rows of any kind that is kept: no trades, quotes, price levels, bars or funding")
    if asked.dataset is not None and len(symbols) > 1:
        raise InvalidData(
            f"it holds rows of several symbols ({', '.join(sorted(symbols))[:200]}): they cannot all be {asked.dataset}"
        )
    for one in found.values():
        if one.away > _MOST_OFF_GRID * one.rows:
            raise InvalidData(f"its rows are no {one.dataset.timeframe} bars: most do not begin where such bars begin")
        if one.frames is None and (one.order.newest_first or one.order.odd):
            raise InvalidData(f"its {one.rows:,} rows are not in order of time, and too many to sort: divide the file")


def _nothing_known(tally: Tally) -> str:
    """Say why nothing of a recording comes in."""
    empty = sum(entry.without_rows for entry in tally.channels.values())
    control = sum(entry.control for entry in tally.channels.values())
    parts = [*tally.notes()]
    parts += [f"{empty:,} have no row to keep, like bars that are not over"] if empty else []
    parts += [f"{control:,} have no market data"] if control else []
    return f"no {tally.unit} in it has a row that can be kept: {'; '.join(parts)}"


def _refuse_untrue(found: Iterable[Found], plan: FilePlan) -> None:
    """Refuse a file of which no row can be true: most likely its columns were taken for others."""
    read = [one for one in found if one.rows]
    if not read or any(one.refusals.counts.total() < one.rows for one in read):
        return
    rows = sum(one.rows for one in read)
    reasons = "; ".join(str(one.refusals) for one in read[:5])
    columns = ", ".join(f"{ours}={theirs}" for ours, theirs in plan.mapping.columns.items())
    read_as = f", read as {columns}: say which column is which (--columns)" if columns else ""
    raise InvalidData(f"none of its {rows:,} rows can be true: {reasons}{read_as}")


def _finish(one: Found, plan: FilePlan, asked: Asked, left: Counter[str], symbols: set[str]) -> None:
    """Refuse what is mislabelled, leave out what is not final, and say what is odd."""
    dataset, label = one.dataset, label_of(plan.entry)
    if one.frames is not None:
        whole = pl.concat(one.frames)
        one.notes += notes_on(whole, dataset, one.order, span_in(label))
        _leave_out_forming(one, whole, plan, asked.now)
    if one.forming and one.final is not None:
        one.notes.append(f"{one.forming:,} bars from {format_time(one.final)} on left out: not over yet")
    if asked.markets.exchange not in ("", dataset.exchange):
        one.notes.append(f"it says that it is of {dataset.exchange}, not of {asked.markets.exchange}")
    if one.refusals.counts:
        one.notes.append(f"{one.refusals.counts.total():,} rows that cannot be true: {one.refusals}")
    if plan.preset.left_out:
        one.notes.append(f"left out: {plan.preset.left_out}")
    one.notes += _told_otherwise(plan, asked, symbols)
    reason = "name their dataset to import them" if asked.dataset is None else "they are of another dataset"
    one.notes += [f"{count:,} rows of {what} left out: {reason}" for what, count in left.items()]


def _told_otherwise(plan: FilePlan, asked: Asked, symbols: set[str]) -> Iterator[str]:
    """Say where names or columns say something else than the dataset that was asked for."""
    if asked.dataset is None:
        return
    symbol, wanted = next(iter(symbols), ""), asked.dataset.symbol
    if "/" in symbol and symbol.partition(":")[0] != str(wanted).partition(":")[0]:
        yield f"its rows say {symbol}, taken as {wanted}"
    told = plan.named.dataset()
    if told is not None and told != asked.dataset:
        yield f"its name says {told}, taken as {asked.dataset}"


def _leave_out_forming(one: Found, whole: pl.DataFrame, plan: FilePlan, now: int) -> None:
    """Leave out the last bar as well, if the file was written before it was over."""
    frame, anchor = one.dataset.timeframe, one.dataset.anchor
    if frame is None or one.last is None:
        return
    written = plan.entry.path.stat().st_mtime_ns
    final = frame.unfinished_from(now, anchor, last=one.last, written=written)
    if final == one.final:
        return
    one.final = final
    kept = one.finished(whole)
    one.forming += whole.height - kept.height
    one.frames, one.rows = [kept], kept.height
    one.last = int(kept["ts"].cast(pl.Int64).max()) if kept.height else None  # type: ignore[arg-type]
