import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ticklake.core.batch import canonical
from ticklake.core.checks import check, check_all, refused_in
from ticklake.core.dataset import Dataset
from ticklake.core.time import DAY, HOUR, MS, SECOND, parse_time

T = parse_time("2024-01-01")
NOW = T + 10 * DAY
HOURLY = "binance:ohlcv:1h:BTC/USDT"
TRADES = "binance:trades:BTC/USDT"
INF = float("inf")

GOOD = {
    "ohlcv": {
        "ts": T,
        "open": 2.0,
        "high": 4.0,
        "low": 1.0,
        "close": 3.0,
        "volume": 5.0,
        "quote_volume": 9.0,
        "trades": 1,
    },
    "trades": {"ts": T, "price": 1.0, "amount": 1.0, "side": "buy", "id": "1"},
    "liquidations": {"ts": T, "price": 1.0, "amount": 1.0, "side": "sell", "id": "1"},
    "book": {"ts": T, "seq": 1, "side": "bid", "price": 1.0, "amount": 1.0, "is_snapshot": False},
    "quotes": {"ts": T, "bid_price": 1.0, "bid_amount": 1.0, "ask_price": 2.0, "ask_amount": 1.0},
    "funding": {"ts": T, "rate": -0.01, "predicted_rate": 0.1, "mark_price": 1.0},
    "open_interest": {"ts": T, "open_interest": 1.0, "open_interest_value": 5.0},
}
GOOD["mark_ohlcv"] = GOOD["index_ohlcv"] = GOOD["ohlcv"]


def dataset_of(kind):
    return Dataset.of("binance", "BTC/USDT", kind, "1h" if "ohlcv" in kind else None)


def checked(dataset, *changes, now=NOW, needs_id=False):
    dataset = Dataset.parse(dataset)
    rows = [{**GOOD[dataset.kind], **change} for change in changes]
    columns = {name: pl.Series(name, [row.get(name) for row in rows], strict=False) for row in rows for name in row}
    return check(canonical(pl.DataFrame(columns), dataset.spec), dataset, now, needs_id=needs_id)


def reasons(dataset, *changes, **options):
    return checked(dataset, *changes, **options).bad["reason"].to_list()


@pytest.mark.parametrize("kind", GOOD)
def test_a_good_row_passes(kind):
    result = checked(dataset_of(kind), {})
    assert (result.good.height, result.bad.height) == (1, 0)


@pytest.mark.parametrize("kind", GOOD)
def test_a_null_in_a_required_column_is_refused_by_its_name(kind):
    for name in dataset_of(kind).spec.required:
        assert reasons(dataset_of(kind), {}, {name: None}) == [f"no_{name}"]


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("infinite", [INF, -INF])
def test_an_infinite_number_is_refused_by_its_name(kind, infinite):
    for column in dataset_of(kind).spec.columns:
        if column.dtype == pl.Float64:
            assert reasons(dataset_of(kind), {column.name: infinite}) == [f"infinite_{column.name}"]


@pytest.mark.parametrize("kind", GOOD)
def test_a_number_that_is_none_counts_as_missing(kind):
    floats = [c for c in dataset_of(kind).spec.columns if c.required and c.dtype == pl.Float64]
    for column in floats:
        assert reasons(dataset_of(kind), {column.name: float("nan")}) == [f"no_{column.name}"]


