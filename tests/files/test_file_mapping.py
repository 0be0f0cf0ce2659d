"""Mappings: from a file's columns to rows of a kind, and what cannot be read is named."""

from __future__ import annotations

import math

import polars as pl
import pytest

from ticklake.core.native_ids import unified
from ticklake.core.time import HOUR, parse_time
from ticklake.errors import InvalidData, InvalidName
from ticklake.files.infer import guess, looks_like_header
from ticklake.files.mapping import Mapping, map_rows

NOW = parse_time("2026-01-01")


def mapped(cells: dict, kind: str, **mapping) -> pl.DataFrame:
    raw = pl.DataFrame(cells)
    chosen = {name: name for name in raw.columns} if "columns" not in mapping else mapping.pop("columns")
    return map_rows(raw, Mapping(chosen, **mapping), kind, NOW)


@pytest.mark.parametrize(
    ("words", "sides"),
    [
        (["Buy", "SELL", "b", "s"], ["buy", "sell", "buy", "sell"]),
        (["1", "-1", "BID", "ask"], ["buy", "sell", "buy", "sell"]),
        (["", None, "unknown", "buy"], [None, None, None, "buy"]),
    ],
)
def test_words_for_the_takers_side(words, sides):
    assert mapped({"side": words}, "trades")["side"].to_list() == sides


@pytest.mark.parametrize("makers", [[True, False, None], ["true", "False", ""], ["1", "0", None], [1, 0, None]])
def test_a_buyer_who_made_the_market_did_not_take_it(makers):
    assert mapped({"buyer_maker": makers}, "trades")["side"].to_list() == ["sell", "buy", None]


def test_a_word_nobody_knows_is_named_and_can_be_told():
    with pytest.raises(InvalidData, match="'achat' is not a known side"):
        mapped({"side": ["achat"]}, "trades")
    assert mapped({"side": ["achat"]}, "trades", sides={"achat": "buy"})["side"][0] == "buy"


def test_in_books_sides_are_bid_and_ask():
    assert mapped({"side": ["bids", "ask", "buy", "sell"]}, "book")["side"].to_list() == ["bid", "ask", "bid", "ask"]


def test_scaled_prices_are_the_nearest_numbers():
    """Polars divides by a single number through its reciprocal: 1674200 / 10000 would be 167.42000000000002."""
    prices = [1_674_200, 1_673_300, 3, 1]
    assert mapped({"price": prices}, "trades", price_scale=10_000)["price"].to_list() == [p / 10_000 for p in prices]


