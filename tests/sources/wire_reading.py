"""Read messages of exchanges in tests: what they say as plain values."""

from __future__ import annotations

from typing import Any

from ticklake.core.kinds import kind_of
from ticklake.core.time import format_time
from ticklake.sources.wire.channels import Channels
from ticklake.sources.wire.messages import read_message
from ticklake.sources.wire.reading import Mark, Reading

HEARD = 1_700_000_000_123_456_789
"""When messages are received in tests."""


def reading_of(exchange: str, *messages: Any) -> Reading:
    """Return what the last of several messages of one connection says."""
    channels = Channels()
    for message in messages:
        sort = channels.of(message)
    assert not sort.is_control
    reading = read_message(message, HEARD, channels.subscription_of(message), exchange=exchange)
    assert reading is not None
    return reading


def marks_of(exchange: str, *messages: Any) -> list[Mark]:
    return reading_of(exchange, *messages).marks


def channel_of(*messages: Any) -> str:
    """Return the channel of the last message, ``control`` if it has none."""
    channels = Channels()
    for message in messages:
        sort = channels.of(message)
    return sort.channel


def rows_of(exchange: str, *messages: Any) -> list[dict[str, Any]]:
    """Return rows as mappings without what is null: kind, native name, market, and columns with times as text."""
    rows = []
    for row in reading_of(exchange, *messages).rows:
        kind = kind_of(row.kind)
        values = dict(zip(kind.names, row.values, strict=True))
        for column in kind.columns:
            if column.is_temporal and values[column.name] is not None:
                values[column.name] = format_time(values[column.name])
        if values.get("received_at") == format_time(HEARD):
            del values["received_at"]
        named = {
            "kind": row.kind,
            "native": row.native,
            "market": row.market,
            "timeframe": row.timeframe or None,
            **values,
        }
        rows.append({name: value for name, value in named.items() if value is not None})
    return rows


def levels_of(exchange: str, *messages: Any) -> list[tuple[Any, ...]]:
    """Return the levels of a book: side, price, amount, and whether they are of a whole book."""
    rows = rows_of(exchange, *messages)
    return [(row["side"], row["price"], row["amount"], row["is_snapshot"]) for row in rows if row["kind"] == "book"]
