"""Faults of the simulated exchange, as real exchanges have them; each has a switch."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from ticklake.core.display import field_values
from ticklake.errors import BadInput

__all__ = ["Faults", "Failure"]


@dataclass(frozen=True, slots=True)
class Faults:
    """Which faults are on. ``..._every`` = n hits every n-th market-data request; 0 is never.

    Parameters
    ----------
    rate_limit_every, retry_after
        429 with ``Retry-After: retry_after``.
    calls_per_second
        429 for calls beyond this number in any second; 0 is no limit.
    ban_every
        418, the last warning before a ban.
    error_every
        503.
    timeout_every, timeout_seconds
        The answer comes *timeout_seconds* late.
    truncate_every
        The JSON text stops in the middle.
    error_body_every
        HTTP 200 with an error as its body.
    empty_every
        An answer without rows where there are some.
    duplicate_rows, shuffle_rows
        Rows come twice, in another order.
    late_final
        For this many seconds after its close a bar's volume is still too low.
    burst
        This many trades in the middle of every market's history fall on one instant.
    forming
        The bar that is not over yet is served like any other, as real exchanges do.
    archive_missing_every, archive_corrupt_every
        Every n-th day (counted from 1970; a month goes by its first day) has no file in the archive, or one
        whose checksum is wrong.
    archive_truncate_every
        Every n-th answer of the archive breaks off in the middle.
    archive_no_range
        The archive ignores ranges and sends each file from its beginning.
    archive_rate
        The archive sends this many bytes per second; 0 is no limit.
    archive_header
        Spot files of the archive have a header too.
    seed
        Draws what happens on WebSockets. The same seed and market bring the same faults at the same messages.
    socket_drop, socket_silence, socket_gap, socket_duplicate, socket_reorder, socket_checksum
        The share of the messages (0 to 1) instead of which the connection breaks, with which it falls silent until
        the client connects again, which are left out, which come twice, which come after the next one, and whose
        checksum is wrong.
    socket_reject, socket_half
        The share of the subscriptions that are refused, and of those requests for several streams of which
        only the first half is subscribed to.
    socket_slow_bytes
        A client that is this many bytes behind is disconnected; 0 waits for it.
    socket_restart_every, socket_restart_seconds
        All WebSockets close every so many seconds of the exchange's time, and none opens for that many; 0 is never.
    socket_skew
        The times of events, not those of trades, are this many seconds off.
    """

    rate_limit_every: int = 0
    retry_after: float = 0.05
    calls_per_second: int = 0
    ban_every: int = 0
    error_every: int = 0
    timeout_every: int = 0
    timeout_seconds: float = 3.0
    truncate_every: int = 0
    error_body_every: int = 0
    empty_every: int = 0
    duplicate_rows: bool = False
    shuffle_rows: bool = False
    late_final: float = 0.0
    burst: int = 0
    forming: bool = True
    archive_missing_every: int = 0
    archive_corrupt_every: int = 0
    archive_truncate_every: int = 0
    archive_no_range: bool = False
    archive_rate: float = 0.0
    archive_header: bool = False
    seed: int = 0
    socket_drop: float = 0.0
    socket_silence: float = 0.0
    socket_gap: float = 0.0
    socket_duplicate: float = 0.0
    socket_reorder: float = 0.0
    socket_checksum: float = 0.0
    socket_reject: float = 0.0
    socket_half: float = 0.0
    socket_slow_bytes: int = 0
    socket_restart_every: float = 0.0
    socket_restart_seconds: float = 5.0
    socket_skew: float = 0.0

    @classmethod
    def everything(cls) -> Faults:
        """Return faults with all switches on, except the ban, and the burst, which changes the data itself."""
        return cls(
            rate_limit_every=7,
            error_every=11,
            timeout_every=29,
            truncate_every=13,
            error_body_every=17,
            empty_every=5,
            duplicate_rows=True,
            shuffle_rows=True,
            late_final=600.0,
            archive_missing_every=5,
            archive_corrupt_every=4,
            archive_truncate_every=3,
        )

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Faults:
        """Read texts like ``error_every=5`` and ``all``.

        Raises
        ------
        BadInput
            If a text names no switch or no number.
        """
        faults = cls()
        for text in texts:
            if text == "all":
                faults = cls.everything()
                continue
            name, _, value = text.partition("=")
            try:
                faults = faults.changed({name: json.loads(value or "true")})
            except json.JSONDecodeError:
                raise BadInput(f"{text!r} is not a fault: write it like error_every=5") from None
        return faults

    def changed(self, values: dict[str, Any]) -> Faults:
        """Return these faults with some switches set.

        Raises
        ------
        BadInput
            If there is no such switch.
        """
        current = field_values(self)
        for name in values:
            if name not in current:
                raise BadInput(f"there is no fault {name!r}: use {', '.join(current)}")
        for name, value in values.items():
            if not _fits(value, current[name]) or (value < 0 and name != "socket_skew"):
                raise BadInput(f"fault {name} cannot be {value!r}: it is like {getattr(Faults(), name)!r}")
        return replace(self, **values)


def _fits(value: Any, like: object) -> bool:
    if isinstance(like, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(like, bool)
    return isinstance(value, int | float) and (isinstance(like, float) or isinstance(value, int))


@dataclass(frozen=True, slots=True)
class Failure:
    """The fault of one request, by its name."""

    name: str

    @classmethod
    def of(cls, faults: Faults, number: int) -> Failure | None:
        """Return the failure of request *number*, counted from 1, or ``None``."""
        intervals = {
            "ban": faults.ban_every,
            "rate_limit": faults.rate_limit_every,
            "error": faults.error_every,
            "timeout": faults.timeout_every,
            "truncate": faults.truncate_every,
            "error_body": faults.error_body_every,
            "empty": faults.empty_every,
        }
        for name, every in intervals.items():
            if every and number % every == 0:
                return cls(name)
        return None
