"""Streams as values: what is wanted of exchanges' sockets, how it is collected, and how it goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ticklake.core.dataset import BAR_KINDS, Dataset
from ticklake.core.display import Displayed, moment
from ticklake.core.kinds import kind_of
from ticklake.core.selection import parse_count, parse_names
from ticklake.core.symbol import exchange_id
from ticklake.core.timeframe import Timeframe
from ticklake.errors import BadInput

__all__ = ["OF_STREAMS", "STREAMED", "LiveOptions", "StreamCounts", "StreamRequest", "StreamStatus"]

STREAMED = (
    "trades",
    "book",
    "quotes",
    "ohlcv",
    "mark_ohlcv",
    "index_ohlcv",
    "funding",
    "predicted_funding",
    "open_interest",
    "liquidations",
)
"""The kinds that exchanges send over sockets."""


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """Which streams of an exchange are wanted. Build it with :meth:`of`, which takes what users write.

    Parameters
    ----------
    symbols
        CCXT's unified symbols, or patterns like ``BTC/*``.
    kinds
        Of :data:`STREAMED`.
    timeframes
        Of bars.
    depth
        Levels of a book on each side; ``None`` is all that the exchange sends.
    """

    exchange: str
    symbols: tuple[str, ...]
    kinds: tuple[str, ...] = ("trades",)
    timeframes: tuple[str, ...] = ("1m",)
    depth: int | None = None

    @classmethod
    def of(
        cls,
        exchange: str,
        symbols: str | Sequence[str],
        kinds: str | Sequence[str] = ("trades",),
        timeframes: str | Sequence[str] = ("1m",),
        depth: int | None = None,
    ) -> StreamRequest:
        """Check and normalise what a user writes.

        Raises
        ------
        BadInput
            If a kind is not sent over sockets, no symbol or kind is named, or *depth* is no number of levels.
        """
        named = tuple(parse_names("symbols", symbols))
        wanted = tuple(dict.fromkeys(parse_names("kinds", kinds)))
        if not named:
            raise BadInput("no symbol was given: name one, like BTC/USDT, or a pattern, like 'BTC/*'")
        if not wanted:
            raise BadInput(f"no kind was given: name one of {', '.join(STREAMED)}")
        for kind in wanted:
            kind_of(kind)
            if kind not in STREAMED:
                raise BadInput(f"{kind} is not sent over sockets: use some of {', '.join(STREAMED)}")
        frames = tuple(str(Timeframe.parse(text)) for text in parse_names("timeframes", timeframes))
        if depth is not None:
            depth = parse_count("depth", depth)
        return cls(exchange_id(exchange), named, wanted, frames, depth)

    def datasets_of(self, symbol: str) -> list[Dataset]:
        """Return the datasets that are wanted of one symbol."""
        datasets: list[Dataset] = []
        for kind in self.kinds:
            if kind in BAR_KINDS:
                datasets += [Dataset.of(self.exchange, symbol, kind, timeframe) for timeframe in self.timeframes]
            else:
                datasets.append(Dataset.of(self.exchange, symbol, kind))
        return datasets

    def to_json(self) -> dict[str, Any]:
        """Return the arguments of :meth:`of` as JSON."""
        return {
            "exchange": self.exchange,
            "symbols": list(self.symbols),
            "kinds": list(self.kinds),
            "timeframes": list(self.timeframes),
            "depth": self.depth,
        }


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """How live rows are collected.

    Parameters
    ----------
    flush_rows, flush_seconds
        Rows are committed when so many wait, or when the oldest has waited so long. While a commit is being made, more may wait.
    most_rows
        When so many wait, feeds stop reading from their sockets until a commit is done.
    store_retry
        For how many seconds a commit is tried again while the lake cannot be written (a full disk, a busy catalog). After that the
        service ends with the error.
    end_retry
        The same once the service is told to end.
    fill_delay
        Seconds from the end of a hole until calls are asked for its rows: exchanges serve new rows by call a little later.
    recheck_seconds
        How often the newest bars are asked for again by calls: exchanges correct bars late.
    checkpoint_seconds
        About how often a checkpoint of each order book is written, from which books are read; 0 for never.
    """

    flush_rows: int = 100
    flush_seconds: float = 5.0
    most_rows: int = 500_000
    store_retry: float = 300.0
    end_retry: float = 5.0
    fill_delay: float = 2.0
    recheck_seconds: float = 900.0
    checkpoint_seconds: float = 60.0


OF_STREAMS = LiveOptions()
"""The usual ones."""


@dataclass(slots=True)
class StreamCounts:
    """What became of the rows of a stream: ``received`` is the sum of all others, and of those that wait for their commit."""

    received: int = 0
    stored: int = 0
    duplicate: int = 0
    quarantined: int = 0

    @property
    def waiting(self) -> int:
        """How many rows wait for their commit."""
        return self.received - self.stored - self.duplicate - self.quarantined


@dataclass(frozen=True, slots=True, repr=False)
class StreamStatus(Displayed):
    """How one stream goes.

    Times are nanoseconds UTC; ``rate`` is rows a second over the last minute; ``lag`` is the time from the exchange's clock to the
    commit, in seconds, of the newest commit; ``received`` = ``stored`` + ``duplicate`` + ``quarantined`` + ``waiting``.
    ``messages``, ``control`` and ``unparsed`` are those of its connection.
    """

    dataset: str
    state: str
    rate: float = 0.0
    last_event: int | None = None
    last_received: int | None = None
    lag: float | None = None
    received: int = 0
    stored: int = 0
    duplicate: int = 0
    quarantined: int = 0
    waiting: int = 0
    gaps: int = 0
    reconnects: int = 0
    messages: int = 0
    control: int = 0
    unparsed: int = 0
    proof: str = ""
    text: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    def _summary(self) -> dict[str, Any]:
        return {
            "dataset": self.dataset,
            "state": self.state,
            "rate": f"{self.rate:,.1f}/s",
            "last_event": moment(self.last_event),
            "stored": self.stored,
            "waiting": self.waiting,
            "gaps": self.gaps,
            "reconnects": self.reconnects,
        }
