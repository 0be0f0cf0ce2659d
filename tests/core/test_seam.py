"""Where two sources meet, a few rows are held against each other, and every difference is told."""

from __future__ import annotations

import polars as pl
import pytest

from ticklake.core.kinds import KINDS
from ticklake.core.seam import SHOWN, seam_differences
from ticklake.core.span import Span
from ticklake.core.time import MS, SECOND, parse_time

START = parse_time("2024-01-01")
SPAN = Span(START, START + 100 * SECOND)


def trades(*rows: tuple) -> pl.DataFrame:
    """Return trades of (milliseconds after the start, id, price, side)."""
    columns = {
        "ts": [START + int(ms * MS) for ms, *_ in rows],
        "id": [row[1] for row in rows],
        "price": [float(row[2]) for row in rows],
        "amount": [1.0] * len(rows),
        "side": [row[3] for row in rows],
    }
    given = pl.DataFrame(
        columns,
        schema_overrides={
            "ts": pl.Int64,
            "id": pl.String,
            "price": pl.Float64,
            "amount": pl.Float64,
            "side": pl.String,
        },
    )
    return pl.concat([KINDS["trades"].empty(), given.cast({"ts": pl.Datetime("ns", "UTC")})], how="diagonal")


def bars(*rows: tuple) -> pl.DataFrame:
    frame = pl.DataFrame(
        {
            "ts": [START + s * SECOND for s, *_ in rows],
            "close": [row[1] for row in rows],
            "trades": [row[2] for row in rows],
        }
    )
    return frame.with_columns(pl.col("ts").cast(pl.Datetime("ns", "UTC")), open=1.0, high=9.0, low=0.5, volume=3.0)


def apart(kept, other, kind="trades") -> list[str]:
    return seam_differences(kept, other, KINDS[kind], SPAN)


def test_what_is_the_same_is_not_told():
    rows = trades((0, "1", 5, "buy"), (0, "2", 5, "buy"), (7, None, 5, "sell"), (7, None, 6, "sell"))
    assert apart(rows, rows) == []


def test_values_are_told_with_both_and_with_their_own_type():
    told = apart(trades((0, "1", 5, "buy")), trades((0, "1", 6, "sell")))
    assert told == [
        "2024-01-01T00:00:00Z id 1: price is 5.0 in the archive and 6.0 on the exchange",
        "2024-01-01T00:00:00Z id 1: side is 'buy' in the archive and 'sell' on the exchange",
    ]
    assert apart(bars((0, 2.0, 7)), bars((0, 2.0, 8)), "ohlcv") == [
        "2024-01-01T00:00:00Z: trades is 7 in the archive and 8 on the exchange"
    ]


def test_a_last_bit_is_told():
    assert len(apart(bars((0, 1.0, 7)), bars((0, 1.0000000000000002, 7)), "ohlcv")) == 1


def test_times_within_a_millisecond_are_equal_and_others_are_told_to_the_nanosecond():
    assert apart(trades((0, "1", 5, "buy")), trades((0.5, "1", 5, "buy"))) == []
    assert apart(trades((0, "1", 5, "buy")), trades((2.000001, "1", 5, "buy"))) == [
        "2024-01-01T00:00:00Z id 1 is at 2024-01-01T00:00:00.002000001Z on the exchange"
    ]


def test_what_one_side_does_not_know_is_not_compared():
    assert apart(bars((0, 2.0, None)), bars((0, 2.0, 8)), "ohlcv") == []


def test_rows_that_one_side_does_not_have_are_told():
    told = apart(trades((0, "1", 5, "buy"), (1, "2", 5, "buy")), trades((1, "2", 5, "buy"), (3, "9", 5, "buy")))
    assert told == [
        "2024-01-01T00:00:00Z id 1 is in the archive and not on the exchange",
        "2024-01-01T00:00:00.003Z id 9 is on the exchange and not in the archive",
    ]


def test_trades_without_ids_are_told_apart_by_their_millisecond_and_their_order():
    kept = trades((0, None, 5, "buy"), (0.4, None, 6, "buy"))
    assert apart(kept, trades((0, None, 5, "buy"), (0, None, 7, "buy"))) == [
        "2024-01-01T00:00:00.0004Z: price is 6.0 in the archive and 7.0 on the exchange"
    ]
    assert apart(kept, trades((0, None, 5, "buy"))) == [
        "2024-01-01T00:00:00.0004Z is in the archive and not on the exchange"
    ]


def test_of_many_differences_the_first_are_told_and_the_others_counted():
    kept = trades(*((ms, str(ms), 5, "buy") for ms in range(SHOWN + 3)))
    told = apart(kept, trades())
    assert told[-1] == "and 3 more differences at this seam"
    assert len(told) == SHOWN + 1


@pytest.mark.parametrize("kind", ["trades", "ohlcv"])
def test_nothing_differs_from_nothing(kind):
    assert seam_differences(KINDS[kind].empty(), KINDS[kind].empty(), KINDS[kind], SPAN) == []
