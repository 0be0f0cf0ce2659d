"""The archive source: the files that a dump site publishes of an exchange, as pages."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import polars as pl

from ticklake.core.archive_plan import ArchiveFile, ArchiveTerms, Period, Piece, finer, plan_archives
from ticklake.core.coverage import Covered, Found
from ticklake.core.crosscheck import rows_in
from ticklake.core.dataset import Dataset
from ticklake.core.instrument import Instrument, by_symbol
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
"""How often a file is downloaded if its checksum is wrong."""
Lister = Callable[[], Awaitable[Sequence[Instrument]]]
_SHA256 = re.compile(r"\s*([0-9a-fA-F]{64})(?:\s|$)")


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where one dataset's files are: its layout and the exchange's own name of its market."""

    dataset: Dataset
    layout: Layout
    instrument: Instrument

    def terms(self, now: int, page_span: int = 0, served_from: int | None = None) -> ArchiveTerms:
        """Return which files are published of it at *now*."""
        return ArchiveTerms(self.layout.periods, now, self.layout.offset, page_span, served_from)


class ArchiveSource(Source):
    """The dump site of one exchange. The exchange's calls list the markets, because a site does not list its own well."""

    def __init__(
        self,
        exchange: str,
        address: str,
        downloads: Downloads,
        site: Site,
        list_instruments: Lister,
        clock: Callable[[], int],
    ) -> None:
        self.exchange = exchange
        self._address = address
        self._downloads = downloads
        self._site = site
        self._list_instruments = list_instruments
        self._clock = clock
        self._instruments: dict[str, Instrument] | None = None

    async def now(self) -> int:
        """Return this machine's time: a dump site has no clock."""
        return self._clock()

    async def instruments(self) -> list[Instrument]:
        """Return what the exchange lists."""
        return list(await self._list_instruments())

    async def shelf(self, dataset: Dataset, id_space: str = "") -> Shelf | None:
        """Return where the files of *dataset* are, or ``None`` if no layout has it in this id space."""
        if self._instruments is None:
            self._instruments = by_symbol(await self._list_instruments())
        instrument = self._instruments.get(str(dataset.symbol))
        if instrument is None:
            return None
        layout = layout_of(dataset, instrument, id_space)
        if layout is None:
            return None
        return Shelf(dataset, layout, instrument)

    async def capability(self, dataset: Dataset, now: int) -> Capability:
        """Describe what one file brings; raise if no layout has the dataset."""
        shelf = await self._shelf_or_refuse(dataset)
        longest = Period.DAY
        if Period.MONTH in shelf.layout.periods:
            longest = Period.MONTH
        first = next(iter(plan_archives(Span(0, 1), ArchiveTerms((longest,), now))))
        length = 1
        if first.file is not None:
            length = first.file.span.length
        return Capability(1_000_000, length, 0.0)

    async def listed_at(self, dataset: Dataset) -> int | None:  # noqa: ARG002
        """Return ``None``: an absent file does not say when a market began."""
        return None

    async def history(self, dataset: Dataset, span: Span) -> AsyncIterator[Page]:
        """Yield pages that cover *span* from files alone. Time that no file holds is ``unavailable``."""
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
        """Refuse: a dump site does not have the current order book."""
        raise Unsupported(f"{self._host} does not have the current order book")

    def provenance(self, dataset: Dataset) -> Provenance:  # noqa: ARG002
        """Return where rows of *dataset* come from, whichever file has them."""
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
        """Give a file that is complete and checked while the block lasts.

        Raises
        ------
        NotThere
            If the site does not have it.
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
        """Yield the rows of a checked file that lie in *piece*, in time order and with bounded memory.

        Rows that are stamped with the end of a step may lie one step after the piece, but inside *within*.

        Raises
        ------
        InvalidData
            If the file is not as its layout says.
        """
        if piece.file is None:
            raise AssertionError("a piece without a file has no rows here")
        layout = shelf.layout
        limits = Span(piece.span.start, piece.span.end + layout.grid).intersect(within)
        if limits is None:
            return
        origin = self._origin(shelf, piece.file)
        chunks = read_rows(path, layout, piece.file.span)
        cursor = limits.start
        requests = 2
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            rows, until = chunk
            covered = _covered_by(rows, cursor, until + layout.grid, limits, layout.grid)
            if covered is None:
                continue
            yield Page(rows_in(rows, [covered]), (Covered(covered),), requests, origin=origin)
            cursor = covered.end
            requests = 0

    def _origin(self, shelf: Shelf, file: ArchiveFile) -> Provenance:
        """Return the provenance of the rows of a file: its name, and the numbering of its trade ids."""
        name = Path(urlsplit(self.url(shelf, file)).path).name
        id_space = ""
        if shelf.dataset.kind == "trades":
            id_space = shelf.layout.id_space
        return Provenance("archive", name, self._host, id_space=id_space)

    async def _shelf_or_refuse(self, dataset: Dataset) -> Shelf:
        shelf = await self.shelf(dataset)
        if shelf is None and dataset.kind == "trades":
            shelf = await self.shelf(dataset, "agg")
        if shelf is not None:
            return shelf
        if self._instruments is not None and str(dataset.symbol) not in self._instruments:
            raise UnknownSymbol(f"{self.exchange} does not list {dataset.symbol}")
        raise Unsupported(f"{self._host} has no files of {dataset} whose layout is known")

    async def _checksum(self, shelf: Shelf, url: str) -> str | None:
        """Return the SHA-256 that the site publishes of a file; ``None`` for layouts without one."""
        if shelf.layout.checksum == "crc":
            return None
        text = await self._site.text(f"{url}.CHECKSUM")
        match = _SHA256.match(text)
        if match is None:
            raise BadResponse(f"{url}.CHECKSUM: {text[:80]!r} is no SHA-256")
        return match[1].lower()

    @property
    def _host(self) -> str:
        return urlsplit(self._address).hostname or self._address


def _problem(path: Path, expected: str | None) -> str | None:
    """Return what is wrong with a downloaded file, if anything is."""
    if expected is not None:
        actual = sha256_of(path)
        if actual == expected:
            return None
        return f"its SHA-256 is {actual[:12]}... and should be {expected[:12]}..."
    try:
        check_whole(path)
    except InvalidData as error:
        return str(error)
    return None


def _covered_by(rows: pl.DataFrame, start: int, end: int, limits: Span, grid: int) -> Span | None:
    """Return the part of *limits* that a chunk of a file covers, which was read from *start* to *end*."""
    if grid:
        # Such a file may begin late or end early: only the time between its rows is covered.
        if not rows.height:
            return None
        ts = rows["ts"].to_physical()
        start = max(start, int(ts[0]))
        end = min(end, int(ts[-1]) + grid)
    if end <= start:
        return None
    return Span(start, end).intersect(limits)
