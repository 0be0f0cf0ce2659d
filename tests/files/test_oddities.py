"""What is odd about rows is told in words."""

from __future__ import annotations

import polars as pl
import pytest

from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.span import Span
from ticklake.core.time import HOUR, MINUTE, SECOND, parse_time
from ticklake.core.timeframe import Timeframe
from ticklake.files.oddities import Order, funding_shift, notes_on, off_grid, order_of, zone_hint

START = parse_time("2024-01-01")


def times(*ns: int) -> pl.Series:
    return pl.Series("ts", ns, dtype=pl.Int64).cast(TIME)


@pytest.mark.parametrize(
    ("steps", "newest_first", "odd"),
    [
        ((1, 2, 2, 3), False, 0),
        ((4, 3, 2, 1), True, 0),
        ((1, 3, 2, 4, 5), False, 1),
        ((9, 8, 7, 8, 6), True, 1),
        ((5,), False, 0),
    ],
)
def test_the_order_of_times(steps, newest_first, odd):
    order = order_of(times(*steps))
    assert (order.newest_first, order.odd) == (newest_first, odd)


def test_orders_of_pieces_add_up():
    assert Order(3, 1) + Order(0, 5) == Order(3, 6)


@pytest.mark.parametrize(("hours", "exchange"), [(3, ""), (0, ""), (3, "kucoin"), (0, "bitmex")])
def test_the_grid_of_funding_times_tells_the_shift(hours, exchange):
    phase = 4 * HOUR if exchange else 0
    ts = times(*(START + phase + hours * HOUR + step * 8 * HOUR + 17 * 10**6 for step in range(30)))
    assert funding_shift(ts, exchange) == hours * HOUR


def test_hourly_funding_tells_nothing():
    assert funding_shift(times(*(START + step * HOUR for step in range(30)))) is None
    assert "does not tell" in zone_hint(None)


def test_shares_off_the_grid():
    ts = times(START, START + MINUTE, START + 90 * SECOND, START + 2 * MINUTE)
    assert off_grid(ts, Timeframe.parse("1m"), None) == 0.25
    assert off_grid(ts, Timeframe.parse("1M"), None) == 0


def notes(frame: pl.DataFrame, dataset: str, claimed: Span | None = None) -> list[str]:
    return list(notes_on(frame, Dataset.parse(dataset), order_of(frame["ts"]), claimed))


def test_nothing_is_said_of_what_is_in_order():
    frame = pl.DataFrame({"ts": times(START, START + MINUTE), "open": [1.0, 2.0]})
    assert notes(frame, "x:ohlcv:1m:A/B", Span(START, START + HOUR)) == []


def test_repeats_and_nulls_are_counted():
    frame = pl.DataFrame({"ts": times(START, START, START), "price": [1.0] * 3, "amount": [1.0, 1.0, None]})
    assert notes(frame, "x:trades:A/B") == [
        "amount is null in 1 of 3 rows",
        "1 identical prints without ids: real repeats, all are kept",
    ]


def test_repeated_ids_are_said():
    frame = pl.DataFrame({"ts": times(START, START), "id": ["a", "a"], "price": [1.0, 1.0], "amount": [1.0, 1.0]})
    assert "1 rows repeat the key of another row of the file" in notes(frame, "x:trades:A/B")[0]
