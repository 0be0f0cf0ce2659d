"""Windows: stretches of time that hold about as many rows each, so that reading one after the other needs little memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import polars as pl

from ticklake.core.span import Span

__all__ = ["Stretch", "clusters", "windows"]


@dataclass(frozen=True, slots=True)
class Stretch:
    """A span and how many rows it has, which count as spread over it evenly."""

    span: Span
    rows: int


def windows(stretches: Iterable[Stretch], rows: int) -> Iterator[Span]:
    """Cut the time from the first stretch to the last into spans of about that many *rows*, in order and without a gap.

    A nanosecond is never cut. No window begins or ends where nothing is.

    Examples
    --------
    >>> [tuple(window) for window in windows([Stretch(Span(0, 100), 10), Stretch(Span(50, 100), 10)], 5)]
    [(0, 50), (50, 66), (66, 82), (82, 98), (98, 100)]
    """
    start: int | None = None
    gathered = 0.0
    end = 0
    for time, following, density in _densities(stretches):
        if start is None:
            start = time
        end = following
        while density and gathered + density * (following - time) > rows:
            cut = time + max(int((rows - gathered) / density), int(time == start))
            if cut >= following:
                break
            yield Span(start, cut)
            start = time = cut
            gathered = 0.0
        gathered += density * (following - time)
    if start is not None:
        yield Span(start, end)


def clusters(instants: pl.Series, stretches: Iterable[Stretch], most: int, apart: int) -> Iterator[pl.Series]:
    """Put instants together that are best read together: yield the numbers of the rows of *instants*, which has no nulls.

    Between two clusters there are more than *apart* rows that nobody needs, or one would else reach over more than *most* rows.

    Examples
    --------
    >>> instants = pl.Series([90, 5, 1, 99])
    >>> [list(cluster) for cluster in clusters(instants, [Stretch(Span(0, 100), 1000)], 500, 200)]
    [[2, 1], [0, 3]]
    """
    order = instants.arg_sort()
    before = _rows_before(instants.gather(order), stretches)
    is_apart = (before.diff() > apart).fill_null(False)
    cluster = is_apart.cum_sum() + (before // most).cast(pl.Int64)
    rows = pl.DataFrame({"cluster": cluster, "row": order})
    for part in rows.partition_by("cluster", maintain_order=True):
        yield part["row"]


def _rows_before(times: pl.Series, stretches: Iterable[Stretch]) -> pl.Series:
    """Return about how many rows the stretches have before each time."""
    starts: list[int] = []
    counts: list[float] = []
    densities: list[float] = []
    count = 0.0
    end = 0
    for time, following, density in _densities(stretches):
        starts.append(time)
        counts.append(count)
        densities.append(density)
        count += density * (following - time)
        end = following
    table = pl.DataFrame({"start": [*starts, end], "count": [*counts, count], "density": [*densities, 0.0]})
    places = table["start"].search_sorted(times, side="right").cast(pl.Int64) - 1
    rows = table.select(pl.all().gather(places.clip(0))).with_columns(time=times)
    passed = (pl.col("time") - pl.col("start")).clip(0)
    return rows.select(pl.col("count") + pl.col("density") * passed)["count"]


def _densities(stretches: Iterable[Stretch]) -> Iterator[tuple[int, int, float]]:
    """Yield times that follow one another, from the first stretch to the last, and how many rows a nanosecond there are between."""
    changes: dict[int, tuple[float, int]] = {}
    for stretch in stretches:
        density = stretch.rows / stretch.span.length
        for time, sign in zip(stretch.span, (1, -1), strict=True):
            more, count = changes.get(time, (0.0, 0))
            changes[time] = (more + sign * density, count + sign)
    density = 0.0
    open_stretches = 0
    for time, following in pairwise(sorted(changes)):
        more, count = changes[time]
        open_stretches += count
        density = max(density + more, 0.0)
        # Sums of floats leave something over where nothing is.
        if not open_stretches:
            density = 0.0
        yield time, following, density
