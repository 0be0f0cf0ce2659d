"""How a batch joins the rows before it."""

import polars as pl
import pytest

from ticklake.core.append_log import Arrival, Joins, arrival_of, joins
from ticklake.core.batch import is_ordered
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import KINDS, TIME
from ticklake.core.time import HOUR, MINUTE, SECOND, parse_time

T = parse_time("2024-01-01")
BARS = Dataset.parse("x:ohlcv:1m:BTC/USDT")
TRADES = Dataset.parse("binance:trades:BTC/USDT")


def came(start, end, first=None, last=None):
    return Arrival(start, end, first, last, 0, 0, 0, 0)


def of_bars(first, last):
    """How bars of these minutes join bars of the minutes 10 to 19."""
    return joins(BARS, "", (T + 10 * MINUTE, T + 19 * MINUTE), None, came(T + first * MINUTE, T + last * MINUTE))


def of_trades(first_id, last_id, space="raw", dataset=TRADES):
    return joins(dataset, space, (T, T + HOUR), last_id, came(T + HOUR + SECOND, T + 2 * HOUR, first_id))


@pytest.mark.parametrize(
    ("minutes", "word", "missing"),
    [
        ((20, 25), Joins.TOUCHES, 0),
        ((21, 25), Joins.JUMPS, 1),
        ((80, 85), Joins.JUMPS, 60),
        ((19, 25), Joins.OVERLAPS, None),
        ((12, 13), Joins.OVERLAPS, None),
        ((5, 40), Joins.OVERLAPS, None),
        ((0, 9), Joins.EARLIER, None),
    ],
)
def test_bars_are_counted_by_the_calendar(minutes, word, missing):
    assert of_bars(*minutes) == (word, missing)


def test_the_first_batch_joins_nothing():
    assert joins(BARS, "", None, None, came(T, T)) == (Joins.FIRST, None)


def test_months_have_their_own_lengths():
    monthly = Dataset.parse("x:ohlcv:1M:BTC/USDT")
    known = (parse_time("2024-01-01"), parse_time("2024-01-01"))
    for start, expected in (("2024-02-01", (Joins.TOUCHES, 0)), ("2024-05-01", (Joins.JUMPS, 3))):
        at = parse_time(start)
        assert joins(monthly, "", known, None, came(at, at)) == expected


def test_trades_are_counted_by_ids_where_the_exchange_leaves_no_holes():
    assert of_trades("101", "100") == (Joins.TOUCHES, 0)
    assert of_trades("151", "100") == (Joins.JUMPS, 50)


@pytest.mark.parametrize(
    ("first", "last", "space", "name"),
    [
        ("7", "100", "raw", "binance"),
        ("100", "100", "raw", "binance"),
        ("151", "100", "", "binance"),
        ("151", "100", "", "coinbase"),
        ("b9", "a8", "raw", "binance"),
        (None, "100", "raw", "binance"),
        ("151", None, "raw", "binance"),
    ],
)
def test_elsewhere_a_later_batch_only_follows(first, last, space, name):
    """Field note: ids may restart after a relisting, may be UUIDs, may be null, and need not be without holes."""
    assert of_trades(first, last, space, Dataset.parse(f"{name}:trades:BTC/USDT")) == (Joins.FOLLOWS, None)


def test_a_batch_is_described_by_its_ends():
    frame = pl.DataFrame({"ts": [T, T + 5], "id": ["8", "9"]}).with_columns(pl.col("ts").cast(TIME))
    assert arrival_of(frame, KINDS["trades"], 4, 2, 1, 1) == Arrival(T, T + 5, "8", "9", 4, 2, 1, 1)
    assert arrival_of(frame.clear(), KINDS["trades"], 0, 0, 0, 0) is None
    assert arrival_of(frame, KINDS["funding"], 2, 2, 0, 0).last_id is None


def test_order_is_by_time_and_in_books_by_sequence():
    def book(*pairs):
        frame = pl.DataFrame(pairs, schema=["ts", "seq"], orient="row")
        return frame.with_columns(pl.col("ts").cast(TIME))

    assert is_ordered(book((1, 5), (1, 5), (1, 6), (2, 1)), KINDS["book"])
    assert not is_ordered(book((1, 6), (1, 5)), KINDS["book"])
    assert not is_ordered(book((2, 1), (1, 5)), KINDS["book"])
    assert is_ordered(book((1, 6), (1, 5)).drop("seq"), KINDS["trades"])
