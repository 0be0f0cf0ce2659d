"""What a source is: the obligations that every implementation keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from time import time_ns

import polars as pl

from ticklake.core.coverage import Covered
from ticklake.core.dataset import Dataset
from ticklake.core.instrument import Instrument
from ticklake.core.provenance import Provenance
from ticklake.core.retry import OF_CALLS, RetryPolicy
from ticklake.core.span import Span
from ticklake.errors import Unsupported
from ticklake.sources.pacing.pace import Pace

__all__ = ["Archives", "Capability", "Page", "Source", "SourceFactory", "SourceOptions"]


@dataclass(frozen=True, slots=True)
class Page:
    """One answered question: the rows, and which spans they are the truth about.

    Rows may lie outside the covered spans (overlap) and come in any order; ``requests`` is how many calls
    it took; ``notes`` are for the run's log; ``clock`` says whose clock ``ts`` is; ``origin`` says where these very
    rows come from, if that is not the source's usual provenance.
    """

    frame: pl.DataFrame
    covered: tuple[Covered, ...]
    requests: int = 1
    notes: tuple[str, ...] = ()
    clock: str = "exchange"
    origin: Provenance | None = None


@dataclass(frozen=True, slots=True)
class Capability:
    """What a source can do for a dataset.

    ``page_rows`` is how many rows a call brings at most; ``page_span`` how long a stretch that usually is, in
    nanoseconds; ``served_from`` is the oldest instant it still serves (``None``: back to the listing), with the
    reason in ``note``; ``seconds_per_page`` is the pace it asks for.
    """

    page_rows: int
    page_span: int
    seconds_per_page: float
    served_from: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Archives:
    """The addresses of files that would be fetched, and the spans that are left to calls."""

    files: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()


class Source(ABC):
    """One exchange's data. Errors are ours: nothing of another library's comes through."""

    exchange: str

    @abstractmethod
    async def now(self) -> int:
        """Return the exchange's own time in nanoseconds."""

    @abstractmethod
    async def instruments(self) -> list[Instrument]:
        """Return what the exchange lists, sorted by symbol."""

    @abstractmethod
    async def capability(self, dataset: Dataset, now: int) -> Capability:
        """Say what can be had of *dataset* at the exchange's time *now*.

        Raises
        ------
        UnknownSymbol, UnknownTimeframe, Unsupported
            With what is possible instead.
        """

    @abstractmethod
    async def listed_at(self, dataset: Dataset) -> int | None:
        """Return when the market was listed, if that is certain: nothing can be missing before.

        The oldest row that is served is no listing, unless the source keeps everything.
        """

    async def first_served(self, dataset: Dataset) -> int | None:
        """Return about where what is served of a dataset begins, to start there if nobody says since when."""
        return await self.listed_at(dataset)

    def hint(self, dataset: Dataset, ts: int) -> None:  # noqa: B027
        """Take note of the newest row that the lake has from before what is asked next.

        If the source still serves it, a silence after it is true.
        """

    @abstractmethod
    def history(self, dataset: Dataset, span: Span) -> AsyncIterator[Page]:
        """Yield pages that together cover *span*, oldest first.

        Every page's rows are whole for its covered spans; what cannot be had is covered as ``unavailable`` or
        ``lost``. A span is covered only if the source showed that it serves that time (``core/evidence.py``); what cannot be
        known yet stays uncovered.
        """

    async def archives(self, dataset: Dataset, spans: Sequence[Span], now: int) -> Archives:  # noqa: ARG002
        """Say which files of a dump site :meth:`history` would ask for at *now*; none, unless a source knows some."""
        return Archives((), tuple(spans))

    async def recall(self, instrument: Instrument) -> None:  # noqa: B027
        """Serve a market that the exchange lists no longer by what is known of it, if that can be done."""

    async def first_traded(self, dataset: Dataset, span: Span) -> int | None:  # noqa: ARG002
        """Return the first day inside *span* on which the exchange's own bars say that there were trades, if any do."""
        return None

    @abstractmethod
    async def book(self, dataset: Dataset, depth: int | None) -> Page:
        """Return the order book of now, as one snapshot."""

    async def predicted_funding(self, dataset: Dataset) -> Page:
        """Return the funding rate that is predicted now, as one row.

        Raises
        ------
        Unsupported
            Unless a source knows it.
        """
        raise Unsupported(f"{self.exchange} does not serve {dataset.kind}")

    @abstractmethod
    def provenance(self, dataset: Dataset) -> Provenance:
        """Return where the rows of *dataset* come from."""

    @abstractmethod
    async def close(self) -> None:
        """Close every connection."""


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How one exchange is reached: what the settings say of it.

    ``url`` replaces scheme and host of every address; ``rate_limit_ms`` is the time between calls, if said;
    ``timeout`` is in seconds; ``secrets`` holds ``apiKey`` and ``secret`` where given; ``clock`` is ours, in
    nanoseconds UTC. ``pace`` gives turns to calls, shared with other processes; a source of its own keeps its own.
    """

    url: str | None = None
    rate_limit_ms: float | None = None
    timeout: float = 20.0
    retry: RetryPolicy = OF_CALLS
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    clock: Callable[[], int] = time_ns
    pace: Pace = field(default_factory=Pace)


class SourceFactory(ABC):
    """Says which exchanges a kind of source serves, and makes their sources.

    It is what a package offers under the entry point group ``ticklake.sources``, as a class without arguments or as
    an object. Importing it should be cheap.
    """

    @abstractmethod
    def exchanges(self) -> Collection[str]:
        """Return the exchange ids it serves: lower case letters, digits, ``-`` and ``_``."""

    @abstractmethod
    def make(self, exchange: str, options: SourceOptions) -> Source:
        """Return a source of one of its exchanges; one that is used for one piece of work, then closed."""

    def kinds(self, exchange: str) -> Sequence[str]:
        """Return the kinds that it serves of an exchange, as far as that is known beforehand."""
        del exchange
        return ()

    def restrictions(self, exchange: str) -> Mapping[str, str]:
        """Return what stands in the way of kinds that it serves, like a key that is needed, as far as that is known."""
        del exchange
        return {}
