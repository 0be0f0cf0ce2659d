"""Joins, panels and events by received time use nothing that was not known; by event time the check finds what they use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import polars as pl
import pytest

from ticklake.app import memory_lake
from ticklake.core.kinds import TIME
from ticklake.core.time import HOUR, MINUTE
from ticklake.errors import LooksAhead
from ticklake.lake import Lake
from ticklake.lake.view import View
from ticklake.testing import check_no_lookahead
from ticklake.testing.clocks import ManualClock
from ticklake.testing.rows import START

from .lookahead_lakes import BARS, FUNDING, HOURS, LATER, OPEN_INTEREST, QUOTES, TRADES, fill, instants_before

CUT = START + 31 * HOUR


@pytest.fixture(scope="module")
def lake() -> Iterator[Lake]:
    clock = ManualClock(LATER)
    with memory_lake(clock=clock) as lake:
        fill(lake, clock)
        yield lake


def frame_until(at: int) -> pl.DataFrame:
    """Return instants of three hours up to *at*, not in order."""
    back = np.array([0, 3 * HOUR, 1, MINUTE, HOUR, 7 * MINUTE + 3])
    return pl.DataFrame({"ts": pl.Series(at - back, dtype=pl.Int64).cast(TIME)})


def joined(lake: View, at: int, **options: Any) -> list[Any]:
    answers = [lake.asof(frame_until(at), name, **options) for name in (BARS, HOURS, TRADES, FUNDING, QUOTES)]
    return [answer.rows() for answer in answers]


def joined_young(lake: View, at: int) -> list[Any]:
    return joined(lake, at, max_age="2m", allow_exact=False, knowledge="received")


def panels(lake: View, at: int) -> list[Any]:
    bars = lake.panel("x", "*", "1m", ["close", "volume"], at - 2 * HOUR, known_at=at)
    trades = lake.panel("x", "*", kind="trades", column="price", start=at - HOUR, known_at=at, wide=False)
    return [bars.rows(), trades.rows()]


def replayed(lake: View, at: int, by: str = "received") -> list[Any]:
    events = lake.iterate([BARS, TRADES, QUOTES, FUNDING, OPEN_INTEREST], at - HOUR, at + 1, by=by)
    return [(event.time, str(event.dataset), event.row) for event in events]


@pytest.mark.parametrize("function", [joined, panels, replayed, pytest.param(joined_young, marks=pytest.mark.slow)])
def test_nothing_looks_ahead(lake, function: Callable[[View, int], Any]):
    # While bars of the hours before are corrected, and where nothing is.
    instants = [START + 6 * HOUR, START + 8 * HOUR, *instants_before(CUT, 6, seed=2).tolist()]
    report = check_no_lookahead(function, lake, exchange="x", symbol="BTC/USDT", instants=instants, history="2d")
    assert report.compared >= 3 * len(instants)


@pytest.mark.parametrize(
    "leaky",
    [
        lambda lake, at: joined(lake, at, knowledge="event"),
        lambda lake, at: replayed(lake, at, by="exchange"),
        lambda lake, at: lake.panel("x", "*", "1m", "close", at - 2 * HOUR).rows(),
        lambda lake, at: lake.markout(TRADES, TRADES, at - HOUR, at, offsets="1m").rows(),
    ],
    ids=["asof by event time", "events by exchange time", "panel of now", "markout"],
)
def test_what_looks_ahead_is_found(lake, leaky: Callable[[View, int], Any]):
    with pytest.raises(LooksAhead):
        check_no_lookahead(leaky, lake, exchange="x", symbol="BTC/USDT", instants=[CUT - 2 * MINUTE, CUT])
