"""Fifteen ways in which look-ahead comes in: the checker catches each, and a frame does not fall for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest

from ticklake.app import memory_lake
from ticklake.core.kinds import TIME
from ticklake.core.time import DAY, HOUR, MINUTE, SECOND, US, parse_time
from ticklake.errors import LooksAhead
from ticklake.lake import Lake
from ticklake.lake.view import View
from ticklake.testing import check_no_lookahead
from ticklake.testing.clocks import ManualClock
from ticklake.testing.rows import START, bars

from .lookahead_lakes import BARS, FUNDING, HOURS, LATER, TRADES, fill, times

MINUTES = [START + 10 * HOUR + 7 * MINUTE, START + 10 * HOUR + 8 * MINUTE - 1, START + 31 * HOUR + 30 * MINUTE]
DAILY = "nyse:ohlcv:1d:AAPL"
WEEKLY = "kraken:ohlcv:1w:BTC/USD"


def until(rows: pl.DataFrame, at: int, length: int = 0) -> pl.DataFrame:
    """Return the rows of which these are the times, up to an instant."""
    return rows.filter(pl.col("ts").to_physical() + length <= at)


def last(rows: pl.DataFrame, column: str) -> float | None:
    return rows[column][-1] if rows.height else None


def frame(lake: View, at: int, **options: Any) -> Any:
    return lake.frame("x", "BTC/USDT", at, **options)


class Trap(NamedTuple):
    leaky: Callable[[View, int], Any]
    right: Callable[[View, int], Any]
    instants: list[int] = MINUTES
    options: Mapping[str, Any] = MappingProxyType({})


def open_label(lake: View, at: int) -> Any:
    return last(until(lake.load(BARS), at), "close")


def forming_bar(lake: View, at: int) -> Any:
    begin = at // MINUTE * MINUTE
    return lake.resample(TRADES, "1m", begin, begin + MINUTE, partial=True)["close"].to_list()


def first_partial_bar(lake: View, at: int) -> Any:
    return lake.resample(BARS, "1h", at - 20 * MINUTE, at + HOUR, partial=True)["volume"].head(1).to_list()


def empty_interval(lake: View, at: int) -> Any:
    """Fill what is empty from both sides."""
    rows = lake.load(BARS, at - HOUR, at + HOUR)
    grid = pl.DataFrame({"ts": pl.int_range(at - HOUR, at, MINUTE, eager=True).cast(TIME)})
    filled = grid.join(rows, on="ts", how="left").with_columns(pl.col("close").interpolate())
    nearest = grid.join_asof(rows, on="ts", strategy="nearest")["close"]
    return filled["close"].to_list(), nearest.to_list()


def trade_on_the_minute(lake: View, at: int) -> Any:
    """Count a trade at the very end of a minute as one of that minute."""
    end = -(-at // MINUTE) * MINUTE
    return lake.load(TRADES, end - MINUTE, end + 1).height


def late_trade(lake: View, at: int) -> Any:
    return lake.load(TRADES, at - HOUR, at + 1)["amount"].to_list()


def revised_bar(lake: View, at: int) -> Any:
    return until(lake.load(BARS, at - HOUR), at, MINUTE)["close"].to_list()


def backfilled_row(lake: View, at: int) -> Any:
    return lake.load("x:trades:OLD/USDT", at - HOUR, at + 1)["price"].to_list()


def warm_up(lake: View, at: int) -> Any:
    """Let an average begin where the newest 3,000 rows begin, which come after the instant, too."""
    known = until(lake.load(BARS, last=2_000), at, MINUTE)
    return last(known.select(pl.col("volume").ewm_mean(span=500)), "volume")


def session_and_daylight_saving(lake: View, at: int) -> Any:
    """Take the bar of a day for known at 20:00 UTC, when New York closes in summer; in winter it closes at 21:00."""
    return until(lake.load(DAILY), at, 20 * HOUR)["close"].to_list()


def week_from_monday(lake: View, at: int) -> Any:
    """Take weeks that begin on Thursday for weeks that begin on Monday."""
    return until(lake.load(WEEKLY), at, 4 * DAY)["close"].to_list()


def predicted_funding(lake: View, at: int) -> Any:
    """Take the rate that is settled next for the one that holds."""
    return lake.load(FUNDING, at, at + 8 * HOUR)["rate"].head(1).to_list()


def higher_timeframe(lake: View, at: int) -> Any:
    minutes = until(lake.load(BARS, at - HOUR), at, MINUTE)
    return minutes.join_asof(lake.load(HOURS), on="ts", suffix="_hour")["close_hour"].to_list()


def equal_keys(lake: View, at: int) -> Any:
    """Keep the last of the rows of one time, which was received after the instant."""
    rows = until(lake.load("x:trades:TWIN/USDT"), at)
    return rows.unique("ts", keep="last", maintain_order=True)["price"].to_list()


def unsorted_groups(lake: View, at: int) -> Any:
    """Join rows in the order in which they came, and not in which they happened."""
    right = lake.load(TRADES, at - HOUR, at + HOUR).drop_nulls("received_at").sort("received_at")
    left = pl.DataFrame({"ts": times(np.array([at])), "side": ["buy"]})
    joined = left.join_asof(right, on="ts", by="side", strategy="nearest", check_sortedness=False)
    return joined["price"].to_list()


def microseconds(lake: View, at: int) -> Any:
    """Compare times in microseconds: rows of the same microsecond count as known."""
    rows = lake.load(TRADES, at - MINUTE, at + MINUTE)
    return rows.filter(pl.col("ts").to_physical() // US <= at // US)["price"].to_list()


def before_a_trade(lake: Lake) -> list[int]:
    """Return an instant a nanosecond before a trade, in the same microsecond."""
    ts = lake.load(TRADES, START + 5 * HOUR)["ts"].to_physical()
    return ts.filter(ts % US > 1).head(1).to_list()


def late_ones(lake: Lake) -> list[int]:
    """Return instants at which a trade has happened and not yet come."""
    rows = lake.load(TRADES, START + 5 * HOUR)
    late = rows.filter((pl.col("received_at") - pl.col("ts")) > pl.duration(minutes=1))
    return (late["ts"].to_physical() + SECOND).head(3).to_list()


ON_THE_MINUTE = [START + 10 * HOUR + 7 * MINUTE - 1, START + 12 * HOUR - 1]
TRAPS = {
    "open label against close label": Trap(open_label, lambda lake, at: frame(lake, at)),
    "forming bar": Trap(forming_bar, lambda lake, at: frame(lake, at, timeframes="30s", kinds=[])),
    "first partial bar": Trap(first_partial_bar, lambda lake, at: frame(lake, at, timeframes="30m", kinds=[])),
    "empty interval": Trap(empty_interval, lambda lake, at: frame(lake, at, fill="forward")),
    "a trade at exactly hh:mm:00.000": Trap(
        trade_on_the_minute, lambda lake, at: frame(lake, at).trades.height, ON_THE_MINUTE
    ),
    "a trade that arrives after its bar was published": Trap(
        late_trade, lambda lake, at: frame(lake, at, timeframes="30s")
    ),
    "a revised bar": Trap(revised_bar, lambda lake, at: frame(lake, at), [START + 6 * HOUR + 30 * MINUTE]),
    "a back-filled row whose receive time is years later": Trap(
        backfilled_row,
        lambda lake, at: lake.frame("x", "OLD/USDT", at, knowledge="received"),
        [START + HOUR],
        {"symbol": "OLD/USDT", "knowledge": "received"},
    ),
    "indicator warm-up after a back-fill": Trap(
        warm_up, lambda lake, at: frame(lake, at, indicators=["ema_10", "obv_30"]).indicators
    ),
    "session anchors and DST: a session": Trap(
        session_and_daylight_saving,
        lambda lake, at: lake.frame("nyse", "AAPL", at, timeframes="1d", window="30d"),
        [parse_time("2024-01-10T20:30")],
        {"exchange": "nyse", "symbol": "AAPL"},
    ),
    "session anchors and DST: a week": Trap(
        week_from_monday,
        lambda lake, at: lake.frame("kraken", "BTC/USD", at, timeframes="1w", window="30d"),
        [parse_time("2024-02-06T12:00")],
        {"exchange": "kraken", "symbol": "BTC/USD"},
    ),
    "funding predicted against settled": Trap(predicted_funding, lambda lake, at: frame(lake, at).funding),
    "a higher timeframe joined on open time": Trap(
        higher_timeframe, lambda lake, at: frame(lake, at, timeframes=["1m", "1h"])
    ),
    "entity rows with equal keys": Trap(
        equal_keys, lambda lake, at: lake.frame("x", "TWIN/USDT", at), [START + 5 * SECOND], {"symbol": "TWIN/USDT"}
    ),
    "unsorted groups in as-of joins": Trap(unsorted_groups, lambda lake, at: frame(lake, at).trades["price"]),
    "ns against us": Trap(microseconds, lambda lake, at: frame(lake, at)),
}


@pytest.fixture(scope="module")
def lake():
    clock = ManualClock(LATER)
    with memory_lake(clock=clock) as opened:
        fill(opened, clock)
        old = pl.DataFrame({"ts": times(START + np.arange(600) * 10 * SECOND), "price": np.arange(600) + 1.0})
        old = old.with_columns(
            id=pl.int_range(600).cast(pl.String), amount=1.0, received_at=pl.col("ts") + pl.duration(days=90)
        )
        opened.save("x:trades:OLD/USDT", old)
        twins = pl.DataFrame(
            {
                "ts": times(START + np.repeat([1, 2, 3], 2) * SECOND),
                "received_at": times(START + np.array([1, 1, 2, 9, 3, 3]) * SECOND),
                "id": list("abcdef"),
                "price": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
                "amount": 1.0,
            }
        )
        opened.save("x:trades:TWIN/USDT", twins)
        days = bars(0, 40, interval=DAY)
        opened.save(DAILY, days.filter(pl.col("ts").dt.weekday() <= 5))
        opened.save(WEEKLY, bars(0, 10, interval=7 * DAY).with_columns(pl.col("ts") + pl.duration(days=3)))
        yield opened


def instants_of(name: str, lake: Lake) -> list[int]:
    if name.startswith("ns against"):
        return [ts - 1 for ts in before_a_trade(lake)]
    if "arrives after" in name or "unsorted" in name:
        return late_ones(lake)
    return TRAPS[name].instants


@pytest.mark.parametrize("name", TRAPS)
def test_it_is_caught(lake, name):
    trap = TRAPS[name]
    options = {"exchange": "x", "symbol": "BTC/USDT", "instants": instants_of(name, lake), **trap.options}
    with pytest.raises(LooksAhead, match="the function looks ahead: at 20"):
        check_no_lookahead(trap.leaky, lake, **options)


@pytest.mark.parametrize("name", TRAPS)
def test_a_frame_does_not_fall_for_it(lake, name):
    trap = TRAPS[name]
    options = {"exchange": "x", "symbol": "BTC/USDT", "instants": instants_of(name, lake), **trap.options}
    assert check_no_lookahead(trap.right, lake, **options)
    for instant in options["instants"]:
        assert trap.right(lake, instant) is not None
