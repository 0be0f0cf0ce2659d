"""What a frame lacks, as far as that was known at its instant; and bars that repeat the last close where some are missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from operator import attrgetter

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.frame_data import Cut
from ticklake.core.frame_parts import ABSENT, Absent, MissingPart, PartData
from ticklake.core.gaps import GapReason
from ticklake.core.kinds import TIME
from ticklake.core.span import Span

__all__ = ["filled_bars", "missing_parts"]

_PRICES = ("open", "high", "low", "close")
_SUMS = ("volume", "quote_volume", "trades")


def missing_parts(cut: Cut) -> tuple[MissingPart, ...]:
    """Return what is missing in the window of a frame, by part and time."""
    found: list[MissingPart] = []
    for part in cut.data.parts.values():
        found += _missing_in(cut, part)
    for absent in chain(cut.data.absent, _absent_book(cut), _absent_indicators(cut), _absent_features(cut)):
        found.append(_absent_part(cut, absent))
    found += _missing_changes(cut)
    return tuple(sorted(found, key=attrgetter("part", "start")))


def _absent_part(cut: Cut, absent: Absent) -> MissingPart:
    return MissingPart(absent.part, absent.dataset, cut.since, cut.at, ABSENT, absent.why)


def _absent_book(cut: Cut) -> Iterator[Absent]:
    books = cut.data.books
    if books is None or not books.is_named or cut.book is None or not cut.book.reason:
        return
    why = cut.book.reason
    if cut.book.ts is None:
        # The reason of the book counts rows that were not known, and says nothing of a lake that has no books at all.
        why = f"no snapshot of {books.dataset} was known"
    yield Absent("book", str(books.dataset), why)


def _missing_changes(cut: Cut) -> Iterator[MissingPart]:
    """Yield where changes of the book are missing: since the snapshot that it stands on, which may be before the window."""
    if cut.book is None or cut.book.ts is None:
        return
    dataset = str(cut.data.request.dataset("book"))
    for span, reason, found in cut.book.stretches:
        yield MissingPart("book", dataset, span.start, span.end, found.value, reason)
    if "stale" in cut.book.flags:
        yield MissingPart(
            "book",
            dataset,
            cut.book.ts,
            cut.at,
            GapReason.NOT_FETCHED.value,
            "nothing is known since the newest change",
        )


def _absent_indicators(cut: Cut) -> Iterator[Absent]:
    """Yield the indicators that have no value: a model that needs them cannot use the frame."""
    request = cut.data.request
    absent = {output for output, value in cut.indicators.items() if value is None}
    lacking = [indicator for indicator in request.indicators if absent.intersection(indicator.outputs)]
    if not lacking:
        return
    from ticklake.core.indicators import why_missing

    dataset = str(request.dataset("ohlcv", request.timeframes[0]))
    for output, why in why_missing(cut.warm_up_bars(), lacking).items():
        yield Absent("indicators", dataset, f"{output}: {why}")


def _absent_features(cut: Cut) -> Iterator[Absent]:
    for name, value in cut.features.items():
        if value is None:
            yield Absent("features", name, f"no value for {cut.data.request.symbol} was known")


def _missing_in(cut: Cut, part: PartData) -> Iterator[MissingPart]:
    if part.before is not None and cut.at < part.facts.since:
        yield _absent_part(cut, part.before)
        return
    # Of bars that are made, the rows are missing of which they are made.
    source = part.base or part

    def opens(want: Span) -> pl.Series:
        # Bars that open in the span close after its begin, and not after its end.
        bars = source.rows.known_rows(want.start, min(want.end, cut.at), keeps_newest=False, known_at=cut.at)
        return bars["ts"]

    dataset = str(part.facts.dataset)
    for gap in part.facts.gaps(cut.since, cut.at, opens, _count_in_window(cut, part)):
        yield MissingPart(part.name, dataset, gap.span.start, gap.span.end, gap.reason.value, gap.detail)


def _count_in_window(cut: Cut, part: PartData) -> int | None:
    """Return how many rows of a part happened in the window; ``None`` if they have to be looked at."""
    first, last, plain = cut.places(part.name)
    if part.base is not None or not plain:
        return None
    count = last - first
    # The newest bar is there even if it is from before the window: it is none of those that are expected in it.
    if count and int(part.rows.happened[first]) <= cut.since:
        count -= 1
    return count


def filled_bars(bars: pl.DataFrame, dataset: Dataset, holes: Iterable[MissingPart]) -> pl.DataFrame:
    """Return bars with those of *holes* in between, each of which repeats the last close."""
    marked = bars.with_columns(filled=pl.lit(False))
    if not bars.height or dataset.timeframe is None:
        return marked
    # Before the first bar there is no close that could be repeated.
    first = int(bars["ts"].to_physical()[0])
    opens: list[int] = []
    for hole in holes:
        if hole.reason != ABSENT and hole.end > first:
            opens += dataset.timeframe.opens(Span(max(hole.start, first), hole.end), dataset.anchor).to_list()
    if not opens:
        return marked
    empty = pl.DataFrame({"ts": pl.Series(opens, dtype=pl.Int64).cast(TIME), "filled": [True] * len(opens)})
    whole = pl.concat([marked, empty], how="diagonal").sort("ts", maintain_order=True)
    close = pl.col("close").forward_fill()
    whole = whole.with_columns(pl.when("filled").then(close).otherwise(name).alias(name) for name in _PRICES)
    return whole.with_columns(pl.when("filled").then(0).otherwise(name).alias(name) for name in _SUMS)