@pytest.mark.parametrize(
    ("dataset", "change", "reason"),
    [
        (HOURLY, {"high": 0.5, "open": 0.2, "close": 0.3}, "high_below_low"),
        (HOURLY, {"high": 2.5}, "high_below_open_or_close"),
        (HOURLY, {"high": 2.9, "open": 3.0, "close": 2.8}, "high_below_open_or_close"),
        (HOURLY, {"low": 2.5}, "low_above_open_or_close"),
        (HOURLY, {"low": 2.1, "close": 2.0, "open": 2.2}, "low_above_open_or_close"),
        (HOURLY, {"volume": -1.0}, "negative_volume"),
        (HOURLY, {"quote_volume": -1.0}, "negative_volume"),
        (HOURLY, {"ts": T + 1}, "off_grid"),
        ("binance:ohlcv:1m:BTC/USDT", {"ts": T + SECOND}, "off_grid"),
        ("binance:ohlcv:1d:BTC/USDT", {"ts": T + 16 * HOUR}, "off_grid"),
        ("binance:ohlcv:1w:BTC/USDT", {"ts": T + 3 * DAY}, "off_grid"),
        ("kraken:ohlcv:1w:BTC/USDT", {"ts": T}, "off_grid"),
        ("binance:ohlcv:1M:BTC/USDT", {"ts": T + DAY}, "off_grid"),
        ("binance:ohlcv:1M:BTC/USDT", {"ts": T + HOUR}, "off_grid"),
        (TRADES, {"side": "bid"}, "unknown_side"),
        (TRADES, {"side": "BUY"}, "unknown_side"),
        (TRADES, {"price": 0.0}, "price_not_positive"),
        (TRADES, {"price": -1.0}, "price_not_positive"),
        (TRADES, {"amount": 0.0}, "amount_not_positive"),
        (TRADES, {"amount": -1.0}, "amount_not_positive"),
        ("okx:liquidations:BTC/USDT:USDT", {"side": "long"}, "unknown_side"),
        ("okx:liquidations:BTC/USDT:USDT", {"amount": 0.0}, "amount_not_positive"),
        ("okx:book:BTC/USDT", {"side": "buy"}, "unknown_side"),
        ("okx:book:BTC/USDT", {"price": 0.0}, "price_not_positive"),
        ("okx:book:BTC/USDT", {"amount": -1.0}, "negative_amount"),
        ("okx:quotes:BTC/USDT", {"bid_price": None, "ask_price": None}, "no_price"),
        (TRADES, {"ts": 0}, "time_in_1970"),
        (TRADES, {"ts": NOW + DAY + 1}, "time_in_future"),
    ],
)
def test_a_row_that_cannot_be_true_is_refused_with_its_reason(dataset, change, reason):
    assert reasons(dataset, change) == [reason]


