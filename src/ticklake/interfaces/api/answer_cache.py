"""Answers that were sent before: what many pages ask for again and again is written once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

__all__ = ["AnswerCache"]

_LARGE = 8
"""An answer that takes more than this part of the budget is not kept: it would push out what is asked for often."""
Answer = TypeVar("Answer")


class AnswerCache(Generic[Answer]):
    """Keeps answers by their ETag, up to *budget* bytes; those used longest ago go first.

    A tag changes whenever the answer may, so nothing in here is ever out of date. All methods may be called from any thread.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._size = 0
        self._answers: OrderedDict[str, tuple[int, Answer]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Bytes of all answers."""
        return self._size

    def get(self, tag: str) -> Answer | None:
        """Return the answer with a tag, if it is here."""
        with self._lock:
            found = self._answers.get(tag)
            if found is None:
                return None
            self._answers.move_to_end(tag)
            return found[1]

    def add(self, tag: str, answer: Answer, size: int) -> None:
        """Keep an answer of so many bytes."""
        if size > self._budget // _LARGE:
            return
        with self._lock:
            self._size += size - self._answers.pop(tag, (0, None))[0]
            self._answers[tag] = size, answer
            while self._size > self._budget:
                _, (dropped, _) = self._answers.popitem(last=False)
                self._size -= dropped
