import datetime as dt
from decimal import Decimal

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ticklake.core.batch import canonical, from_rows, number_prints, present, sort
from ticklake.core.kinds import KINDS, PROVENANCE, TIME
from ticklake.core.records import OHLCVBar, Trade
from ticklake.core.time import DAY, MS, SECOND, US, parse_time
from ticklake.errors import InvalidData

T = parse_time("2024-01-01")
OHLCV, TRADES, BOOK, FUNDING = (KINDS[name] for name in ("ohlcv", "trades", "book", "funding"))
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def bars(**columns):
    base = {"ts": [T], "open": [1.0], "high": [2.0], "low": [0.5], "close": [1.5]}
    return pl.DataFrame({**base, **columns})


def trades(**columns):
    return pl.DataFrame({"ts": [T], "price": [1.0], "amount": [2.0], **columns})


times = st.integers(parse_time("2009-01-03"), parse_time("2200-01-01"))
numbers = st.floats(allow_nan=False, allow_infinity=False)
trade_rows = st.lists(
    st.fixed_dictionaries(
        {
            "ts": times,
            "price": numbers,
            "amount": numbers,
            "side": st.sampled_from(["buy", "sell", None]),
            "id": st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5),
            "received_at": st.none() | times,
        }
    ),
    min_size=1,
    max_size=6,
)


def typed(rows):
    schema = {**TRADES.schema, "ts": pl.Int64, "received_at": pl.Int64}
    frame = pl.DataFrame(rows, schema={name: schema[name] for name in rows[0]})
    return frame.with_columns(pl.col("ts", "received_at").cast(TIME))


@given(trade_rows)
def test_the_same_rows_are_the_same_batch_however_they_are_held(rows):
    expected = canonical(typed(rows), TRADES)
    frame = typed(rows)
    for held in (
        rows,
        [Trade(**row) for row in rows],
        frame.lazy(),
        frame.to_arrow(),
        frame.to_arrow().to_batches()[0],
    ):
        assert_frame_equal(canonical(held, TRADES), expected)


@given(trade_rows)
def test_a_pandas_frame_is_the_same_batch(rows):
    stamps = {
        name: pd.to_datetime(pd.Series([row[name] for row in rows], dtype="Int64"), unit="ns", utc=True)
        for name in ("ts", "received_at")
    }
    frame = pd.DataFrame(rows).assign(**stamps)
    assert_frame_equal(canonical(frame, TRADES), canonical(typed(rows), TRADES))


@given(trade_rows)
def test_a_canonical_batch_stays_as_it_is(rows):
    once = canonical(rows, TRADES, 7)
    assert_frame_equal(canonical(once, TRADES, 7), once)


@given(trade_rows)
def test_rows_keep_the_order_and_the_values_they_came_with(rows):
    frame = canonical(rows, TRADES)
    assert frame["ts"].to_physical().to_list() == [row["ts"] for row in rows]
    for name in ("price", "amount", "side", "id"):
        assert frame[name].to_list() == [row[name] for row in rows]


@every_kind
def test_a_batch_has_exactly_the_stored_columns_and_types(kind):
    full = kind.empty().select(kind.required)
    assert dict(canonical(full, kind).schema) == kind.stored_schema


@every_kind
def test_no_records_are_an_empty_batch(kind):
    assert_frame_equal(canonical([], kind), kind.empty())


def test_columns_may_come_in_any_order():
    frame = bars(volume=[3.0])
    assert_frame_equal(canonical(frame.select(reversed(frame.columns)), OHLCV), canonical(frame, OHLCV))


def test_columns_that_are_absent_become_null():
    frame = canonical(bars(), OHLCV)
    assert [frame[name][0] for name in ("volume", "quote_volume", "trades")] == [None, None, None]


def test_numbers_that_are_not_numbers_become_null():
    assert canonical(bars(volume=[float("nan")]), OHLCV)["volume"].to_list() == [None]
    assert canonical([{**bars().row(0, named=True), "volume": float("nan")}], OHLCV)["volume"].to_list() == [None]


def test_infinity_is_kept_for_the_checks_to_refuse():
    assert canonical(bars(volume=[float("inf")]), OHLCV)["volume"].to_list() == [float("inf")]


def test_every_row_carries_the_provenance_of_the_batch():
    frame = trades(ts=[T, T + 1], price=[1.0, 1.0], amount=[1.0, 1.0])
    assert canonical(frame, TRADES, 7)[PROVENANCE].to_list() == [7, 7]


def test_a_provenance_that_the_data_brings_along_is_not_believed():
    assert canonical(trades(provenance=[99]), TRADES, 7)[PROVENANCE].to_list() == [7]


