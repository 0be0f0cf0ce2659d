"""Retries: a failed call is repeated if that can help, after waits that grow and jitter."""

from __future__ import annotations

from collections.abc import Callable

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from ticklake.core.retry import RetryPolicy
from ticklake.errors import TicklakeError

__all__ = ["retrying"]


def retrying(retry: RetryPolicy, tell: Callable[[str], object] = lambda _text: None) -> AsyncRetrying:
    """Return a loop that repeats what raises a retriable error. *tell* gets the reason before each repetition."""

    def tell_reason(state: RetryCallState) -> None:
        if state.outcome is not None:
            tell(f"asked again after: {state.outcome.exception()}")

    return AsyncRetrying(
        retry=retry_if_exception(lambda error: isinstance(error, TicklakeError) and error.retriable),
        stop=stop_after_attempt(retry.attempts),
        wait=wait_random_exponential(multiplier=retry.first_wait, max=retry.longest_wait),
        before_sleep=tell_reason,
        reraise=True,
    )
