"""Rows come in as users have them, and what cannot be true is refused aloud."""

import datetime as dt
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
from engine_lakes import BARS, TRADES, at, full

from ticklake import OHLCVBar
from ticklake.errors import BadInput, InvalidData, TicklakeWarning
from ticklake.testing.rows import START, bars

MS = START // 10**6
PRICES = {"open": 1.0, "high": 3.0, "low": 0.5, "close": 2.0, "volume": 7.0}
ROW = (1.0, 3.0, 0.5, 2.0, 7.0)
INDEX = pd.date_range("2024-01-01", periods=2, freq="min", tz="UTC")


def columns_of(prices):
    return {name: [value, value] for name, value in prices.items()}


SHAPES = {
    "ccxt lists": [[MS, *ROW], [MS + 60_000, *ROW]],
    "ccxt tuples": [(MS, *ROW), (MS + 60_000, *ROW)],
    "dicts": [{"ts": at(0), **PRICES}, {"ts": at(1), **PRICES}],
    "columns": {"ts": [at(0), at(1)], **columns_of(PRICES)},
    "arrays": {"ts": np.array([at(0), at(1)]), **{name: np.array([v, v]) for name, v in PRICES.items()}},
    "headings": {"Date": [at(0), at(1)], **columns_of({name.title(): value for name, value in PRICES.items()})},
    "pandas index": pd.DataFrame(columns_of(PRICES), index=INDEX),
    "yfinance": pd.DataFrame(
        columns_of({name.title(): value for name, value in PRICES.items()}), index=INDEX.rename("Date")
    ),
    "pandas index with a zone": pd.DataFrame(columns_of(PRICES), index=INDEX.tz_convert("America/New_York")),
    "polars headings": pl.DataFrame({"timestamp": [at(0), at(1)], **columns_of(PRICES)}),
    "lazy": pl.LazyFrame({"ts": [at(0), at(1)], **columns_of(PRICES)}),
    "numpy scalars": [{"ts": at(i), **{name: np.float64(v) for name, v in PRICES.items()}} for i in (0, 1)],
    "decimals": [{"ts": at(i), **{name: Decimal(str(v)) for name, v in PRICES.items()}} for i in (0, 1)],
    "records": [OHLCVBar(at(i), *ROW) for i in (0, 1)],
    "timestamps": [{"ts": INDEX[i], **PRICES} for i in (0, 1)],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_bars_come_in_whatever_holds_them(any_lake, shape):
    receipt = any_lake.save(BARS, SHAPES[shape])
    assert (receipt.new, receipt.quarantined) == (2, 0)
    rows = any_lake.load(BARS)
    assert rows["ts"].to_physical().to_list() == [at(0), at(1)]
    assert rows.row(0)[1:6] == ROW


def test_one_record_is_a_mapping_of_scalars(any_lake):
    assert any_lake.save(BARS, {"ts": at(0), **PRICES}).new == 1


def test_trades_of_ccxt_and_sides_in_capitals(any_lake):
    trade = {
        "info": {}, "timestamp": MS, "datetime": "2024-01-01T00:00:00.000Z", "symbol": "BTC/USDT:USDT", "id": "7",
        "order": None, "type": None, "side": "buy", "takerOrMaker": None, "price": 1.5, "amount": 2.0, "cost": 3.0, "fee": None,
    }  # fmt: skip
    any_lake.save(TRADES, [trade])
    any_lake.save(TRADES, [{"ts": at(1), "price": 2.0, "amount": 1.0, "side": "SELL", "id": "8"}])
    any_lake.save(TRADES, pl.DataFrame({"ts": [at(2)], "Price": [3.0], "qty": [1.0], "Side": ["Buy"], "id": ["9"]}))
    rows = any_lake.load(TRADES)
    assert rows.select("price", "amount", "side", "id").rows() == [
        (1.5, 2.0, "buy", "7"),
        (2.0, 1.0, "sell", "8"),
        (3.0, 1.0, "buy", "9"),
    ]
    assert rows["ts"].to_physical().to_list() == [START, at(1), at(2)]


def test_funding_rates_of_ccxt(any_lake):
    any_lake.save(
        "x:funding:A/B:B", [{"info": {}, "symbol": "A/B:B", "fundingRate": 1e-4, "timestamp": MS, "datetime": "x"}]
    )
    assert any_lake.load("x:funding:A/B:B")["rate"].to_list() == [1e-4]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"open": -1.0, "high": 2.0, "low": -2.0, "close": 1.0}, "negative_price"),
        ({"high": float("inf")}, "infinite_high"),
        ({"close": float("nan")}, "no_close"),
        ({"volume": -1.0}, "negative_volume"),
        ({"high": 1.0}, "high_below_open_or_close"),
        ({"ts": at(0) + 1}, "off_grid"),
        ({"ts": None}, "no_ts"),
    ],
)
def test_a_row_that_cannot_be_true_is_refused_aloud_with_its_reason(any_lake, change, reason):
    with pytest.warns(TicklakeWarning, match=rf"x:ohlcv:1m:BTC/USDT: 1 of 2 rows were refused .1 {reason}") as told:
        receipt = any_lake.save(BARS, [{"ts": at(5), **PRICES}, {"ts": at(0), **PRICES, **change}])
    assert told[0].filename == __file__
    assert (receipt.quarantined, receipt.reasons) == (1, {reason: 1})
    assert [(row["dataset"], row["reason"]) for row in any_lake.quarantine()] == [(str(BARS), reason)]
    assert [row["reason"] for row in any_lake.quarantine(BARS)] == [reason]


