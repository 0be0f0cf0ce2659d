"""Archives first, the exchange's own calls for the rest: one source made of two."""

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

__all__ = ["CombinedSource"]

FAILURES = 3
"""After so many files in a row that could not be had, a run asks the dump site no more."""
PUBLISHED_AFTER = 3 * DAY
"""A file that only the archive could have is not given up before it is this late."""
REACH = 6 * HOUR
"""Rows older than this before a seam are not asked again."""
TAIL = 200


@dataclass
class _Walk:
    """One history under way: what is known of the rows just before the cursor, and what the run's log shall say.

    ``tail`` are the last rows that came from the archive, ``ahead`` the rows after ``seam`` that calls brought.
    """

    dataset: Dataset
    want: Span
    shelf: Shelf
    terms: ArchiveTerms
    notes: list[str] = field(default_factory=list)
    covered: list[Span] = field(default_factory=list)
    tail: pl.DataFrame | None = None
    ahead: tuple[Span, pl.DataFrame] | None = None

    def noted(self, page: Page) -> Page:
        """Return the page with the notes so far, and remember what it covers."""
        notes, self.notes = tuple(self.notes), []
        self.covered += [piece.span for piece in page.covered]
        return replace(page, notes=(*notes, *page.notes))

    def left(self, span: Span) -> list[Span]:
        """Return what of *span* is not covered yet."""
        inside = span.intersect(self.want)
        return list(subtract(inside, normalise(self.covered))) if inside else []


