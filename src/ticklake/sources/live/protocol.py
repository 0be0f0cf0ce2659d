"""What a driver must know of an exchange's WebSocket API: addresses, subscriptions, answers, limits. Descriptions only: no I/O."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ticklake.core.instrument import Instrument
from ticklake.core.native_ids import Market
from ticklake.errors import Unsupported
from ticklake.sources.live.base import RowKey, Subscription
from ticklake.sources.wire.messages import READERS
from ticklake.sources.wire.reading import Mark, Reader

__all__ = ["Limits", "Protocol", "Reply", "Stream", "market_of"]


@dataclass(frozen=True, slots=True)
class Stream:
    """A subscription in the exchange's words.

    Parameters
    ----------
    native, market
        The exchange's name of the market in messages, and the part of the exchange that it belongs to.
    channel
        The name that the exchange gives to the stream of this market, and that its answers can be matched with. Two subscriptions may
        share one: open interest and funding of Bybit's tickers.
    key
        The key of its rows.
    depth
        How many levels on each side the exchange sends, for books.
    """

    subscription: Subscription
    native: str
    market: Market
    channel: str
    key: RowKey
    depth: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may carry.

    Parameters
    ----------
    streams, per_message
        Channels of a connection, and those that one message may subscribe to.
    messages_per_second
        How fast messages may be sent.
    lifetime
        After how many seconds the exchange ends a connection, if it does.
    """

    streams: int
    per_message: int
    messages_per_second: float
    lifetime: float | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What a message says about the connection, rather than about a market.

    Parameters
    ----------
    name
        ``accepted`` or ``refused`` subscriptions; ``listed``: all that are subscribed; ``alive``: a heartbeat, or an answer to a ping;
        ``notice``: something else.
    number
        The number of the request that it answers, if it tells.
    channels
        The channels that it is about; empty for all of the request.
    text
        Why it was refused.
    response
        What must be sent back.
    """

    name: Literal["accepted", "refused", "listed", "alive", "notice"]
    number: int | None = None
    channels: tuple[str, ...] = ()
    text: str = ""
    response: str = ""


class Protocol(ABC):
    """One exchange's public WebSocket API. It is stateless: all connections share it.

    Attributes
    ----------
    exchange
        The exchange whose readers read the messages.
    ping
        The text of a ping, for exchanges that do not answer (or count) pings of the WebSocket protocol; empty for those that do.
    ping_every
        After how many seconds at most a ping must be sent.
    sends_heartbeats
        Whether the exchange itself sends something when nothing happens: then silence of its streams is not suspicious.
    needs_snapshots
        Whether books begin with an answer to a call (Binance); the other exchanges send the whole book first.
    numbers_requests
        Whether answers can be told apart. If not, a request waits for the answer to the one before.
    """

    exchange: str
    ping: str = ""
    ping_every: float = 15.0
    sends_heartbeats: bool = False
    needs_snapshots: bool = False
    numbers_requests: bool = True

    @property
    def readers(self) -> tuple[Reader, ...]:
        """The readers of its messages."""
        return READERS[self.exchange]

    @abstractmethod
    def stream(self, subscription: Subscription, instrument: Instrument) -> Stream:
        """Return the stream for a subscription.

        Raises
        ------
        Unsupported
            If the exchange has none.
        """

    @abstractmethod
    def url(self, stream: Stream) -> str:
        """Return the address of the connection that carries a stream."""

    @abstractmethod
    def limits(self, market: Market) -> Limits:
        """Return the limits of a connection to a part of the exchange."""

    @abstractmethod
    def subscribe(self, streams: Sequence[Stream], number: int) -> Mapping[str, Any]:
        """Return the request that subscribes to channels. They share one :meth:`group`."""

    @abstractmethod
    def unsubscribe(self, streams: Sequence[Stream], number: int) -> Mapping[str, Any]:
        """Return the request that ends subscriptions."""

    @abstractmethod
    def reply(self, message: Any) -> Reply | None:
        """Return what a message says about the connection; ``None`` if it is about a market. It must not raise."""

    def group(self, stream: Stream) -> str:  # noqa: ARG002
        """Return what streams must share to fit one request."""
        return ""

    def greetings(self) -> Sequence[Mapping[str, Any]]:
        """Return what is sent first on each connection."""
        return ()

    def list_request(self, number: int) -> Mapping[str, Any] | None:  # noqa: ARG002
        """Return the request for a list of what is subscribed, where an answer does not name what it accepts."""
        return None

    def connection_mark(self, message: Any) -> Mark | None:  # noqa: ARG002
        """Return the number of a message among all of its connection, answers and heartbeats included, if there is one."""
        return None

    def snapshot_url(self, stream: Stream) -> str:
        """Return the address of the call for a whole book."""
        raise Unsupported(f"{self.exchange} sends whole books itself: {stream.channel}")

    def unsupported(self, subscription: Subscription) -> Unsupported:
        """Return the error for a kind that has no stream."""
        kind = subscription.dataset.kind
        return Unsupported(f"{subscription.dataset.exchange} has no stream of {kind}: collect it by calls")


def market_of(instrument: Instrument) -> Market:
    """Return the part of its exchange that a market belongs to.

    Raises
    ------
    Unsupported
        For options.
    """
    details = instrument.details
    if instrument.market_type == "spot":
        return "spot"
    if instrument.market_type not in {"swap", "future"}:
        raise Unsupported(
            f"{instrument.symbol} is a market of type {instrument.market_type!r}: no streams of those are collected"
        )
    if details.get("inverse") or (instrument.settle and instrument.settle == instrument.base):
        return "inverse"
    return "linear"


def smallest_of(offered: Sequence[int], depth: int | None) -> int:
    """Return the smallest offered depth that has *depth* levels; the largest if none has, or for ``None``.

    >>> smallest_of((10, 100, 1000), 20), smallest_of((10, 100, 1000), None)
    (100, 1000)
    """
    for levels in offered:
        if depth is not None and levels >= depth:
            return levels
    return offered[-1]