def test_whole_numbers_and_decimal_text_are_prices_too():
    assert canonical(bars(open=[1], volume=["1.25"]), OHLCV).select("open", "volume").row(0) == (1.0, 1.25)


@pytest.mark.parametrize("text", ["0.1", "67123.45", "0.00000001", "123456789.123456789"])
def test_a_decimal_price_is_the_float_of_its_text(text):
    exact = pa.table({"ts": [T], "price": pa.array([Decimal(text)]), "amount": [1.0]})
    assert canonical(exact, TRADES)["price"][0] == float(text)
    assert canonical([{"ts": T, "price": Decimal(text), "amount": 1.0}], TRADES)["price"][0] == float(text)
    assert canonical([{"ts": T, "price": text, "amount": 1.0}], TRADES)["price"][0] == float(text)


def test_whole_number_ids_become_text():
    assert canonical(trades(id=[123]), TRADES)["id"].to_list() == ["123"]
    assert canonical([{"ts": T, "price": 1.0, "amount": 1.0, "id": 123}], TRADES)["id"].to_list() == ["123"]


def test_dictionary_encoded_text_is_text():
    table = pa.table({"ts": [T], "price": [1.0], "amount": [1.0], "side": pa.array(["buy"]).dictionary_encode()})
    assert canonical(table, TRADES)["side"].to_list() == ["buy"]


# Times


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo"])
def test_times_with_a_zone_are_converted_whatever_their_unit(unit, zone):
    stamps = pl.Series([dt.datetime(2024, 1, 1, tzinfo=dt.UTC)]).dt.cast_time_unit(unit).dt.convert_time_zone(zone)
    assert canonical(trades(ts=stamps), TRADES)["ts"].to_physical().to_list() == [T]


@pytest.mark.parametrize("dtype", [pl.Int64, pl.UInt64])
def test_integer_times_are_nanoseconds(dtype):
    frame = canonical(trades(ts=pl.Series([T + 1], dtype=dtype)), TRADES)
    assert frame["ts"].to_physical().to_list() == [T + 1]


def test_a_date_is_its_midnight():
    assert canonical(trades(ts=[dt.date(2024, 1, 1)]), TRADES)["ts"].to_physical().to_list() == [T]


@pytest.mark.parametrize(
    "value",
    [T, "2024-01-01", "2024-01-01T09:00:00+09:00", dt.datetime(2024, 1, 1, tzinfo=dt.UTC), pd.Timestamp(T, tz="UTC")],
)
def test_a_records_time_is_anything_that_says_when(value):
    assert canonical([Trade(value, 1.0, 1.0)], TRADES)["ts"].to_physical().to_list() == [T]


def test_a_pandas_frame_whose_time_is_its_index_is_refused():
    index = pd.DatetimeIndex([pd.Timestamp(T, tz="UTC")], name="ts")
    with pytest.raises(InvalidData, match="needs a column 'ts'"):
        canonical(pd.DataFrame({"price": [1.0], "amount": [1.0]}, index=index), TRADES)


def test_a_pandas_index_without_a_name_is_dropped():
    frame = trades().to_pandas().set_index(pd.Index(["x"]))
    assert canonical(frame, TRADES).height == 1


def test_a_missing_pandas_value_is_null():
    frame = pd.concat([trades(side=["buy"]).to_pandas(), trades().to_pandas()])
    assert canonical(frame, TRADES)["side"].to_list() == ["buy", None]


@pytest.mark.parametrize("column", ["ts", "received_at"])
def test_naive_times_are_refused_and_named(column):
    naive = pl.Series([dt.datetime(2024, 1, 1)])
    with pytest.raises(InvalidData, match=rf"'{column}'.*naive"):
        canonical(trades(**{column: naive}), TRADES)


def test_naive_pandas_times_are_refused_and_named():
    frame = pd.DataFrame({"ts": pd.to_datetime(["2024-01-01"]), "price": [1.0], "amount": [1.0]})
    with pytest.raises(InvalidData, match=r"'ts'.*naive"):
        canonical(frame, TRADES)


@pytest.mark.parametrize("value", [dt.datetime(2024, 1, 1), pd.Timestamp("2024-01-01"), pd.NaT])
def test_a_record_with_a_naive_time_is_refused_and_the_column_named(value):
    with pytest.raises(InvalidData, match=r"\bts\b.*time zone"):
        canonical([Trade(value, 1.0, 1.0)], TRADES)