class CombinedSource(Source):
    """An exchange's calls and its dump site. Where one ends and the other begins, a few rows are asked of both."""

    def __init__(self, calls: Source, archive: ArchiveSource) -> None:
        self.exchange = calls.exchange
        self._calls = calls
        self._archive = archive
        self._failures = 0
        self._off = ""

    async def now(self) -> int:
        """Return the exchange's time."""
        return await self._calls.now()

    async def instruments(self) -> list[Instrument]:
        """Return what the exchange lists."""
        return await self._calls.instruments()

    async def capability(self, dataset: Dataset, now: int) -> Capability:
        """Say what calls bring; how far back they reach does not matter where there are archives."""
        shelf = await self._shelf(dataset)
        able = await self._able(dataset, now, shelf)
        return able if shelf is None or able.served_from is None else replace(able, served_from=None, note="")

    async def listed_at(self, dataset: Dataset) -> int | None:
        """Return when the dataset's history begins, as far as calls can tell."""
        return await self._calls.listed_at(dataset)

    async def first_served(self, dataset: Dataset) -> int | None:
        """Return about where the calls' history begins."""
        return await self._calls.first_served(dataset)

    def hint(self, dataset: Dataset, ts: int) -> None:
        """Tell the calls of a row that the lake has."""
        self._calls.hint(dataset, ts)

    async def recall(self, instrument: Instrument) -> None:
        """Let calls serve a market that is no longer listed."""
        await self._calls.recall(instrument)

    async def first_traded(self, dataset: Dataset, span: Span) -> int | None:
        """Return the first day inside *span* that has trades by the exchange's own bars."""
        return await self._calls.first_traded(dataset, span)

    async def archives(self, dataset: Dataset, spans: Sequence[Span], now: int) -> Archives:
        """Say which files :meth:`history` would ask for first."""
        shelf = await self._shelf(dataset)
        if shelf is None:
            return Archives((), tuple(spans))
        terms = await self._terms(dataset, shelf, now)
        pieces = [piece for span in spans for piece in plan_archives(span, terms)]
        files = tuple(self._archive.url(shelf, piece.file) for piece in pieces if piece.file)
        return Archives(files, tuple(piece.span for piece in pieces if piece.file is None))

    async def history(self, dataset: Dataset, span: Span) -> AsyncIterator[Page]:
        """Yield pages that cover *span*: from whole checked files where there are some, from calls elsewhere."""
        shelf = await self._shelf(dataset)
        if shelf is None:
            async for page in self._calls.history(dataset, span):
                yield page
            return
        walk = _Walk(dataset, span, shelf, await self._terms(dataset, shelf, await self.now()))
        async with aclosing(self._stretches(walk)) as stretches:
            async for part, file, path in stretches:
                pages = self._from_calls(walk, part, file) if path is None else self._from_file(walk, part, file, path)
                async with aclosing(pages):
                    async for page in pages:
                        yield walk.noted(page)

    async def book(self, dataset: Dataset, depth: int | None) -> Page:
        """Return the book of now."""
        return await self._calls.book(dataset, depth)

    async def predicted_funding(self, dataset: Dataset) -> Page:
        """Return the funding rate that is predicted now."""
        return await self._calls.predicted_funding(dataset)

    def provenance(self, dataset: Dataset) -> Provenance:
        """Return where rows come from that calls bring; those of files bear the file's name."""
        return self._archive.provenance(dataset) if dataset.kind == "quotes" else self._calls.provenance(dataset)

    async def close(self) -> None:
        """Close every connection."""
        await self._archive.close()
        await self._calls.close()

    async def _shelf(self, dataset: Dataset) -> Shelf | None:
        if self._off or dataset.kind in SNAPSHOTS:
            return None
        return await self._archive.shelf(dataset, self.provenance(dataset).id_space)

    async def _able(self, dataset: Dataset, now: int, shelf: Shelf | None) -> Capability:
        try:
            return await self._calls.capability(dataset, now)
        except Unsupported:
            if shelf is None:
                raise
            return Capability(1, 1, 0.0, now, f"only the archive of {self.exchange} has {dataset.kind}")

    async def _terms(self, dataset: Dataset, shelf: Shelf, now: int) -> ArchiveTerms:
        able = await self._able(dataset, now, shelf)
        return shelf.terms(now, able.page_span, able.served_from)

    async def _stretches(self, walk: _Walk) -> AsyncGenerator[tuple[Span, ArchiveFile | None, Path | None]]:
        """Yield what comes next: a span, and the open file that holds it; calls take over where there is none.

        A span for calls comes with the file that follows it, which is at hand already, so that stretches without
        files grow together before anything is asked.
        """
        early = Span(walk.want.start - walk.shelf.layout.grid, walk.want.end)
        queue, waiting, absent = list(plan_archives(early, walk.terms)), list[Piece](), 0
        while queue:
            piece = queue.pop(0)
            if piece.file is None or self._off:
                waiting = list(joined([*waiting, Piece(piece.span)]))
                continue
            async with AsyncExitStack() as stack:
                path, there = await self._opened(walk, piece, stack)
                if path is None:
                    absent = 0 if there or piece.file.period is Period.MONTH else absent + 1
                    queue[:0] = finer(piece, walk.terms)
                    if absent >= MISSES and not walk.terms.only_here(piece.span):
                        queue = list(without_days(queue, piece.file.label[:7]))
                    continue
                absent = 0
                for rest in waiting:
                    yield rest.span, piece.file, None
                waiting = []
                yield piece.span, piece.file, path
        for rest in waiting:
            yield rest.span, None, None

    async def _opened(self, walk: _Walk, piece: Piece, stack: AsyncExitStack) -> tuple[Path | None, bool]:
        """Return the file at hand, or nothing; and whether the site has it at all.

        Raises
        ------
        SourceError
            If a file could not be had for now that nothing can take the place of.
        """
        if piece.file is None:
            raise AssertionError("a piece without a file cannot be opened")
        try:
            path = await stack.enter_async_context(self._archive.opened(walk.shelf, piece.file))
        except NotThere:
            return None, False
        except SourceError as error:
            self._failures += 1
            if isinstance(error, AccessDenied | Banned) or self._failures >= FAILURES:
                self._off = str(error)
            walk.notes.append(f"archive: {error}; {'no more archives in this run' if self._off else 'asked elsewhere'}")
            if error.retriable and walk.terms.only_here(piece.span) and piece.file.period is Period.DAY:
                raise
            return None, True
        self._failures = 0
        return path, True

    async def _from_file(self, walk: _Walk, span: Span, file: ArchiveFile | None, path: Path) -> AsyncGenerator[Page]:
        """Yield the pages of a file; where it is not what it should be, calls take over."""
        try:
            async with aclosing(self._archive.pages(walk.shelf, Piece(span, file), path, walk.want)) as pages:
                async for page in pages:
                    walk.notes += _compared_ahead(walk, page.frame)
                    walk.tail = page.frame.tail(TAIL) if walk.tail is None else _joined(walk.tail, page.frame)
                    yield page
        except InvalidData as error:
            walk.notes.append(f"archive: {path.name if file is None else file.label}: {error}; asked elsewhere")
        for rest in walk.left(span):
            async for page in self._from_calls(walk, rest, None):
                yield page

    async def _from_calls(self, walk: _Walk, span: Span, following: ArchiveFile | None) -> AsyncGenerator[Page]:
        """Yield the pages of calls for what is not covered; a little of both neighbours is asked again."""
        for part in walk.left(span):
            lap = overlap(walk.tail, part.start, REACH) if walk.tail is not None else None
            ask = _widened(walk.dataset, part, lap, following)
            shared: list[Page] = []
            async with aclosing(self._asked(walk, ask)) as pages:
                async for page in pages:
                    shared.append(page)
                    reached = max((piece.span.end for piece in page.covered), default=ask.start)
                    if lap and reached >= part.start:
                        walk.notes += _compared(walk, shared, lap)
                        lap = None
                    shared = shared if lap else []
                    if reached > part.end:
                        walk.ahead = (Span(part.end, min(reached, ask.end)), page.frame)
                    yield _clipped(page, part, keeps_early=walk.dataset.spec.bars)
            walk.tail = None

    async def _asked(self, walk: _Walk, span: Span) -> AsyncGenerator[Page]:
        """Ask the exchange, or cover what only an archive could have had."""
        if walk.dataset.kind != "quotes":
            async for page in self._calls.history(walk.dataset, span):
                yield page
            return
        late = span.intersect(Span(span.start, max(walk.terms.now - PUBLISHED_AFTER, span.start + 1)))
        reason = f"the archive of {self.exchange} has no file for it, and calls bring no {walk.dataset.kind}"
        if late is not None:
            yield Page(walk.dataset.spec.empty(), (Covered(late, Found.UNAVAILABLE, reason),), 0)


