"""The interface of a source, with the obligations of every implementation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from time import time_ns

import polars as pl

from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.instrument import Instrument
from ticklake.core.provenance import Provenance
from ticklake.core.retry import OF_CALLS, RetryPolicy
from ticklake.core.span import Span
from ticklake.errors import Unsupported
from ticklake.sources.live.base import Feed, Subscription
from ticklake.sources.pacing.pace import Pace

__all__ = ["Archives", "Capability", "Page", "Source", "SourceFactory", "SourceOptions"]


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, and the spans that they cover.

    Rows may lie outside the covered spans and come in any order. ``requests`` is the number of calls; ``notes`` go to
    the run's log; ``clock`` says whose clock ``ts`` is; ``origin`` is the provenance of these rows, if it is not the
    source's usual one.
    """

    frame: pl.DataFrame
    covered: tuple[Covered, ...]
    requests: int = 1
    notes: tuple[str, ...] = ()
    clock: str = "exchange"
    origin: Provenance | None = None

    @property
    def spans(self) -> list[Span]:
        """The covered spans."""
        return [piece.span for piece in self.covered]

    @property
    def data_spans(self) -> list[Span]:
        """The spans that are covered with data: these rows are all that there are."""
        return [piece.span for piece in self.covered if piece.found is Found.DATA]

    def covered_until(self, ts: int) -> int:
        """Return the end of the last covered span, or *ts* if that is later."""
        return max([ts, *(span.end for span in self.spans)])


@dataclass(frozen=True, slots=True)
class Capability:
    """What a source can do for a dataset.

    ``page_rows`` is how many rows a call returns at most, ``page_span`` the time that they usually span, in
    nanoseconds; ``served_from`` is the oldest instant that is still served (``None``: back to the listing), with the
    reason in ``note``; ``seconds_per_page`` is the time between calls.
    """

    page_rows: int
    page_span: int
    seconds_per_page: float
    served_from: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Archives:
    """The addresses of the files that would be downloaded, and the spans that calls would fetch."""

    files: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()


class Source(ABC):
    """The data of one exchange. It raises only errors of Ticklake, never those of the libraries it uses."""

    exchange: str

    @abstractmethod
    async def now(self) -> int:
        """Return the exchange's own time in nanoseconds."""

    @abstractmethod
    async def instruments(self) -> list[Instrument]:
        """Return what the exchange lists, sorted by symbol."""

    @abstractmethod
    async def capability(self, dataset: Dataset, now: int) -> Capability:
        """Return what can be fetched of *dataset* at the exchange's time *now*.

        Raises
        ------
        UnknownSymbol, UnknownTimeframe, Unsupported
            The message says what is possible instead.
        """

    @abstractmethod
    async def listed_at(self, dataset: Dataset) -> int | None:
        """Return when the market was listed, if that is certain. Nothing can be missing before.

        The oldest row that is served does not prove a listing, unless the source keeps everything.
        """

    async def first_served(self, dataset: Dataset) -> int | None:
        """Return about where the served history of a dataset begins: a backfill without a start begins there."""
        return await self.listed_at(dataset)

    def hint(self, dataset: Dataset, ts: int) -> None:  # noqa: B027
        """Take note of *ts*, the time of the newest row in the lake before the span that is fetched next.

        If the source still serves that row, an empty stretch after it is truly empty.
        """

    @abstractmethod
    def history(self, dataset: Dataset, span: Span) -> AsyncIterator[Page]:
        """Yield pages that together cover *span*, oldest first.

        A page has every row of its covered spans. Data that cannot be fetched is covered as ``unavailable`` or
        ``lost``. A span is covered only if the source showed that it serves that time (``core/evidence.py``); what
        cannot be known yet stays uncovered.
        """

    async def archives(self, dataset: Dataset, spans: Sequence[Span], now: int) -> Archives:  # noqa: ARG002
        """Return which files of a dump site :meth:`history` would download at *now*: none, unless overridden."""
        return Archives((), tuple(spans))

    async def recall(self, instrument: Instrument) -> None:  # noqa: B027
        """Make a market that the exchange no longer lists available again by its stored description, if possible."""

    async def first_traded(self, dataset: Dataset, span: Span) -> int | None:  # noqa: ARG002
        """Return the first day inside *span* that has trades by the exchange's own bars, if any day has."""
        return None

    @abstractmethod
    async def book(self, dataset: Dataset, depth: int | None) -> Page:
        """Return the current order book as one snapshot."""

    async def predicted_funding(self, dataset: Dataset) -> Page:
        """Return the currently predicted funding rate as one row.

        Raises
        ------
        Unsupported
            Unless overridden.
        """
        raise Unsupported(f"{self.exchange} does not serve {dataset.kind}")

    async def feeds(self, subscriptions: Sequence[Subscription], *, capture: bool = False) -> list[Feed]:  # noqa: ARG002
        """Return live feeds that together carry these streams, as many as the exchange's limits on connections ask for.

        With *capture*, they pass each message on as it was received, too.

        Raises
        ------
        UnknownSymbol, Unsupported
            The message says what is possible instead. Unless overridden, nothing is.
        """
        kinds = ", ".join(sorted({subscription.dataset.kind for subscription in subscriptions}))
        raise Unsupported(f"{self.exchange} sends no {kinds} over a socket")

    @abstractmethod
    def provenance(self, dataset: Dataset) -> Provenance:
        """Return where the rows of *dataset* come from."""

    @abstractmethod
    async def close(self) -> None:
        """Close every connection."""


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How one exchange is reached: its settings.

    ``url`` replaces scheme and host of every address; ``rate_limit_ms`` is the time between calls, if set;
    ``timeout`` is in seconds; ``secrets`` holds ``apiKey`` and ``secret`` if they are set; ``clock`` returns this
    machine's time in nanoseconds UTC. ``pace`` gives turns to calls and is shared with other processes; the default
    belongs to one source alone.
    """

    url: str | None = None
    rate_limit_ms: float | None = None
    timeout: float = 20.0
    retry: RetryPolicy = OF_CALLS
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    clock: Callable[[], int] = time_ns
    pace: Pace = field(default_factory=Pace)


class SourceFactory(ABC):
    """Names the exchanges that a kind of source serves, and makes their sources.

    A package offers it under the entry point group ``ticklake.sources``, as a class without arguments or as an object.
    Importing it should be cheap.
    """

    @abstractmethod
    def exchanges(self) -> Collection[str]:
        """Return the exchange ids it serves: lower case letters, digits, ``-`` and ``_``."""

    @abstractmethod
    def make(self, exchange: str, options: SourceOptions) -> Source:
        """Return a source of one of its exchanges. It is used for one piece of work, then closed."""

    def kinds(self, exchange: str) -> Sequence[str]:
        """Return the kinds that it serves of an exchange, as far as they are known without asking the exchange."""
        del exchange
        return ()

    def restrictions(self, exchange: str) -> Mapping[str, str]:
        """Return conditions of the kinds it serves, such as a key that is needed, by kind."""
        del exchange
        return {}
