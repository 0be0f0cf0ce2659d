"""Examples of what routes answer that act, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from ticklake.interfaces.api.openapi import answers_object

__all__ = [
    "DONE",
    "IMPORTED",
    "JOB",
    "OPERATION",
    "RECEIPT",
    "RUN",
    "SCHEDULE",
    "STREAM",
    "UPLOADED",
    "answers_page",
    "made",
    "shown",
]

_PARAMETERS = {"exchange": "binance", "symbols": ["BTC/USDT"], "timeframe": "1h", "start": "2024-01-01T00:00:00Z"}
JOB: dict[str, Any] = {
    "id": 12,
    "status": "running",
    "state": "running",
    "operation": "backfill",
    "subject": "binance:ohlcv:1h:BTC/USDT",
    "parameters": _PARAMETERS,
    "priority": 0,
    "attempts": 1,
    "max_attempts": 5,
    "progress": 0.25,
    "done": 0.25,
    "seconds_left": 90.0,
    "created": "2024-06-01T12:00:00Z",
    "due": "2024-06-01T12:00:00Z",
    "started": "2024-06-01T12:00:01Z",
    "finished": None,
    "owner": "host:4711",
    "cancelling": False,
    "outcome": "",
}
RUN: dict[str, Any] = {
    "id": 34,
    "job": 12,
    "state": "succeeded",
    "operation": "backfill",
    "subject": "binance:ohlcv:1h:BTC/USDT",
    "started": "2024-06-01T12:00:01Z",
    "finished": "2024-06-01T12:02:00Z",
    "done": 1.0,
    "outcome": "3,648 new",
    "parameters": _PARAMETERS,
    "progress": {"new": 3648},
}
SCHEDULE: dict[str, Any] = {
    "name": "hourly",
    "operation": "update",
    "when": "5 * * * * UTC",
    "parameters": {},
    "priority": 0,
    "paused": False,
    "managed": False,
    "next": "2024-06-01T13:05:00Z",
    "last": "2024-06-01T12:05:00Z",
    "last_job": 12,
    "missed": 0,
}
STREAM: dict[str, Any] = {
    "dataset": "binance:trades:BTC/USDT",
    "state": "live",
    "rate": 24.5,
    "stored": 14_000,
    "waiting": 12,
    "gaps": 0,
    "reconnects": 0,
    "proof": "ids",
}
OPERATION: dict[str, Any] = {
    "name": "compact",
    "description": "Make few large files of many small segments.",
    "role": "admin",
    "parameters": [{"name": "dataset", "required": False, "default": None}],
}
RECEIPT: dict[str, Any] = {
    "data": {
        "received": 3,
        "new": 2,
        "changed": 0,
        "duplicate": 1,
        "quarantined": 0,
        "version": 41,
        "reasons": {},
    }
}
DONE: dict[str, Any] = {"dataset": "binance:trades:BTC/USDT", "rows": 1440, "dry_run": True}
IMPORTED: dict[str, Any] = {
    "id": "6f1c2f0f5d6b4f0a9f3f2d5c8a7b6e1d",
    "dry_run": False,
    "reports": [
        {
            "path": "trades.csv.gz",
            "state": "imported",
            "dataset": "kraken:trades:BTC/USD",
            "rows": 1000,
            "new": 1000,
            "format": "csv.gz",
            "mapping": {"columns": {"ts": "time", "price": "price", "amount": "volume"}, "unit": "s"},
        }
    ],
}
UPLOADED: dict[str, Any] = {**IMPORTED, "filename": "trades.csv.gz", "dry_run": True}


def answers_page(example: dict[str, Any], *, has_more: bool = False) -> dict[int | str, dict[str, Any]]:
    """Return what a route answers that returns a list, of which *example* is a member."""
    cursor = None
    if has_more:
        cursor = example.get("id")
    return answers_object({"rows": 1, "complete": not has_more, "next": cursor, "data": [example]})


def made(example: dict[str, Any], status: int = 201) -> dict[int | str, dict[str, Any]]:
    """Return what a route answers that makes something."""
    return answers_object(example, status)


def shown(example: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """Return what a route answers that returns one thing."""
    return answers_object(example)
