"""Checks of the exchanges that a lake uses: whether they answer, what their clocks say, and whether they asked for a pause."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from ticklake.app import LIMITS_FILE, wire_source
from ticklake.core.time import SECOND, format_time
from ticklake.errors import TicklakeError, Unsupported
from ticklake.interfaces.doctor.findings import Finding, ok, warning, wrong

if TYPE_CHECKING:
    from ticklake.config import Settings
    from ticklake.lake import Lake

__all__ = ["reached", "used_by"]

_LONGEST = 10.0
"""Seconds that an exchange has to answer."""
_ASKED = 0.001
"""A source that tells the time within fewer seconds did not ask for it: the exchange tells none."""
_SKEW, _MOST_SKEW = 1.0, 10.0
"""Seconds that the clocks may differ: signed calls are refused from some seconds on."""


def used_by(lake: Lake) -> list[str]:
    """Return the exchanges that the lake collects from."""
    return sorted({dataset.exchange for dataset in lake.collected()} | _streamed(lake))


def _streamed(lake: Lake) -> set[str]:
    return {name.partition(":")[0] for name in lake.runs.kept_up()}


def reached(names: Sequence[str], settings: Settings) -> Iterator[Finding]:
    """Ask each exchange for its time, all at once."""
    # A first refusal is the answer here; elsewhere it is tried again for minutes.
    impatient = settings.retry.model_copy(update={"attempts": 1})
    settings = settings.model_copy(update={"retry": impatient})
    yield from _pauses(settings)
    yield from asyncio.run(_all(names, settings))


async def _all(names: Sequence[str], settings: Settings) -> list[Finding]:
    return list(await asyncio.gather(*(_asked(name, settings) for name in names)))


async def _asked(name: str, settings: Settings) -> Finding:
    try:
        source = wire_source(name, settings, archives=False)
    except TicklakeError as error:
        return warning(name, str(error), "install the package that serves it, or leave it")
    try:
        async with asyncio.timeout(_LONGEST):
            began, before = time.perf_counter(), time.time_ns()
            theirs = await source.now()
            took = time.perf_counter() - began
            if took < _ASKED:
                await source.instruments()
                return ok(
                    name, f"answered after {(time.perf_counter() - began) * 1000:.0f} ms; it does not tell its time"
                )
        return _compared(name, theirs, (before + time.time_ns()) // 2, took)
    except Unsupported:
        return ok(name, "was not asked: it has nothing that can be asked for without a symbol")
    except (TicklakeError, TimeoutError) as error:
        return wrong(
            name, f"no answer: {error or f'within {_LONGEST:g} s'}", "check the network, a proxy, and its status page"
        )
    finally:
        await source.close()


def _compared(name: str, theirs: int, ours: int, took: float) -> Finding:
    """Compare the time that an exchange told with ours in the middle of the call."""
    ahead = (ours - theirs) / SECOND
    text = f"answered after {took * 1000:.0f} ms; this clock is {ahead:+.1f} s off its own"
    # On the way to the exchange and back, up to half of the time is not known.
    certain = abs(ahead) - took / 2
    if certain > _MOST_SKEW:
        return wrong(name, text, "set the clock by NTP: timedatectl set-ntp true")
    if certain > _SKEW:
        return warning(name, text, "set the clock by NTP: timedatectl set-ntp true")
    return ok(name, text)


def _pauses(settings: Settings) -> Iterator[Finding]:
    """Yield who is not called now, because an exchange asked for a pause."""
    path = Path(settings.state).expanduser() / LIMITS_FILE
    now = time.time_ns() // 1_000_000
    if not path.is_file():
        return
    # Read only: to take a turn would make an exchange that asked for a pause wait for us.
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            query = "SELECT key, paused_until, is_ban FROM turns WHERE paused_until > ? AND paused_at <= ?"
            rows = connection.execute(query, (now, now)).fetchall()
    except sqlite3.Error as error:
        yield warning("rate limits", f"{path} cannot be read: {error}", "remove it: it is made again")
        return
    for key, until, is_ban in rows:
        what = "asked for a pause"
        if is_ban:
            what = "has banned this address"
        yield warning("rate limits", f"{key} {what} until {format_time(until * 1_000_000)}", "wait; all processes do")
