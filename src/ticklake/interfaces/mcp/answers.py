"""Answers of tools: JSON of a bounded size that says what was left out. A model pays for each word that it reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ticklake.interfaces.schema import to_json

__all__ = ["MOST_BYTES", "MOST_ROWS", "answer_of", "bounded"]

MOST_ROWS = 500
MOST_BYTES = 60_000


def answer_of(rows: Sequence[Any], limit: int, *, total: int | None = None, hint: str = "", **facts: Any) -> str:
    """Return rows as JSON with ``rows``, ``complete``, and a ``note`` if some were left out.

    Parameters
    ----------
    rows
        What is to be shown.
    limit
        At most so many.
    total
        How many there are, if *rows* are not all.
    hint
        How to ask for less, or for the others.
    facts
        Fields that stand before the rows.
    """
    if total is None:
        total = len(rows)
    shown = to_json(rows[: min(limit, MOST_ROWS)])
    text = _text(shown, total, hint, facts)
    # Halved until it fits: rows differ in size, and one look at each is enough.
    while len(text) > MOST_BYTES and shown:
        shown = shown[: len(shown) // 2]
        text = _text(shown, total, hint, facts)
    if not shown and rows:
        hint = f"The first one alone is larger than {MOST_BYTES:,} characters: ask for fewer columns, or for parts of texts."
        text = _text(shown, total, hint, facts)
    return text


def _text(shown: Sequence[Any], total: int, hint: str, facts: Mapping[str, Any]) -> str:
    answer: dict[str, Any] = {**to_json(facts), "rows": len(shown), "complete": len(shown) == total}
    if len(shown) < total:
        answer["note"] = f"{len(shown):,} of {total:,} are shown. {hint}".strip()
    return json.dumps({**answer, "data": shown}, ensure_ascii=False)


def bounded(value: Any, shorter: Callable[[Any], Any]) -> str:
    """Return a value as JSON; if it is too large, what *shorter* makes of it."""
    text = json.dumps(to_json(value), ensure_ascii=False)
    if len(text) <= MOST_BYTES:
        return text
    return json.dumps(to_json(shorter(value)), ensure_ascii=False)