def test_intervals_of_funding():
    hours = mapped({"interval_hours": ["8", "4"]}, "funding")["interval"]
    dates = mapped({"interval_since": ["2000-01-01T08:00:00.000Z", "2000-01-02T00:00:00Z"]}, "funding")["interval"]
    assert (hours.cast(pl.Int64) // HOUR).to_list() == [8, 4]
    assert (dates.cast(pl.Int64) // HOUR).to_list() == [8, 24]


def test_date_and_time_in_two_columns():
    rows = mapped({"d": ["2024.01.02"], "t": ["00:05"]}, "trades", columns={"ts": "d+t"}, zone="UTC")
    assert rows["ts"].to_physical()[0] == parse_time("2024-01-02T00:05")


def test_numbers_empty_and_wrong():
    assert mapped({"price": ["1.5", " 2 ", "", "NaN", None]}, "trades")["price"].to_list() == [1.5, 2, None, None, None]
    with pytest.raises(InvalidData, match="'1,5' is not a valid price"):
        mapped({"price": ["1,5"]}, "trades")


def test_ids_are_text_whatever_they_were():
    assert mapped({"id": [41762773.0, 2.0]}, "trades")["id"].to_list() == ["41762773", "2"]
    assert mapped({"id": ["", "nan", "x"]}, "trades")["id"].to_list() == [None, None, "x"]


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(InvalidData, match="no column 'Date': the file has price"):
        mapped({"price": [1.0]}, "trades", columns={"ts": "Date"})


def test_what_is_said_goes_over_what_is_guessed():
    guessed = Mapping({"ts": "Date", "id": "ID", "price": "P"}, zone="UTC", header=True)
    said = Mapping({"ts": "Time", "id": ""}, unit="s", header=False)
    both = said.over(guessed)
    assert both.columns == {"ts": "Time", "price": "P"}
    assert (both.unit, both.zone, both.header) == ("s", "UTC", False)


@pytest.mark.parametrize("wrong", [{"columns": {"tz": "Date"}}, {"unit": "h"}, {"constants": {"when": "now"}}])
def test_a_mapping_onto_nothing_is_refused(wrong):
    with pytest.raises(InvalidName):
        Mapping(**wrong)


@pytest.mark.parametrize(
    ("columns", "kind", "found"),
    [
        (["Date", "Open", "High", "Low", "Close", "Volume"], "ohlcv", {"ts": "Date", "volume": "Volume"}),
        (
            ["open_time", "open", "high", "low", "close", "base_volume", "quote_volume"],
            "ohlcv",
            {"volume": "base_volume"},
        ),
        (["<DATE>", "<TIME>", "<OPEN>", "<HIGH>", "<LOW>", "<CLOSE>"], "ohlcv", {"ts": "<DATE>+<TIME>"}),
        (["", "timestamp", "id", "side", "price", "amount", "date"], "trades", {"ts": "timestamp", "amount": "amount"}),
        (["time_seconds", "price", "size", "is_buyer_maker"], "trades", {"buyer_maker": "is_buyer_maker"}),
        (["time", "bid", "ask"], "quotes", {"bid_price": "bid", "ask_price": "ask"}),
        (["Symbol", "Date", "Funding Rate"], "funding", {"rate": "Funding Rate", "symbol": "Symbol"}),
        (["createTime", "sumOpenInterest"], "open_interest", {"open_interest": "sumOpenInterest"}),
    ],
)
def test_columns_are_told_by_their_names(columns, kind, found):
    raw = pl.DataFrame({name: ["1"] for name in columns})
    told, mapping = guess(raw, named=True)
    assert told == kind
    assert found.items() <= mapping.columns.items()


def test_columns_without_names_are_told_by_their_values():
    ochl = pl.DataFrame(
        {"0": ["1"] * 2, "1": ["5", "2"], "2": ["4", "3"], "3": ["6", "3"], "4": ["4", "1"], "5": ["9"] * 2}
    )
    _, mapping = guess(ochl, named=False)
    assert [mapping.columns[name] for name in ("open", "high", "low", "close")] == ["1", "3", "4", "2"]


def test_trades_without_names_are_told_by_their_sides():
    raw = pl.DataFrame({"0": [1], "1": ["7"], "2": [None], "3": ["sell"], "4": [2.5], "5": [1.0], "6": [2.5]})
    kind, mapping = guess(raw, named=False)
    assert (kind, mapping.columns) == ("trades", {"ts": "0", "id": "1", "side": "3", "price": "4", "amount": "5"})


def test_text_is_no_price():
    raw = pl.DataFrame({str(at): ["x"] for at in range(6)})
    with pytest.raises(InvalidData, match="say which is which"):
        guess(raw, named=False)


@pytest.mark.parametrize("columns", [["a", "b", "c", "d"], ["Date", "x"], ["bid", "ask"]])
def test_columns_of_no_kind_are_asked_for(columns):
    with pytest.raises(InvalidData, match="say which is which"):
        guess(pl.DataFrame({name: ["1"] for name in columns}), named=True)


def test_a_header_has_no_numbers():
    assert looks_like_header(["ts", "open", ""])
    assert not looks_like_header(["1700000000", "1.5"])
    assert not looks_like_header(["2024-01-01", "BTC"])
    assert not looks_like_header(["-1.5", "x"])


@pytest.mark.parametrize(
    ("native", "market", "symbol"),
    [
        ("BTCUSDT", "spot", "BTC/USDT"),
        ("BTCUSDT", "linear", "BTC/USDT:USDT"),
        ("BTCUSD_PERP", "inverse", "BTC/USD:BTC"),
        ("XBTUSD", "spot", "BTC/USD"),
        ("XDGEUR", "spot", "DOGE/EUR"),
        ("BTC_USDT_USDT", "spot", "BTC/USDT:USDT"),
        ("BTC-USD-220527", "spot", "BTC/USD:BTC-220527"),
        ("BTC-USDT-SWAP", "spot", "BTC/USDT:USDT"),
        ("BTC-USD-SWAP", "spot", "BTC/USD:BTC"),
        ("ETH-USD-PERP", "spot", "ETH/USD:USD"),
        ("DOTUSD", "spot", "DOT/USD"),
        ("BTCTUSD", "spot", "BTC/TUSD"),
        ("eurusd", "spot", "EUR/USD"),
        ("1000SATSUSDT", "linear", "1000SATS/USDT:USDT"),
        ("AAPL", "spot", None),
        ("XRPU21", "spot", None),
    ],
)
def test_native_names_as_far_as_they_tell(native, market, symbol):
    assert unified(native, market) == symbol


@pytest.mark.parametrize(("kind", "column"), [("trades", "id"), ("ohlcv", "trades"), ("book", "seq")])
def test_whole_numbers_among_absent_ones_come_as_floats_and_are_whole_again(kind, column):
    values = mapped({column: [7.0, math.nan, None, float(2**53)]}, kind)[column].cast(pl.String)
    assert values.to_list() == ["7", None, None, str(2**53)]


@pytest.mark.parametrize(("kind", "column"), [("trades", "id"), ("ohlcv", "trades"), ("book", "seq")])
@pytest.mark.parametrize("wrong", [1.5, 2.0**53 + 2, math.inf, -1e300])
def test_floats_that_are_no_exact_whole_numbers_are_no_ids_or_counts(kind, column, wrong):
    with pytest.raises(InvalidData, match=f"{wrong!r} is not a valid {column}".replace("+", "[+]")):
        mapped({column: [7.0, None, wrong]}, kind)
