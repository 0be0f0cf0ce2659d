"""Events of several datasets in the forms that a caller may ask for, made of frames of them."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, Literal, NamedTuple

import polars as pl

from ticklake.core.dataset import Dataset

__all__ = ["BYS", "FORMS", "ROWS", "By", "Event", "Form", "as_arrow", "as_events", "as_lists", "in_batches"]

By = Literal["exchange", "received"]
Form = Literal["objects", "arrow", "frames"]
BYS: tuple[By, ...] = ("exchange", "received")
FORMS: tuple[Form, ...] = ("objects", "arrow", "frames")
ROWS = 65_536
"""Events of a batch, unless something else is asked for."""
_OBJECTS = 4096
"""Rows that are objects of Python at a time."""
_DATASET = "dataset"


class Event(NamedTuple):
    """A row of a dataset, at the time at which it is delivered in nanoseconds. Times in ``row`` are nanoseconds, too."""

    dataset: Dataset
    time: int
    row: Any


def in_batches(frames: Iterable[pl.DataFrame], rows: int) -> Iterator[pl.DataFrame]:
    """Yield the rows of *frames* in frames of exactly so many, the last one of fewer."""
    held: list[pl.DataFrame] = []
    height = 0
    for frame in frames:
        start = 0
        while start < frame.height:
            part = frame.slice(start, rows - height)
            held.append(part)
            start += part.height
            height += part.height
            if height == rows:
                yield pl.concat(held, rechunk=True)
                held, height = [], 0
    if held:
        yield pl.concat(held, rechunk=True)


def as_arrow(frames: Iterable[pl.DataFrame]) -> Iterator[Any]:
    """Yield frames as record batches of Arrow."""
    for frame in frames:
        # Newer levels write string views, which many readers of Arrow do not know.
        yield from frame.to_arrow(compat_level=pl.CompatLevel.oldest()).combine_chunks().to_batches()


def as_events(
    frames: Iterable[pl.DataFrame], datasets: Sequence[Dataset], columns: Sequence[str] | None
) -> Iterator[Event]:
    """Yield the rows of frames as objects, one after the other."""
    for frame in frames:
        yield from _events_of(frame, datasets, columns)


def as_lists(
    frames: Iterable[pl.DataFrame], datasets: Sequence[Dataset], columns: Sequence[str] | None
) -> Iterator[list[Event]]:
    """Yield the rows of frames as objects, in a list for each frame."""
    for frame in frames:
        yield list(_events_of(frame, datasets, columns))


def _events_of(frame: pl.DataFrame, datasets: Sequence[Dataset], columns: Sequence[str] | None) -> Iterator[Event]:
    # Once for each dataset, not for each row.
    makers = [_row_maker(dataset, frame.columns, columns) for dataset in datasets]
    # Not through the checks of a named tuple, which take a third of the time.
    new = tuple.__new__
    for start in range(0, frame.height, _OBJECTS):
        part = frame.slice(start, _OBJECTS).with_columns(
            pl.col(_DATASET).to_physical(), pl.selectors.temporal().to_physical()
        )
        # Column by column, which takes half of the time of the rows.
        for values in zip(*map(pl.Series.to_list, part), strict=True):
            number = values[0]
            row, pick = makers[number]
            yield new(Event, (datasets[number], values[1], new(row, pick(values))))


def _row_maker(
    dataset: Dataset, names: Sequence[str], columns: Sequence[str] | None
) -> tuple[type[tuple[Any, ...]], Callable[[Sequence[Any]], Iterable[Any]]]:
    """Return the class of the rows of *dataset*, and what picks their values of those of *names*."""
    own = dataset.spec.names
    if columns is not None:
        own = [name for name in own if name in columns]
    places = list(map(names.index, own))
    row = _row_class(dataset.kind, tuple(own))
    if len(places) < 2:
        return row, lambda values: [values[place] for place in places]
    return row, itemgetter(*places)


@lru_cache(maxsize=1024)
def _row_class(kind: str, names: tuple[str, ...]) -> type[tuple[Any, ...]]:
    """Return the class of the rows of a kind with these columns: the same each time."""
    return namedtuple(kind, names, rename=True)
