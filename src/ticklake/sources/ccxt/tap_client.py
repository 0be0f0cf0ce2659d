"""An instance of ccxt.pro's class of an exchange whose messages, ends and errors go through hooks."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from ticklake.sources.ccxt.client import addresses_at
from ticklake.sources.ccxt.quirks import quirks_of
from ticklake.sources.live.options import FeedOptions
from ticklake.sources.wire.decode import LARGEST, gunzipped, inflated

__all__ = ["Hooks", "tapped_exchange"]

_MAY_BE_HUGE = LARGEST // 1032
"""Bytes of a compressed message: deflate makes them no more than 1,032 times as many."""
_DATA = frozenset({"TEXT", "BINARY"})
"""The sorts of frames that carry messages."""


class Hooks(Protocol):
    """What is called for each frame of a socket, and when a connection ends."""

    def on_message(self, handle: Callable[[], object], message: Any) -> None:
        """Take a decoded message; *handle* lets ccxt handle it."""

    def on_unreadable(self, data: bytes | str) -> None:
        """Take a message that ccxt cannot decode or unpack, or that cannot be handed over."""

    def on_end(self, reason: str) -> None:
        """Take note that a connection has ended."""

    async def gate(self) -> None:
        """Wait until the next frame may be read."""


def tapped_exchange(exchange: str, options: FeedOptions, hooks: Hooks) -> Any:
    """Return an instance of ccxt's class whose messages go through *hooks*."""
    base = getattr(importlib.import_module("ccxt.pro"), exchange)

    def handle_message(self: Any, client: Any, message: Any) -> None:
        hooks.on_message(lambda: base.handle_message(self, client, message), message)

    def on_error(self: Any, client: Any, error: Any) -> None:
        base.on_error(self, client, error)
        hooks.on_end(f"the connection broke: {error}")

    def on_close(self: Any, client: Any, code: Any) -> None:
        base.on_close(self, client, code)
        hooks.on_end(f"the exchange closed the connection (code {code})")

    def make_client(self: Any, url: str) -> Any:
        client = base.client(self, url)
        if not hasattr(client, "ticklake_receive"):
            client.ticklake_receive = client.receive
            client.receive = lambda: _gated(hooks, client.ticklake_receive)
            client.handle_message = partial(_guarded, hooks, client, client.handle_message)
        return client

    def sort_by_2(rows: Any, first: Any, second: Any, descending: bool = False) -> Any:
        # ccxt puts trades of one millisecond in the order of their ids as text: 10 before 2.
        if (first, second) == ("timestamp", "id"):
            return rows
        return base.sort_by_2(rows, first, second, descending)

    members = {
        "sort_by_2": staticmethod(sort_by_2),
        "handle_message": handle_message,
        "on_error": on_error,
        "on_close": on_close,
        "client": make_client,
    }
    made = type(f"Tapped{exchange}", (base,), members)(_settings(exchange, options))
    if options.url is not None:
        made.urls["api"] = addresses_at(made.urls["api"], options.url)
    return made


def _guarded(hooks: Hooks, client: Any, handle: Callable[[Any], object], message: Any) -> None:
    """Let ccxt handle a frame of a socket: an error would end its loop of reading, while the socket stays open."""
    try:
        if message.type.name == "BINARY" and len(message.data) > _MAY_BE_HUGE:
            _refuse_huge(client, message.data)
        handle(message)
    except Exception:
        if message.type.name not in _DATA:
            raise
        hooks.on_unreadable(message.data)


def _refuse_huge(client: Any, data: bytes) -> None:
    """Raise if a message is larger than any when it is unpacked: ccxt unpacks whatever comes."""
    if client.gunzip:
        gunzipped(data)
    elif client.inflate:
        inflated(data)


async def _gated(hooks: Hooks, receive: Callable[[], Any]) -> Any:
    await hooks.gate()
    return await receive()


def _settings(exchange: str, options: FeedOptions) -> dict[str, Any]:
    # The caches hold what one message appended, and are emptied after it: a limit would push trades of a large message out.
    limits = {"tradesLimit": 0, "OHLCVLimit": 0}
    settings: dict[str, Any] = {
        "timeout": int(options.connect_timeout * 1000),
        "options": {**limits, "ws": {"connectionTimeout": max(int(options.connect_timeout * 1000), 1000)}},
    }
    if quirks_of(exchange).id_space == "agg":
        # The numbering that calls for history return.
        settings["options"]["watchTrades"] = {"name": "aggTrade"}
    return settings
