"""The interface of a live feed: subscriptions in, messages with rows and control events out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, NamedTuple, Protocol

from ticklake.core.dataset import Dataset
from ticklake.core.span import Span
from ticklake.sources.wire.rows import Row, row_key

__all__ = ["Control", "ControlName", "Feed", "LiveMessage", "RowKey", "Sink", "Subscription", "wanted_rows"]

RowKey = tuple[str, str, str]
"""Kind, the exchange's own name of the market, and timeframe (empty without one): what tells the dataset of a row."""

ControlName = Literal[
    "connected",
    "subscribed",
    "refused",
    "heartbeat",
    "slow",
    "gap",
    "resynchronised",
    "disconnected",
    "interval_complete",
    "stopped",
]
"""What can happen to a stream; :class:`Control` says what each means."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A stream that is wanted: a dataset, and for books the number of levels on each side (``None``: all there are)."""

    dataset: Dataset
    depth: int | None = None


@dataclass(frozen=True, slots=True)
class Control:
    """Something that happened to a stream, between its rows.

    Parameters
    ----------
    name
        ``connected``: the socket is open; nothing is subscribed yet. ``subscribed``: the exchange has acknowledged the subscription;
        what is sent from here on is complete, as far as the stream's proof goes. ``refused``: the exchange has refused it, *text* says
        why, and it is not tried again. ``heartbeat``: the connection is alive though nothing happens. ``slow``: reading has stopped
        for a while because rows are not stored fast enough. ``gap``: rows are missing whose times lie in *span*; *first* and *last* are the numbers that are missing, if they are known. ``resynchronised``: the book
        begins anew with a whole snapshot. ``disconnected``: nothing more can come over this connection; *text* says why.
        ``interval_complete``: every bar of the interval ``span`` has been delivered.
        ``stopped``: nobody collects the stream any more.
    at
        When it happened by this machine's clock, in nanoseconds.
    dataset
        Of which stream; ``None`` for all of the feed.
    """

    name: ControlName
    at: int
    dataset: Dataset | None = None
    text: str = ""
    span: Span | None = None
    first: int | None = None
    last: int | None = None


def wanted_rows(rows: list[Row], datasets: Mapping[RowKey, Dataset]) -> list[Row]:
    """Return the rows that belong to a stream."""
    if len(rows) == 1:
        # Nearly all messages: nothing is copied.
        return rows if row_key(rows[0]) in datasets else []
    wanted: list[Row] = []
    last_key: RowKey | None = None
    is_wanted = False
    for row in rows:
        key = row_key(row)
        if key != last_key:
            last_key, is_wanted = key, key in datasets
        if is_wanted:
            wanted.append(row)
    return wanted


class LiveMessage(NamedTuple):
    """What one message of a socket brought. Every message is delivered, also one without rows: counters have to balance.

    It is a named tuple because it is quick to make, and there are a hundred thousand a second.

    Parameters
    ----------
    received_at
        When it was received, by this machine's clock, in nanoseconds.
    rows
        Its rows in the order in which the exchange sent them.
    controls
        What happened before its rows: they are handled first.
    is_known
        False if no reader understood it: it is counted as ``unparsed``, with *raw* beside.
    raw
        The message as it was received, empty if nobody captures.
    is_withheld
        Whether it has rows of a book that were left out, because the book was not whole: a replay leaves them out, too.
    """

    received_at: int
    rows: Sequence[Row] = ()
    controls: Sequence[Control] = ()
    is_known: bool = True
    raw: bytes = b""
    is_withheld: bool = False


class Sink(Protocol):
    """Who takes the messages of feeds."""

    async def put(self, feed: Feed, message: LiveMessage) -> None:
        """Take a message. It returns at once, unless rows cannot be stored fast enough: then it returns when they can.

        A feed does not read from its socket meanwhile.
        """


class Feed(ABC):
    """One connection to an exchange, with the subscriptions that it carries.

    Its obligations: a subscription counts only once the exchange has acknowledged it, within a deadline; a socket that is open and silent for
    longer than the stream's usual rate allows is given up; a lost connection comes back by itself, with growing pauses and jitter; a
    message that cannot be read never ends the feed; everything that breaks the proof of a stream is told as a ``gap``, and a book is then
    resynchronised. A planned end of a connection (24 hours) is prepared by a second one, so that no hole opens.

    Attributes
    ----------
    exchange
        CCXT's id.
    subscriptions
        What it carries.
    datasets
        The dataset of each row by its key.
    endpoint
        Where rows come from: its socket, or calls.
    depths
        How many levels a side the subscriptions to books have, where the exchange does not say which levels fall out.
    """

    endpoint = "socket"
    depths: Mapping[Dataset, int] = MappingProxyType({})
    exchange: str
    subscriptions: tuple[Subscription, ...]
    datasets: Mapping[RowKey, Dataset]

    @abstractmethod
    async def run(self, sink: Sink) -> None:
        """Deliver messages until the task is cancelled, over as many connections as it takes.

        Raises
        ------
        TicklakeError
            Only what no new connection can cure: all subscriptions were refused.
        """
