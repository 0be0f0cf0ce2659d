"""Retention: from when on rows are kept, and what the lake says of the time before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ticklake.core.coverage import Coverage, Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import KINDS, kind_of
from ticklake.core.selection import picked
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
    chosen = list(KINDS)
    if kinds is not None:
        chosen = list(kinds)
    for kind in (*chosen, *keep):
        # Refuses a kind that does not exist.
        kind_of(kind)
    if days is not None and (isinstance(days, bool) or not isinstance(days, int)):
        raise BadInput(f"{days!r} is not a number of days: say a whole number of at least 1")
    if days is not None:
        keep = dict.fromkeys(chosen, days)
    kept_days = picked(keep, chosen)
    if not kept_days:
        raise BadInput("nothing says how long data is kept: say --days, or set keep (docs/how-to/retention.md)")
    fewest = min(kept_days.values())
    if fewest < 1:
        raise BadInput(f"{fewest} days cannot be kept: say at least 1; delete removes everything")
    return kept_days


def midnight(now: int, days: int) -> int:
    """Return the midnight UTC *days* before the day of *now*."""
    return (now // DAY - days) * DAY


def kept_from(dataset: Dataset, days: int, now: int) -> int:
    """Return the time of the oldest row that stays: a midnight UTC, or the open time of the bar that holds it."""
    start = midnight(now, days)
    if dataset.timeframe is None:
        return start
    return dataset.timeframe.floor(start, dataset.anchor)


def last_uncut(segments: Iterable[Span], before: int) -> int:
    """Return the latest time up to *before* that lies inside none of *segments*: what is older leaves without a cut."""
    # From the latest end down: the time before one segment may lie inside another, which begins earlier.
    for segment in sorted(segments, key=lambda span: span.end, reverse=True):
        if segment.start < before < segment.end:
            before = segment.start
    return before


def expired(coverage: Coverage, first: int | None, before: int, reason: str) -> tuple[Span | None, tuple[Covered, ...]]:
    """Return the known time before *before*, and what is to be said of it: ``expired``, save what was ``unlisted``.

    *first* is the time of the oldest row, if there is one. Time that was never looked at between what was counts as
    removed too: it would be fetched for nothing.
    """
    start = before
    if coverage.reach is not None:
        start = min(start, coverage.reach.start)
    if first is not None:
        start = min(start, first)
    if start == before:
        return None, ()
    known = Span(start, before)
    within = coverage.within(known)
    unlisted = within.pieces_with(Found.UNLISTED)
    rests = subtract(known, within.spans(Found.UNLISTED))
    return known, (*unlisted, *Covered.each_of(rests, Found.EXPIRED, reason))