@pytest.mark.parametrize(
    ("unit", "word", "factor"),
    [(SECOND, "seconds", "1,000,000,000"), (MS, "milliseconds", "1,000,000"), (US, "microseconds", "1,000")],
)
@pytest.mark.parametrize("column", ["ts", "received_at"])
def test_integer_times_in_another_unit_are_refused_with_the_cure(column, unit, word, factor):
    with pytest.raises(InvalidData, match=rf"'{column}'.*{word}.*multiply by {factor}$"):
        canonical(trades(**{column: [T // unit]}), TRADES)


@pytest.mark.parametrize("unit", [SECOND, MS, US])
def test_a_record_with_a_time_in_another_unit_is_refused_and_the_column_named(unit):
    with pytest.raises(InvalidData, match=r"\bts\b"):
        canonical([Trade(T // unit, 1.0, 1.0)], TRADES)


@pytest.mark.parametrize("values", [[1.7e18], ["2024-01-01"], [True], [dt.timedelta(days=1)]])
def test_a_column_that_holds_no_times_is_refused_and_named(values):
    with pytest.raises(InvalidData, match="'ts'"):
        canonical(trades(ts=values), TRADES)


@pytest.mark.parametrize(
    "series",
    [
        pl.Series([2**63 + 5], dtype=pl.UInt64),
        pl.Series([dt.datetime(9999, 12, 31, tzinfo=dt.UTC)], dtype=pl.Datetime("us", "UTC")),
        pl.Series([dt.date(9999, 12, 31)]),
        # Polars panics while it writes this time into its own error.
        pl.Series([2**62], dtype=pl.Int64).cast(pl.Datetime("ms", "UTC")),
    ],
    ids=["integer", "datetime", "date", "beyond the years of Polars"],
)
def test_times_beyond_64_bits_are_refused_and_named(series):
    with pytest.raises(InvalidData, match="'ts'"):
        canonical(trades(ts=series), TRADES)


# What does not fit


@every_kind
def test_an_unknown_column_is_refused_and_named_with_those_there_are(kind):
    frame = kind.empty().with_columns(wrong=pl.lit(1))
    with pytest.raises(InvalidData, match=rf"'wrong'.*{', '.join(kind.names)}"):
        canonical(frame, kind)


@every_kind
def test_a_missing_required_column_is_refused_and_named(kind):
    for name in kind.required:
        with pytest.raises(InvalidData, match=rf"needs a column '{name}'"):
            canonical(kind.empty().drop(name), kind)


def test_a_frame_without_columns_is_refused():
    with pytest.raises(InvalidData, match=r"needs a column 'ts'.*none"):
        canonical(pl.DataFrame(), OHLCV)


def test_a_record_of_another_kind_is_refused():
    with pytest.raises(InvalidData, match="'open'"):
        canonical([OHLCVBar(T, 1.0, 1.0, 1.0, 1.0)], TRADES)


def test_a_record_with_an_unknown_field_is_refused_and_named():
    with pytest.raises(InvalidData, match="'fee'"):
        canonical([{"ts": T, "price": 1.0, "amount": 1.0, "fee": {"cost": 1}}], TRADES)


@pytest.mark.parametrize("values", [["abc"], [[1.0]], [{"a": 1}]], ids=["text", "list", "struct"])
def test_a_column_that_holds_no_numbers_is_refused_and_named(values):
    with pytest.raises(InvalidData, match="'volume'"):
        canonical(bars(volume=values), OHLCV)


@pytest.mark.parametrize("value", ["abc", [1.0], {"a": 1}, b"1"], ids=["text", "list", "mapping", "bytes"])
def test_a_record_whose_value_is_no_number_is_refused_and_the_column_named(value):
    """Nothing is dropped silently: what cannot be read must not become null."""
    with pytest.raises(InvalidData, match="volume"):
        canonical([{**bars().row(0, named=True), "volume": value}], OHLCV)


def test_a_count_that_is_not_whole_is_refused_and_named():
    with pytest.raises(InvalidData, match="trades"):
        canonical(bars(trades=[1.5]), OHLCV)


def test_a_count_that_pandas_made_a_float_is_read():
    frame = pd.concat([bars(trades=[5]).to_pandas(), bars().to_pandas()])
    assert canonical(frame, OHLCV)["trades"].to_list() == [5, None]


def test_ids_that_became_floats_are_refused_and_named():
    """Pandas makes floats of whole numbers with holes; '123.0' would never meet the exchange's '123'."""
    frame = pd.concat([trades(id=[123]).to_pandas(), trades().to_pandas()])
    with pytest.raises(InvalidData, match="'id'"):
        canonical(frame, TRADES)


@pytest.mark.parametrize("data", ["text", b"bytes", 5, None, {"ts": [T], "price": [1.0], "amount": [1.0]}])
def test_what_is_no_frame_is_refused_with_what_may_be_passed(data):
    with pytest.raises(InvalidData, match="list of records"):
        canonical(data, TRADES)


@pytest.mark.parametrize("record", [(T, 1.0, 1.0), "text", None, Trade])
def test_what_is_no_record_is_refused(record):
    with pytest.raises(InvalidData, match="not a record"):
        canonical([record], TRADES)


# Sorting, numbering, presenting


@given(st.lists(st.tuples(st.integers(T, T + 3), st.integers(0, 9)), max_size=12))
def test_rows_that_tie_keep_the_order_they_came_in(rows):
    frame = canonical([{"ts": ts, "price": float(p), "amount": 1.0} for ts, p in rows], TRADES)
    ordered = sort(frame, TRADES)
    found = list(zip(ordered["ts"].to_physical(), ordered["price"], strict=True))
    assert found == sorted(((ts, float(p)) for ts, p in rows), key=lambda row: row[0])


@given(st.lists(st.tuples(st.integers(T, T + 2), st.integers(0, 3)), max_size=12))
def test_book_rows_are_sorted_by_time_then_sequence(rows):
    records = [
        {"ts": ts, "seq": seq, "side": "bid", "price": float(i), "amount": 1.0, "is_snapshot": False}
        for i, (ts, seq) in enumerate(rows)
    ]
    ordered = sort(canonical(records, BOOK), BOOK)
    found = list(zip(ordered["ts"].to_physical(), ordered["seq"], ordered["price"], strict=True))
    assert found == sorted((ts, seq, float(i)) for i, (ts, seq) in enumerate(rows))


def test_many_book_rows_that_tie_keep_the_order_they_came_in():
    count = 20_000
    frame = (
        BOOK.empty()
        .clear(count)
        .with_columns(ts=pl.lit(T).cast(TIME), seq=pl.int_range(count) % 3, count=pl.int_range(count))
    )
    ordered = sort(frame, BOOK)["count"].to_list()
    assert ordered == sorted(range(count), key=lambda row: row % 3)


def test_identical_prints_are_numbered_inside_their_group():
    """Field note: identical prints are real."""
    rows = [
        (T, 1.0, "buy"),
        (T, 1.0, "buy"),
        (T, 1.0, "sell"),
        (T, 1.0, None),
        (T, 1.0, "buy"),
        (T, 1.0, None),
        (T + 1, 1.0, "buy"),
    ]
    frame = canonical([Trade(ts, price, 1.0, side) for ts, price, side in rows], TRADES)
    assert number_prints(frame)["n"].to_list() == [0, 1, 0, 0, 2, 1, 0]


def test_numbering_keeps_the_columns_and_the_order():
    frame = canonical([Trade(T + 1, 2.0, 1.0), Trade(T, 1.0, 1.0)], TRADES)
    assert_frame_equal(number_prints(frame), frame)


@every_kind
def test_a_reader_sees_the_public_columns_only(kind):
    assert present(kind.empty(), kind).columns == kind.names
    assert present(kind.empty(), kind, provenance=True).columns == [*kind.names, PROVENANCE]


def test_a_duration_is_read_from_timedeltas():
    frame = pl.DataFrame({"ts": [T], "rate": [0.1], "interval": [dt.timedelta(days=1)]})
    assert canonical(frame, FUNDING)["interval"].to_physical().to_list() == [DAY]


def test_rows_of_texts_become_columns_of_the_kind():
    rows = [(T, T + 1, "7", "100.5", "1e-3", "buy"), (T + 1, None, 8, 101, None, None)]
    frame = from_rows(rows, TRADES)
    assert dict(frame.schema) == TRADES.schema
    assert frame.with_columns(pl.col("ts", "received_at").to_physical()).rows() == [
        (T, T + 1, "7", 100.5, 0.001, "buy"),
        (T + 1, None, "8", 101.0, None, None),
    ]


def test_what_is_no_number_becomes_null():
    frame = from_rows([(T, None, "1", "n/a", "", "buy")], TRADES)
    assert frame.select("price", "amount").row(0) == (None, None)


def test_one_float_among_integers_does_not_round_the_others():
    # Rows of several exchanges are read together, and of their times and numbers no digit may get lost.
    rows = [(float(T), None, 1.0, "bid", 5, 1, 2.0, True), (T + 1, None, 2**60 + 1, "ask", "6", "1", None, True)]
    frame = from_rows(rows, BOOK)
    assert frame["ts"].to_physical().to_list() == [T, T + 1]
    assert frame["seq"].to_list() == [1, 2**60 + 1]
    assert from_rows([(T, None, 1.5, 1, 1, "buy"), (T, None, 2, 1, 1, "buy")], TRADES)["id"].to_list() == [
        "1.5",
        "2",
    ]


@pytest.mark.parametrize("values", [(T, None), (T, None, "1", "1", "1", "buy", "more")])
def test_a_row_of_another_width_is_refused(values):
    whole = (T, None, "1", "1", "1", "buy")
    with pytest.raises(InvalidData, match=f"a row of trades has {len(values)} values, not 6"):
        from_rows([whole, values], TRADES)
