"""How work grows with its size: what a test may claim on a machine that others use, too."""

from __future__ import annotations

import time
from collections.abc import Callable

TRIES = 3


def growth(work: Callable[[int], object], small: int, large: int) -> float:
    """Return how many times as much CPU time *work* of size *large* takes as work of size *small*.

    The quickest of several tries counts on both sides: others on the machine can make work slower, never quicker.
    """
    return _quickest(work, large) / _quickest(work, small)


def _quickest(work: Callable[[int], object], size: int) -> float:
    seconds = []
    for _ in range(TRIES):
        began = time.process_time()
        work(size)
        seconds.append(time.process_time() - began)
    return min(seconds)
