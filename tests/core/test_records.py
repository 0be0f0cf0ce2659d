import dataclasses
import datetime as dt

import pytest

from ticklake.core.batch import canonical
from ticklake.core.kinds import KINDS
from ticklake.core.records import BookLevel, BookSnapshot, FundingRate, OHLCVBar, OpenInterest, Quote, Trade
from ticklake.core.time import HOUR, parse_time

T = parse_time("2024-01-01")

FULL = {
    "ohlcv": OHLCVBar(T, 1.0, 4.0, 0.5, 2.0, 10.0, 20.0, 7),
    "trades": Trade(T, 1.5, 2.5, "buy", "42", T + 1),
    "quotes": Quote(T, 1.0, 2.0, 3.0, 4.0, 5, T + 1),
    "funding": FundingRate(T, 0.01, 0.02, T + HOUR, 100.0, dt.timedelta(hours=8)),
    "open_interest": OpenInterest(T, 5.0, 500.0),
}


@pytest.mark.parametrize("kind", FULL)
def test_a_record_has_a_field_for_every_column_of_its_kind(kind):
    assert {field.name for field in dataclasses.fields(FULL[kind])} == set(KINDS[kind].names)


@pytest.mark.parametrize("kind", FULL)
def test_a_record_becomes_a_row_with_the_same_values(kind):
    record, frame = FULL[kind], canonical([FULL[kind]], KINDS[kind])
    times = {"ts", "received_at", "next_ts"}
    for name in KINDS[kind].names:
        value = frame[name].to_physical()[0] if name in times else frame[name][0]
        assert value == getattr(record, name), name


@pytest.mark.parametrize("kind", FULL)
def test_fields_that_may_be_unknown_are_null(kind):
    record = type(FULL[kind])(**{name: getattr(FULL[kind], name) for name in KINDS[kind].required})
    frame = canonical([record], KINDS[kind])
    for name in KINDS[kind].names:
        assert (frame[name].null_count() == 1) == (name not in KINDS[kind].required), name


def test_a_funding_interval_is_kept_exactly():
    interval = canonical([FULL["funding"]], KINDS["funding"])["interval"]
    assert interval.to_physical()[0] == 8 * HOUR


def test_a_book_snapshot_is_one_row_a_level_with_its_own_sequence():
    bids, asks = (BookLevel(99.0, 1.0), BookLevel(98.0, 2.0, 3)), (BookLevel(100.0, 4.0),)
    frame = canonical([BookSnapshot(T, 7, bids, asks, T + 1)], KINDS["book"])
    assert frame.select("side", "price", "amount", "count").rows() == [
        ("bid", 99.0, 1.0, None),
        ("bid", 98.0, 2.0, 3),
        ("ask", 100.0, 4.0, None),
    ]
    assert frame["seq"].to_list() == [7, 7, 7]
    assert frame["is_snapshot"].all()
    assert frame["received_at"].to_physical().to_list() == [T + 1] * 3


def test_a_book_with_one_side_has_rows_for_that_side_only():
    assert [row["side"] for row in BookSnapshot(T, 1, (), (BookLevel(1.0, 1.0),)).rows()] == ["ask"]


def test_records_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        FULL["trades"].price = 2.0