def test_the_warning_of_many_datasets_points_to_the_caller(any_lake):
    bad = [{"ts": at(0), **PRICES, "low": -1.0}]
    with pytest.warns(TicklakeWarning, match="negative_price") as told:
        any_lake.save_all([(BARS, bad), ("x:ohlcv:1m:A/B", bad)])
    assert [warning.filename for warning in told] == [__file__, __file__]


@pytest.mark.parametrize("kind", ["quotes", "funding", "open_interest"])
def test_negative_prices_and_amounts_of_other_kinds_are_refused(any_lake, kind):
    rows = {
        "quotes": {"bid_price": -1.0, "ask_price": 2.0},
        "funding": {"rate": -0.1, "mark_price": -5.0},
        "open_interest": {"open_interest": -1.0},
    }
    with pytest.warns(TicklakeWarning, match="negative_"):
        receipt = any_lake.save(f"x:{kind}:A/B:B", [{"ts": at(0), **rows[kind]}])
    assert receipt.quarantined == 1


def test_a_negative_funding_rate_is_true(any_lake):
    assert any_lake.save("x:funding:A/B:B", [{"ts": at(0), "rate": -0.1}]).new == 1


@pytest.mark.parametrize(
    "rows",
    [
        [{"ts": at(0), **PRICES, "close": True}],
        pl.DataFrame({"ts": [at(0)], "open": [True], "high": [True], "low": [True], "close": [True]}),
        [{"ts": at(0), **PRICES, "trades": True}],
        [{"ts": True, **PRICES}],
        [{"ts": at(0), **PRICES, "close": "two"}],
        [{"ts": at(0), **PRICES, "close": [1.0]}],
        [{"ts": at(0), **PRICES, "cloze": 1.0}],
        [{"ts": dt.datetime(2024, 1, 1), **PRICES}],
        [{"ts": MS, **PRICES}],
        [{"ts": at(0)}],
        pd.DataFrame(columns_of(PRICES)),
        pd.DataFrame(columns_of(PRICES), index=INDEX.tz_localize(None)),
        pl.DataFrame({"Close": [1.0], "close": [1.0], "ts": [at(0)], "open": [1.0], "high": [1.0], "low": [1.0]}),
        [[MS, 1.0, 2.0]],
        "rows",
        5,
        None,
        {"ts": [at(0), at(1)], **PRICES},
        {"ts": [at(0), at(1)], **{name: [value] for name, value in PRICES.items()}},
    ],
)
def test_what_cannot_be_meant_is_an_error_and_stores_nothing(any_lake, rows):
    with pytest.raises(InvalidData):
        any_lake.save(BARS, rows)
    assert any_lake.datasets() == []


def test_a_misspelled_column_is_named_with_the_likely_one(any_lake):
    with pytest.raises(BadInput, match=r"no column 'clsoe' .did you mean 'close'"):
        any_lake.save(BARS, [{"ts": at(0), **PRICES, "clsoe": 1.0}])


@pytest.mark.parametrize("rows", [[], {}, bars(0, 0)])
def test_no_rows_are_saved_as_nothing(any_lake, rows):
    assert any_lake.save(BARS, rows).received == 0
    assert any_lake.datasets() == []


def test_good_rows_warn_of_nothing(any_lake):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        any_lake.save(BARS, bars(0, 5))
    assert any_lake.load(BARS).equals(full(bars(0, 5)))
