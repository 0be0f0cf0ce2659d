"""The archive source: what dump sites hold of an exchange, as pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import polars as pl

from ticklake.core.archive_plan import ArchiveFile, ArchiveTerms, Period, Piece, finer, plan_archives
from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.instrument import Instrument
from ticklake.core.provenance import Provenance
from ticklake.core.span import Span
from ticklake.errors import BadResponse, InvalidData, UnknownSymbol, Unsupported
from ticklake.sources.archives.downloads import Downloads
from ticklake.sources.archives.http import NotThere, Site
from ticklake.sources.archives.layouts import Layout, layout_of, url_of
from ticklake.sources.archives.members import check_whole, read_rows, sha256_of
from ticklake.sources.base import Capability, Page, Source

__all__ = ["ArchiveSource", "Shelf"]

TRIES = 2
"""A file whose checksum is wrong is fetched once more."""
Lister = Callable[[], Awaitable[Sequence[Instrument]]]


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where one dataset's files are: its layout and the exchange's own name of its market."""

    dataset: Dataset
    layout: Layout
    instrument: Instrument

    def terms(self, now: int, page_span: int = 0, served_from: int | None = None) -> ArchiveTerms:
        """Return what is published of it at *now*."""
        return ArchiveTerms(self.layout.periods, now, self.layout.offset, page_span, served_from)


