"""A source made of two: files of the exchange's dump site first, its calls for the rest."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from ticklake.core.archive_plan import (
    MISSES,
    ArchiveFile,
    ArchiveTerms,
    Period,
    Piece,
    finer,
    joined,
    plan_archives,
    without_days,
)
from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import SNAPSHOTS, Dataset
from ticklake.core.instrument import Instrument
from ticklake.core.provenance import Provenance
from ticklake.core.seam import overlap, seam_differences
from ticklake.core.span import Span, normalise, subtract
from ticklake.core.time import DAY, HOUR, MINUTE
from ticklake.errors import AccessDenied, Banned, InvalidData, SourceError, Unsupported
from ticklake.sources.archives.http import NotThere
from ticklake.sources.archives.source import ArchiveSource, Shelf
from ticklake.sources.base import Archives, Capability, Page, Source
from ticklake.sources.live.base import Feed, Subscription

__all__ = ["CombinedSource"]

FAILURES = 3
"""A run stops using the dump site after so many failed downloads in a row."""
PUBLISHED_AFTER = 3 * DAY
"""Data that only the archive can have becomes ``unavailable`` if its file is later than this."""
REACH = 6 * HOUR
"""Rows older than this before a seam are not fetched again for the comparison."""
TAIL = 200


@dataclass
class _Walk:
    """The state of one history: what has been yielded, and what the next page must say.

    ``tail`` are the last rows from the archive, to compare with rows of the calls that follow. ``overhang`` are rows
    that calls returned beyond the end of their stretch, to compare with the file that follows, and their span.
    """

    dataset: Dataset
    want: Span
    shelf: Shelf
    terms: ArchiveTerms
    notes: list[str] = field(default_factory=list)
    covered: list[Span] = field(default_factory=list)
    tail: pl.DataFrame | None = None
    overhang: tuple[Span, pl.DataFrame] | None = None

    def with_notes(self, page: Page) -> Page:
        """Return the page with the notes so far, and remember what it covers."""
        notes = (*self.notes, *page.notes)
        self.notes = []
        self.covered += page.spans
        return replace(page, notes=notes)

    def uncovered(self, span: Span) -> list[Span]:
        """Return the parts of *span* that are wanted and not covered yet."""
        inside = span.intersect(self.want)
        if inside is None:
            return []
        return list(subtract(inside, normalise(self.covered)))


class CombinedSource(Source):
    """An exchange's calls and its dump site. Where one follows the other, a few rows are fetched from both and compared."""

    def __init__(self, calls: Source, archive: ArchiveSource) -> None:
        self.exchange = calls.exchange
        self._calls = calls
        self._archive = archive
        self._failures = 0
        self._off_reason = ""

    async def now(self) -> int:
        """Return the exchange's time."""
        return await self._calls.now()

    async def instruments(self) -> list[Instrument]:
        """Return what the exchange lists."""
        return await self._calls.instruments()

    async def capability(self, dataset: Dataset, now: int) -> Capability:
        """Return what calls can fetch. Where there are archives, nothing limits how far back."""
        shelf = await self._shelf(dataset)
        capability = await self._capability(dataset, now, shelf)
        if shelf is None or capability.served_from is None:
            return capability
        return replace(capability, served_from=None, note="")

    async def listed_at(self, dataset: Dataset) -> int | None:
        """Return when the market was listed, if the calls say so."""
        return await self._calls.listed_at(dataset)

    async def first_served(self, dataset: Dataset) -> int | None:
        """Return about where the calls' history begins."""
        return await self._calls.first_served(dataset)

    def hint(self, dataset: Dataset, ts: int) -> None:
        """Pass the time of the newest stored row to the calls."""
        self._calls.hint(dataset, ts)

    async def feeds(self, subscriptions: Sequence[Subscription], *, capture: bool = False) -> list[Feed]:
        """Return the live feeds of the exchange: dump sites have none."""
        return await self._calls.feeds(subscriptions, capture=capture)

    async def recall(self, instrument: Instrument) -> None:
        """Let calls serve a market that is no longer listed."""
        await self._calls.recall(instrument)

    async def first_traded(self, dataset: Dataset, span: Span) -> int | None:
        """Return the first day inside *span* that has trades by the exchange's own bars."""
        return await self._calls.first_traded(dataset, span)

    async def archives(self, dataset: Dataset, spans: Sequence[Span], now: int) -> Archives:
        """Return which files :meth:`history` would download first."""
        shelf = await self._shelf(dataset)
        if shelf is None:
            return Archives((), tuple(spans))
        terms = await self._terms(dataset, shelf, now)
        addresses: list[str] = []
        left_to_calls: list[Span] = []
        for span in spans:
            for piece in plan_archives(span, terms):
                if piece.file is None:
                    left_to_calls.append(piece.span)
                else:
                    addresses.append(self._archive.url(shelf, piece.file))
        return Archives(tuple(addresses), tuple(left_to_calls))

    async def history(self, dataset: Dataset, span: Span) -> AsyncIterator[Page]:
        """Yield pages that cover *span*: from checked files where the site has them, from calls elsewhere."""
        shelf = await self._shelf(dataset)
        if shelf is None:
            async for page in self._calls.history(dataset, span):
                yield page
            return
        terms = await self._terms(dataset, shelf, await self.now())
        walk = _Walk(dataset, span, shelf, terms)
        async with aclosing(self._stretches(walk)) as stretches:
            async for part, file, path in stretches:
                pages = self._from_calls(walk, part, file) if path is None else self._from_file(walk, part, file, path)
                async with aclosing(pages):
                    async for page in pages:
                        yield walk.with_notes(page)

    async def book(self, dataset: Dataset, depth: int | None) -> Page:
        """Return the current order book."""
        return await self._calls.book(dataset, depth)

    async def predicted_funding(self, dataset: Dataset) -> Page:
        """Return the currently predicted funding rate."""
        return await self._calls.predicted_funding(dataset)

    def provenance(self, dataset: Dataset) -> Provenance:
        """Return the usual provenance of rows. Pages of files have their own, with the file's name."""
        if dataset.kind == "quotes":
            return self._archive.provenance(dataset)
        return self._calls.provenance(dataset)

    async def close(self) -> None:
        """Close every connection."""
        await self._archive.close()
        await self._calls.close()

    async def _shelf(self, dataset: Dataset) -> Shelf | None:
        if self._off_reason or dataset.kind in SNAPSHOTS:
            return None
        # Ids of another numbering than the calls' would store each trade twice at a seam.
        return await self._archive.shelf(dataset, self.provenance(dataset).id_space)

    async def _capability(self, dataset: Dataset, now: int, shelf: Shelf | None) -> Capability:
        try:
            return await self._calls.capability(dataset, now)
        except Unsupported:
            if shelf is None:
                raise
            return Capability(1, 1, 0.0, now, f"only the archive of {self.exchange} has {dataset.kind}")

    async def _terms(self, dataset: Dataset, shelf: Shelf, now: int) -> ArchiveTerms:
        capability = await self._capability(dataset, now, shelf)
        return shelf.terms(now, capability.page_span, capability.served_from)

    async def _stretches(self, walk: _Walk) -> AsyncGenerator[tuple[Span, ArchiveFile | None, Path | None]]:
        """Yield stretches in order: a span with its file and the file's path, or, for calls, with the file that follows.

        A stretch for calls is yielded only when the next file is open or none is left, so that neighbouring stretches
        without files become one.
        """
        # Rows that are stamped with the end of a step begin one step late in a file: the file before has the first.
        want = Span(walk.want.start - walk.shelf.layout.grid, walk.want.end)
        queue = list(plan_archives(want, walk.terms))
        for_calls: list[Piece] = []
        days_absent = 0
        while queue:
            piece = queue.pop(0)
            if piece.file is None or self._off_reason:
                for_calls = list(joined([*for_calls, Piece(piece.span)]))
                continue
            async with AsyncExitStack() as stack:
                path, exists = await self._open(walk, piece, stack)
                if path is None:
                    if exists or piece.file.period is Period.MONTH:
                        days_absent = 0
                    else:
                        days_absent += 1
                    queue[:0] = finer(piece, walk.terms)
                    if days_absent >= MISSES and not walk.terms.only_here(piece.span):
                        queue = list(without_days(queue, piece.file.label[:7]))
                    continue
                days_absent = 0
                for stretch in for_calls:
                    yield stretch.span, piece.file, None
                for_calls = []
                yield piece.span, piece.file, path
        for stretch in for_calls:
            yield stretch.span, None, None

    async def _open(self, walk: _Walk, piece: Piece, stack: AsyncExitStack) -> tuple[Path | None, bool]:
        """Return the path of the downloaded file, or ``None`` if it is absent or failed; and whether the site has it.

        Raises
        ------
        SourceError
            If a download failed that may succeed later, of a file that nothing can replace.
        """
        if piece.file is None:
            raise AssertionError("a piece without a file cannot be opened")
        try:
            path = await stack.enter_async_context(self._archive.opened(walk.shelf, piece.file))
        except NotThere:
            return None, False
        except SourceError as error:
            self._failures += 1
            consequence = "asked elsewhere"
            if isinstance(error, AccessDenied | Banned) or self._failures >= FAILURES:
                self._off_reason = str(error)
                consequence = "no more archives in this run"
            walk.notes.append(f"archive: {error}; {consequence}")
            if error.retriable and walk.terms.only_here(piece.span) and piece.file.period is Period.DAY:
                raise
            return None, True
        self._failures = 0
        return path, True

    async def _from_file(self, walk: _Walk, span: Span, file: ArchiveFile | None, path: Path) -> AsyncGenerator[Page]:
        """Yield the pages of a file. Calls fetch what is left if its content is invalid."""
        try:
            async with aclosing(self._archive.pages(walk.shelf, Piece(span, file), path, walk.want)) as pages:
                async for page in pages:
                    walk.notes += _compare_overhang(walk, page.frame)
                    walk.tail = _last_rows(walk.tail, page.frame)
                    yield page
        except InvalidData as error:
            name = path.name
            if file is not None:
                name = file.label
            walk.notes.append(f"archive: {name}: {error}; asked elsewhere")
        for part in walk.uncovered(span):
            async for page in self._from_calls(walk, part, None):
                yield page

    async def _from_calls(self, walk: _Walk, span: Span, following: ArchiveFile | None) -> AsyncGenerator[Page]:
        """Yield the pages of calls for what is not covered. A few rows of both neighbours are fetched again."""
        for part in walk.uncovered(span):
            lap = None
            if walk.tail is not None:
                lap = overlap(walk.tail, part.start, REACH)
            request = _widened(walk.dataset, part, lap, following)
            lap_pages: list[Page] = []
            async with aclosing(self._fetch(walk, request)) as pages:
                async for page in pages:
                    reached = page.covered_until(request.start)
                    if lap is not None:
                        lap_pages.append(page)
                        if reached >= part.start:
                            walk.notes += _compare_tail(walk, lap_pages, lap)
                            lap = None
                    if reached > part.end:
                        walk.overhang = (Span(part.end, min(reached, request.end)), page.frame)
                    yield _clipped(page, part, keeps_early=walk.dataset.spec.bars)
            walk.tail = None

    async def _fetch(self, walk: _Walk, span: Span) -> AsyncGenerator[Page]:
        """Yield the pages of calls; for kinds that no call serves, a page that says that the data is unavailable."""
        if walk.dataset.kind != "quotes":
            async for page in self._calls.history(walk.dataset, span):
                yield page
            return
        late = span.intersect(Span(span.start, max(walk.terms.now - PUBLISHED_AFTER, span.start + 1)))
        reason = f"the archive of {self.exchange} has no file for it, and calls bring no {walk.dataset.kind}"
        if late is not None:
            yield Page(walk.dataset.spec.empty(), (Covered(late, Found.UNAVAILABLE, reason),), 0)


