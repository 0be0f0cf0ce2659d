"""What exchanges answer to the subscriptions that ccxt.pro makes: by words, as each has a form of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ticklake.core.dataset import Dataset

__all__ = ["accepts", "names", "refuses", "text_of"]

_WORDS = frozenset({"error", "failed", "failure", "invalid"})


def refuses(message: Mapping[str, Any]) -> bool:
    """Whether a control message refuses a subscription."""
    if message.get("success") is False or message.get("error"):
        return True
    named = {str(message.get(name)).lower() for name in ("event", "type", "status", "msg_type")}
    return bool(_WORDS & named) or any(name.endswith(":error") for name in named)


def accepts(message: Mapping[str, Any]) -> bool:
    """Whether a control message is an answer to a subscription, rather than a greeting or a heartbeat."""
    return "subscri" in text_of(message).lower() or "subbed" in message or "id" in message


def names(text: str, native: str, dataset: Dataset) -> bool:
    """Whether an answer names a market."""
    lowered = text.lower()
    return any(f"{name.lower()}" in lowered for name in (native, str(dataset.symbol)) if name)


def text_of(message: Any) -> str:
    """Return a message as text."""
    if isinstance(message, str):
        return message
    return json.dumps(message, separators=(",", ":"), default=str)