@pytest.mark.parametrize(
    ("dataset", "change"),
    [
        (HOURLY, {"volume": 0.0}),
        (HOURLY, {"volume": None, "quote_volume": None, "trades": None}),
        (HOURLY, {"open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0}),
        (HOURLY, {"open": 0.0, "high": 0.0, "low": 0.0, "close": 0.0}),
        ("binance:ohlcv:1w:BTC/USDT", {"ts": T}),
        ("kraken:ohlcv:1w:BTC/USDT", {"ts": T + 3 * DAY}),
        ("binance:ohlcv:1M:BTC/USDT", {"ts": T}),
        ("binance:ohlcv:3d:BTC/USDT", {"ts": T}),
        (TRADES, {"side": None}),
        (TRADES, {"id": None}),
        (TRADES, {"ts": T + 1}),
        (TRADES, {"ts": NOW + DAY}),
        (TRADES, {"ts": 365 * DAY}),
        ("okx:book:BTC/USDT", {"amount": 0.0}),
        ("okx:quotes:BTC/USDT", {"bid_price": None}),
        ("okx:quotes:BTC/USDT", {"ask_price": None}),
        ("okx:funding:BTC/USDT:USDT", {"ts": T + 3 * MS}),
    ],
)
def test_a_row_that_is_unusual_but_possible_passes(dataset, change):
    assert reasons(dataset, change) == []


def test_a_time_in_the_wrong_unit_among_right_ones_is_refused():
    """Field note: guard the unit by magnitude."""
    result = checked(TRADES, {"ts": T}, {"ts": T // MS}, {"ts": T // SECOND}, {"ts": 365 * DAY - 1})
    assert result.good["ts"].to_physical().to_list() == [T]
    assert result.bad["reason"].to_list() == ["time_in_1970"] * 3


def test_a_row_without_id_is_refused_where_ids_tell_rows_apart():
    """Field note: ids may be null once."""
    assert reasons(TRADES, {"id": "1"}, {"id": None}, needs_id=True) == ["no_id"]


def test_a_row_with_several_faults_is_refused_once():
    result = checked(TRADES, {"price": -1.0, "amount": -1.0, "side": "x"})
    assert (result.good.height, result.bad.height) == (0, 1)


def test_no_rows_pass_as_no_rows():
    dataset = Dataset.parse(TRADES)
    result = check(dataset.spec.empty(), dataset, NOW)
    assert (result.good.height, result.bad.height) == (0, 0)
    assert result.bad.columns == [*dataset.spec.empty().columns, "reason"]


def test_refused_rows_keep_all_their_values():
    result = checked(HOURLY, {"high": 2.5, "volume": 7.0}, {})
    assert result.bad.select("ts", "open", "high", "low", "close", "volume").rows() == [
        (result.good["ts"][0], 2.0, 2.5, 1.0, 3.0, 7.0)
    ]


prices = st.sampled_from([None, -1.0, 0.0, 1.0, 2.0, INF, float("nan")])
sides = st.sampled_from([None, "buy", "sell", "bid"])
stamps = st.sampled_from([T, T + 1, 0, NOW + 2 * DAY])


@given(st.lists(st.tuples(stamps, prices, prices, sides), max_size=12), st.booleans())
def test_every_row_is_either_good_or_refused_and_order_is_kept(rows, needs_id):
    dataset = Dataset.parse(TRADES)
    schema = {"ts": pl.Int64, "price": pl.Float64, "amount": pl.Float64, "side": pl.String}
    data = pl.DataFrame(rows, schema=schema, orient="row").with_columns(ts=pl.col("ts").cast(dataset.spec.schema["ts"]))
    frame = canonical(data.with_columns(id=pl.int_range(pl.len()).cast(pl.String)), dataset.spec)
    result = check(frame, dataset, NOW, needs_id=needs_id)

    def possible(ts, price, amount, side):
        numbers = all(value is not None and 0 < value < INF for value in (price, amount))
        return ts in {T, T + 1} and numbers and side != "bid"

    expected = [possible(*row) for row in rows]
    assert_frame_equal(result.good, frame.filter(pl.Series(expected, dtype=pl.Boolean)))
    assert_frame_equal(result.bad.drop("reason"), frame.filter(~pl.Series(expected, dtype=pl.Boolean)))
    assert result.bad["reason"].null_count() == 0


@given(st.lists(st.lists(st.sampled_from([1.0, 2.0, -1.0, INF]), max_size=3), min_size=1, max_size=6))
def test_frames_checked_together_are_refused_as_each_alone(prices):
    dataset = Dataset.parse(TRADES)
    frames = []
    for numbers in prices:
        rows = [{**GOOD["trades"], "price": price} for price in numbers]
        frames.append(canonical(rows, dataset.spec))
    alone = {number for number, frame in enumerate(frames) if check(frame, dataset, NOW).bad.height}
    assert refused_in(frames, dataset, NOW, needs_id=True) == alone
    together = check_all([(frame, dataset, True) for frame in frames], NOW)
    assert [result.bad.height for result in together] == [check(frame, dataset, NOW).bad.height for frame in frames]


ohlc = st.tuples(*[st.integers(1, 4).map(float)] * 4)


@given(st.lists(ohlc, min_size=1, max_size=12))
def test_a_bar_is_good_if_its_extremes_enclose_it(rows):
    result = checked(HOURLY, *({"open": o, "high": h, "low": low, "close": c} for o, h, low, c in rows))
    expected = [row for row in rows if row[1] == max(row) and row[2] == min(row)]
    assert result.good.select("open", "high", "low", "close").rows() == expected
