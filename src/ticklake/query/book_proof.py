"""Whether a book is known to be whole: what its exchange proves, and where the lake knows that changes are missing."""

from __future__ import annotations

from collections.abc import Iterable

from ticklake.core.book import BookProof, Stretch
from ticklake.core.coverage import Coverage, Found
from ticklake.core.dataset import Dataset
from ticklake.core.provenance import CHECKED, Provenance
from ticklake.core.span import Span, subtract
from ticklake.core.time import MINUTE
from ticklake.sources.wire.proofs import proof_of

__all__ = ["is_stale", "judge", "stretches_of"]

_MISSING = (Found.LOST, Found.UNAVAILABLE, Found.NOT_FETCHED)
_STALE_AFTER = MINUTE
"""A book whose newest change is older than that, at an instant that nothing covers, may have changed since."""


def stretches_of(coverage: Coverage, since: int, until: int) -> tuple[Stretch, ...]:
    """Return where changes of a book are missing after the snapshot at *since*, up to *until*."""
    found: list[Stretch] = []
    inside = Span(since, max(until, since) + 1)
    for piece in coverage.pieces_with(*_MISSING):
        # A gap ends with the whole book that came after it: one that ends at the snapshot is over.
        common = piece.span.intersect(inside)
        if common is not None and common.end > since + 1:
            found.append(Stretch(common, piece.reason, piece.found))
    return tuple(found)


def judge(
    dataset: Dataset, origins: Iterable[Provenance], coverage: Coverage, since: int, until: int, gaps: Iterable[Stretch]
) -> BookProof:
    """Return whether a book is proven that stands on the snapshot at *since* and has the changes up to *until*."""
    if list(gaps):
        return "unproven"
    origins = list(origins)
    if proof_of(dataset.exchange, dataset.kind) == "none":
        return "not offered"
    if not all(_was_checked(dataset, origin) for origin in origins):
        return "not offered"
    if any(origin.source == "live" for origin in origins) and until > since:
        covered = coverage.spans(Found.DATA)
        if list(subtract(Span(since, until), covered)):
            return "unproven"
    return "proven"


def _was_checked(dataset: Dataset, origin: Provenance) -> bool:
    """Whether the numbers and checksums of the messages were compared when the rows came."""
    if origin.source == "live":
        # On use: it loads what opens sockets.
        from ticklake.sources.live.feeds import proof_of_stream

        return proof_of_stream(dataset.exchange, dataset.kind) != "none"
    return origin.source == "file" and origin.note.endswith(CHECKED)


def is_stale(coverage: Coverage, newest: int, at: int) -> bool:
    """Whether nothing is known of the time between the newest change and *at*."""
    if at - newest <= _STALE_AFTER:
        return False
    covered = coverage.spans(Found.DATA)
    return any(part.length > _STALE_AFTER for part in subtract(Span(newest, at), covered))