def _last_rows(tail: pl.DataFrame | None, frame: pl.DataFrame) -> pl.DataFrame:
    """Return the last rows of *tail* and *frame* together."""
    if tail is None:
        return frame.tail(TAIL)
    return pl.concat([tail, frame.tail(TAIL)]).tail(TAIL)


def _widened(dataset: Dataset, part: Span, lap: Span | None, following: ArchiveFile | None) -> Span:
    """Return *part* with the overlap before it, and a little of the file that follows."""
    start, end = part.start, part.end
    if lap is not None:
        start = lap.start
    if following is not None:
        if dataset.timeframe:
            end += 3 * dataset.timeframe.length
        elif dataset.kind == "trades":
            end += MINUTE
    return Span(start, end)


def _compare_tail(walk: _Walk, pages: Sequence[Page], lap: Span) -> Iterator[str]:
    """Yield the differences between the archive's last rows and the same rows by calls, if calls have all of *lap*."""
    with_data: list[Span] = []
    for page in pages:
        with_data += page.data_spans
    if walk.tail is None or list(subtract(lap, normalise(with_data))):
        return
    fetched = pl.concat([page.frame for page in pages], how="diagonal")
    for difference in seam_differences(walk.tail, fetched, walk.dataset.spec, lap):
        yield f"seam: {difference}"


def _compare_overhang(walk: _Walk, frame: pl.DataFrame) -> Iterator[str]:
    """Yield the differences between the first rows of a file and the same rows by the calls before it."""
    if walk.overhang is None:
        return
    span, fetched = walk.overhang
    walk.overhang = None
    for difference in seam_differences(frame, fetched, walk.dataset.spec, span):
        yield f"seam: {difference}"


def _clipped(page: Page, part: Span, *, keeps_early: bool) -> Page:
    """Return a page without rows and coverage outside *part*. Early rows stay with *keeps_early*."""
    ts = page.frame["ts"].to_physical()
    is_inside = ts < part.end
    if not keeps_early:
        is_inside &= ts >= part.start
    covered: list[Covered] = []
    for piece in page.covered:
        span = piece.span.intersect(part)
        if span is not None:
            covered.append(replace(piece, span=span))
    return replace(page, frame=page.frame.filter(is_inside), covered=tuple(covered))