def _joined(tail: pl.DataFrame, frame: pl.DataFrame) -> pl.DataFrame:
    """Return the last rows of two frames, one after the other."""
    return pl.concat([tail, frame.tail(TAIL)]).tail(TAIL)


def _widened(dataset: Dataset, part: Span, lap: Span | None, following: ArchiveFile | None) -> Span:
    """Return *part* with the overlap before it, and a little of the file that follows."""
    start = lap.start if lap else part.start
    if following is None:
        return Span(start, part.end)
    if dataset.timeframe:
        return Span(start, part.end + 3 * dataset.timeframe.length)
    return Span(start, part.end + (MINUTE if dataset.kind == "trades" else 0))


def _compared(walk: _Walk, pages: Sequence[Page], lap: Span) -> Iterator[str]:
    """Compare the archive's last rows with what calls say of them, where calls have the data at all."""
    pieces = [piece for page in pages for piece in page.covered]
    found = normalise(piece.span for piece in pieces if piece.found is Found.DATA)
    if walk.tail is None or list(subtract(lap, found)):
        return
    asked = pl.concat([page.frame for page in pages], how="diagonal")
    for told in seam_differences(walk.tail, asked, walk.dataset.spec, lap):
        yield f"seam: {told}"


def _compared_ahead(walk: _Walk, frame: pl.DataFrame) -> Iterator[str]:
    """Compare what calls said of a file's first rows with the file."""
    if walk.ahead is None:
        return
    (span, asked), walk.ahead = walk.ahead, None
    for told in seam_differences(frame, asked, walk.dataset.spec, span):
        yield f"seam: {told}"


def _clipped(page: Page, part: Span, *, keeps_early: bool) -> Page:
    """Return a page without what it says of the neighbours; early bars stay, as the newest word on them counts."""
    ts = page.frame["ts"].to_physical()
    frame = page.frame.filter((ts < part.end) if keeps_early else (ts >= part.start) & (ts < part.end))
    cut = ((piece.span.intersect(part), piece) for piece in page.covered)
    return replace(page, frame=frame, covered=tuple(replace(piece, span=span) for span, piece in cut if span))