class ArchiveSource(Source):
    """The dump site of one exchange. Markets are listed by *listed*, as a site does not list its own well."""

    def __init__(
        self, exchange: str, address: str, downloads: Downloads, site: Site, listed: Lister, clock: Callable[[], int]
    ) -> None:
        self.exchange = exchange
        self._address = address
        self._downloads = downloads
        self._site = site
        self._listed = listed
        self._clock = clock
        self._known: dict[str, Instrument] | None = None

    async def now(self) -> int:
        """Return this machine's time: a dump site has no clock."""
        return self._clock()

    async def instruments(self) -> list[Instrument]:
        """Return what the exchange lists."""
        return list(await self._listed())

    async def shelf(self, dataset: Dataset, id_space: str = "") -> Shelf | None:
        """Return where the files of *dataset* are, or ``None`` if no layout holds it in this id space."""
        if self._known is None:
            self._known = {instrument.symbol: instrument for instrument in await self._listed()}
        instrument = self._known.get(str(dataset.symbol))
        layout = instrument and layout_of(dataset, instrument, id_space)
        return Shelf(dataset, layout, instrument) if layout and instrument else None

    async def capability(self, dataset: Dataset, now: int) -> Capability:
        """Say what a file brings, or refuse what has no layout."""
        shelf = await self._shelf_or_refuse(dataset)
        longest = Period.MONTH if Period.MONTH in shelf.layout.periods else Period.DAY
        (piece, *_) = plan_archives(Span(0, 1), ArchiveTerms((longest,), now))
        return Capability(1_000_000, piece.file.span.length if piece.file else 1, 0.0)

    async def listed_at(self, dataset: Dataset) -> int | None:  # noqa: ARG002
        """Return ``None``: an absent file says nothing about when a market began."""
        return None

    async def history(self, dataset: Dataset, span: Span) -> AsyncIterator[Page]:
        """Yield pages that cover *span* from files alone; what is in none is ``unavailable``."""
        shelf = await self._shelf_or_refuse(dataset)
        terms = shelf.terms(await self.now())
        queue = list(plan_archives(span, terms))
        while queue:
            piece = queue.pop(0)
            if piece.file is None:
                reason = f"{self._host} has no file for it"
                yield Page(dataset.spec.empty(), (Covered(piece.span, Found.UNAVAILABLE, reason),), 0)
                continue
            try:
                async with (
                    self.opened(shelf, piece.file) as path,
                    aclosing(self.pages(shelf, piece, path, span)) as pages,
                ):
                    async for page in pages:
                        yield page
            except NotThere:
                queue[:0] = finer(piece, terms)

    async def book(self, dataset: Dataset, depth: int | None) -> Page:  # noqa: ARG002
        """Refuse: a dump site has no order book of now."""
        raise Unsupported(f"{self._host} has no order book of now")

    def provenance(self, dataset: Dataset) -> Provenance:  # noqa: ARG002
        """Return where rows of *dataset* come from, whatever the file."""
        return Provenance("archive", "", self._host)

    async def close(self) -> None:
        """Close the connections."""
        await self._site.close()
        self._downloads.close()

    def url(self, shelf: Shelf, file: ArchiveFile) -> str:
        """Return the address of a file."""
        return url_of(shelf.layout, self._address, shelf.dataset, shelf.instrument, file)

    @asynccontextmanager
    async def opened(self, shelf: Shelf, file: ArchiveFile) -> AsyncIterator[Path]:
        """Give a file that is whole and checked while the block lasts.

        Raises
        ------
        NotThere
            If the site does not have it: no error, it is not covered.
        BadResponse
            If its checksum is wrong, also the second time.
        SourceError
            If the site does not answer or refuses.
        """
        url = self.url(shelf, file)
        expected = await self._checksum(shelf, url)
        for tried in range(1, TRIES + 1):
            async with self._downloads.fetched(url) as path:
                problem = await asyncio.to_thread(_problem, path, expected)
                if problem is None:
                    with self._downloads.kept(path):
                        yield path
                    return
            if tried == TRIES:
                raise BadResponse(f"{url}: {problem}, also when fetched again")

    async def pages(self, shelf: Shelf, piece: Piece, path: Path, within: Span) -> AsyncGenerator[Page]:
        """Yield the rows of a checked file that lie in *piece*, in order of time, memory bounded.

        Rows that mark the end of a step may lie one step after the piece, but inside *within*.

        Raises
        ------
        InvalidData
            If the file is not as its layout says.
        """
        if piece.file is None:
            raise AssertionError("a piece without a file has no rows here")
        origin = Provenance("archive", Path(urlsplit(self.url(shelf, piece.file)).path).name, self._host)
        origin = _spaced(origin, shelf.layout.id_space if shelf.dataset.kind == "trades" else "")
        rows, grid = read_rows(path, shelf.layout, piece.file.span), shelf.layout.grid
        reach = Span(piece.span.start, piece.span.end + grid).intersect(within)
        if reach is None:
            return
        cursor, calls = reach.start, 2
        while (found := await asyncio.to_thread(next, rows, None)) is not None:
            frame, until = found
            whole = _whole(frame, cursor, until + grid, reach, grid)
            if whole is None:
                continue
            yield Page(_within(frame, whole), (Covered(whole),), calls, origin=origin)
            cursor, calls = whole.end, 0

    async def _shelf_or_refuse(self, dataset: Dataset) -> Shelf:
        shelf = await self.shelf(dataset)
        if shelf is None and dataset.kind == "trades":
            shelf = await self.shelf(dataset, "agg")
        if shelf is not None:
            return shelf
        if self._known is not None and str(dataset.symbol) not in self._known:
            raise UnknownSymbol(f"{self.exchange} does not list {dataset.symbol}")
        raise Unsupported(f"{self._host} has no files of {dataset} whose layout is known")

    async def _checksum(self, shelf: Shelf, url: str) -> str | None:
        """Return the SHA-256 that the site tells of a file; ``None`` for layouts without one."""
        if shelf.layout.checksum == "crc":
            return None
        text = await self._site.text(f"{url}.CHECKSUM")
        word = text.split()[0].lower() if text.split() else ""
        if len(word) != 64 or not set(word) <= set("0123456789abcdef"):
            raise BadResponse(f"{url}.CHECKSUM: {text[:80]!r} is no SHA-256")
        return word

    @property
    def _host(self) -> str:
        return urlsplit(self._address).hostname or self._address


def _problem(path: Path, expected: str | None) -> str | None:
    """Return what is wrong with a downloaded file, if anything is."""
    if expected is not None:
        found = sha256_of(path)
        return None if found == expected else f"its SHA-256 is {found[:12]}... and should be {expected[:12]}..."
    try:
        check_whole(path)
    except InvalidData as error:
        return str(error)
    return None


def _spaced(origin: Provenance, id_space: str) -> Provenance:
    return Provenance(origin.source, origin.endpoint, origin.tool, id_space=id_space)


def _whole(frame: pl.DataFrame, start: int, until: int, want: Span, grid: int) -> Span | None:
    """Return the part of *want* that a piece of a file, read from *start* to *until*, is the truth about."""
    if grid and frame.height:
        ts = frame["ts"].to_physical()
        start, until = max(start, int(ts[0])), min(until, int(ts[-1]) + grid)
    if until <= start or (grid and not frame.height):
        return None
    return Span(start, until).intersect(want)


def _within(frame: pl.DataFrame, span: Span) -> pl.DataFrame:
    ts = frame["ts"].to_physical()
    return frame.filter((ts >= span.start) & (ts < span.end))
