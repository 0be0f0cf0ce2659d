"""How a batch of rows joins the rows that a dataset had before. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.kinds import Kind
from ticklake.core.sequence import has_numbers
from ticklake.core.span import Span

__all__ = ["Arrival", "Joins", "arrival_of", "joins"]


class Joins(StrEnum):
    """How a batch joins the rows before it.

    ``first``: there were none. ``touches``: it goes on without a hole, by the calendar of bars or by trade ids.
    ``jumps``: something is missing in between. ``follows``: it is later, and nothing tells whether something is missing.
    ``overlaps``: some of its times were reached before. ``earlier``: it lies wholly before the first row.
    """

    FIRST = "first"
    TOUCHES = "touches"
    JUMPS = "jumps"
    FOLLOWS = "follows"
    OVERLAPS = "overlaps"
    EARLIER = "earlier"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A batch as it arrived: the times of its first and last row (inclusive), their ids if it has any, and counts.

    ``received`` is the sum of ``new``, ``changed``, ``duplicate`` and of those that were refused.
    """

    start: int
    end: int
    first_id: str | None
    last_id: str | None
    received: int
    new: int
    changed: int
    duplicate: int


def arrival_of(
    batch: pl.DataFrame, kind: Kind, received: int, new: int, changed: int, duplicate: int
) -> Arrival | None:
    """Describe a sorted batch; ``None`` if it has no rows."""
    if not batch.height:
        return None
    ts = batch["ts"].cast(pl.Int64)
    first_id = last_id = None
    for name in ("id", "seq"):
        if name in kind.schema:
            first_id, last_id = _text(batch[name][0]), _text(batch[name][-1])
            break
    return Arrival(ts[0], ts[-1], first_id, last_id, received, new, changed, duplicate)


def _text(value: object) -> str | None:
    if value is None:
        return None
    return str(value)


def joins(
    dataset: Dataset, id_space: str, known: tuple[int, int] | None, last_id: str | None, batch: Arrival
) -> tuple[Joins, int | None]:
    """Return how *batch* joins, and how many records are missing in between, where that can be counted.

    Parameters
    ----------
    known
        Times of the first and the last row that were there before.
    last_id
        The id of the last one.
    """
    if known is None:
        return Joins.FIRST, None
    first, last = known
    if batch.end < first:
        return Joins.EARLIER, None
    if batch.start <= last:
        return Joins.OVERLAPS, None
    missing = _between(dataset, id_space, last, last_id, batch)
    if missing is None:
        return Joins.FOLLOWS, None
    if missing:
        return Joins.JUMPS, missing
    return Joins.TOUCHES, 0


def _between(dataset: Dataset, id_space: str, last: int, last_id: str | None, batch: Arrival) -> int | None:
    """Count the records missing between the last row and the batch: bars by the calendar, trades by their ids."""
    frame = dataset.timeframe
    if frame is not None:
        due = frame.next(last, dataset.anchor)
        if due >= batch.start:
            return 0
        return frame.count_in(Span(due, batch.start), dataset.anchor)
    if dataset.kind != "trades" or not has_numbers(dataset, id_space):
        return None
    before, after = last_id or "", batch.first_id or ""
    if not before.isdecimal() or not after.isdecimal():
        return None
    step = int(after) - int(before)
    if step <= 0:
        # Ids may begin anew, after a relisting for example: such a step counts nothing.
        return None
    return step - 1
