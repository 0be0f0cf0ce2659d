"""Retention: from when on rows are kept, and what the lake says of the time before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ticklake.core.coverage import Coverage, Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import KINDS
from ticklake.core.span import Span, subtract
from ticklake.core.time import DAY
from ticklake.errors import BadInput

__all__ = ["days_by_kind", "expired", "kept_from", "last_uncut", "midnight"]


def days_by_kind(
    keep: Mapping[str, int], days: int | None = None, kinds: Iterable[str] | None = None
) -> Mapping[str, int]:
    """Return how many days each kind is kept for: *days* if given, else what *keep* says; only of *kinds* if given.

    Raises
    ------
    BadInput
        If a kind is unknown, less than a day would be kept, or nothing is said of any of the kinds.
    """
    if kinds is not None and not isinstance(kinds, Iterable):
        raise BadInput(f"kinds={kinds!r} are none: pass a list like ['trades', 'book']")
    wanted = list(KINDS if kinds is None else kinds)
    unknown = next((kind for kind in (*wanted, *keep) if kind not in KINDS), None)
    if unknown is not None:
        raise BadInput(f"{unknown!r} is not a kind: use one of {', '.join(KINDS)}")
    if days is not None and (isinstance(days, bool) or not isinstance(days, int)):
        raise BadInput(f"{days!r} is not a number of days: say a whole number of at least 1")
    said = keep if days is None else dict.fromkeys(wanted, days)
    chosen = {kind: said[kind] for kind in wanted if kind in said}
    if not chosen:
        raise BadInput("nothing says how long data is kept: say --days, or set keep (docs/how-to/retention.md)")
    if min(chosen.values()) < 1:
        raise BadInput(f"{min(chosen.values())} days cannot be kept: say at least 1; delete removes everything")
    return chosen


def midnight(now: int, days: int) -> int:
    """Return the midnight UTC *days* before the day of *now*."""
    return (now // DAY - days) * DAY


def kept_from(dataset: Dataset, days: int, now: int) -> int:
    """Return the time of the oldest row that stays: a midnight UTC, or the open time of the bar that holds it."""
    start = midnight(now, days)
    return dataset.timeframe.floor(start, dataset.anchor) if dataset.timeframe else start


def last_uncut(segments: Iterable[Span], before: int) -> int:
    """Return the latest time up to *before* that lies inside none of *segments*: what is older leaves without a cut."""
    for segment in sorted(segments, key=lambda span: span.end, reverse=True):
        if segment.start < before < segment.end:
            before = segment.start
    return before


def expired(coverage: Coverage, first: int | None, before: int, reason: str) -> tuple[Span | None, tuple[Covered, ...]]:
    """Return the known time before *before*, and what is to be said of it: ``expired``, save what was ``unlisted``.

    *first* is the time of the oldest row, if there is one. Time that was never looked at between what was counts as
    removed too: it would be fetched for nothing.
    """
    starts = [piece.span.start for piece in coverage.pieces] + ([] if first is None else [first])
    if not starts or min(starts) >= before:
        return None, ()
    known = Span(min(starts), before)
    unlisted = [piece for piece in coverage.within(known).pieces if piece.found is Found.UNLISTED]
    rest = subtract(known, [piece.span for piece in unlisted])
    return known, (*unlisted, *(Covered(span, Found.EXPIRED, reason) for span in rest))
