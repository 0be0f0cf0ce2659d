"""What can be asked of the verbs that read, and what is refused."""

import numpy as np
import polars as pl
import pytest
from engine_lakes import BARS, TRADES, at, full

from ticklake import Book
from ticklake.errors import BadInput, InvalidData, UnknownDataset
from ticklake.testing.rows import START, bars, trades

SECOND = 10**9
BOOK = "x:book:BTC/USDT"


def level(second, side, price, amount, *, snapshot, seq=1):
    return {
        "ts": START + second * SECOND,
        "seq": seq,
        "side": side,
        "price": price,
        "amount": amount,
        "is_snapshot": snapshot,
    }


def snapshot(second, price=100.0, seq=1):
    sides = ((side, sign * gap) for side, sign in (("bid", -1), ("ask", 1)) for gap in (1.0, 3.0, 2.0))
    return [level(second, side, price + gap, 1.0, snapshot=True, seq=seq) for side, gap in sides]


def test_changes_without_a_snapshot_are_an_empty_book_that_says_so(any_lake):
    any_lake.save(BOOK, [level(0, "bid", 99.0, 1.0, snapshot=False), level(1, "ask", 101.0, 1.0, snapshot=False)])
    book = any_lake.book("x", "BTC/USDT")
    assert isinstance(book, Book)
    assert book.columns == any_lake.load(BOOK).columns
    assert (book.height, book.reason) == (0, "x:book:BTC/USDT has 2 changes, and no snapshot that they change")
    assert "no snapshot" in repr(book)
    assert "no snapshot" in book._repr_html_()
    assert any_lake.book("x", "BTC/USDT", depth=5).height == 0
    assert any_lake.book("x", "BTC/USDT", at=START).reason.startswith("x:book:BTC/USDT has 1 changes at or before 2024")


def test_before_the_first_row_and_after_a_deletion_a_book_is_empty_with_its_reason(any_lake):
    any_lake.save(BOOK, snapshot(10))
    assert (
        any_lake.book("x", "BTC/USDT", at=START).reason
        == "x:book:BTC/USDT has no rows at or before 2024-01-01T00:00:00Z"
    )
    any_lake.delete(BOOK)
    assert any_lake.book("x", "BTC/USDT").reason == "x:book:BTC/USDT has no rows"
    with pytest.raises(UnknownDataset, match="x:book:BTC/USD: did you mean"):
        any_lake.book("x", "BTC/USD")


def test_a_book_is_the_newest_snapshot_and_what_changed_since_best_prices_first(any_lake):
    any_lake.save(BOOK, [*snapshot(0), *snapshot(5, 200.0), *snapshot(5, 300.0, seq=2)])
    any_lake.save(BOOK, [level(7, "bid", 98.0, 2.0, snapshot=False, seq=3)])
    book = any_lake.book("x", "BTC/USDT")
    assert book["price"].to_list() == [299.0, 298.0, 297.0, 98.0, 301.0, 302.0, 303.0]
    assert book.reason == ""
    assert any_lake.book("x", "BTC/USDT", START + SECOND, 1)["price"].to_list() == [99.0, 101.0]
    assert any_lake.book("x", "BTC/USDT", depth=1, columns=["price", "side"]).rows() == [(299.0, "bid"), (301.0, "ask")]


@pytest.mark.parametrize("depth", [0, -1, True, 2.5, "5"])
def test_a_depth_that_is_no_number_of_levels_is_refused(any_lake, depth):
    any_lake.save(BOOK, snapshot(0))
    with pytest.raises(BadInput, match="depth"):
        any_lake.book("x", "BTC/USDT", depth=depth)


VERBS = {
    "load": lambda lake, **named: lake.load(BARS, **named),
    "scan": lambda lake, **named: lake.scan(BARS, **named).collect(),
    "ohlcv": lambda lake, **named: lake.ohlcv("x", "BTC/USDT", "1m", **named),
    "resample": lambda lake, **named: lake.resample(BARS, "2m", **named),
    "snapshot": lambda lake, **named: lake.at(1).load(BARS, **named),
}


@pytest.fixture
def filled(any_lake):
    any_lake.save(BARS, bars(0, 20))
    return any_lake


@pytest.mark.parametrize("verb", VERBS)
class TestColumnsAndLast:
    def test_they_narrow_what_comes_back(self, filled, verb):
        ask = VERBS[verb]
        whole = ask(filled)
        assert ask(filled, last=3).equals(whole.tail(3))
        assert ask(filled, last=np.int64(3), columns=("close", "ts")).equals(whole.tail(3).select("close", "ts"))
        assert ask(filled, columns="close").equals(whole.select("close"))
        assert ask(filled, last=0).equals(whole.head(0))

    @pytest.mark.parametrize("last", [-1, True, 2.5, "3", float("nan")])
    def test_a_last_that_counts_nothing_is_refused(self, filled, verb, last):
        with pytest.raises(BadInput, match="last="):
            VERBS[verb](filled, last=last)

    @pytest.mark.parametrize("columns", [[], (), ["ts", "ts"], "Close", ["close", "price"], [1], "open,close"])
    def test_columns_that_are_none_are_refused(self, filled, verb, columns):
        with pytest.raises(BadInput):
            VERBS[verb](filled, columns=columns)


def test_a_misspelled_column_is_answered_with_the_likely_one(filled):
    with pytest.raises(BadInput, match=r"no column 'Close' .did you mean 'close'"):
        filled.load(BARS, columns=["Close"])


def test_trades_and_funding_take_them_too(any_lake):
    any_lake.save(TRADES, trades(0, 9))
    any_lake.save("x:funding:A/B:B", [{"ts": at(0), "rate": 0.1}, {"ts": at(480), "rate": 0.2}])
    assert any_lake.trades("x", "BTC/USDT:USDT", columns="id", last=2)["id"].to_list() == ["1000007", "1000008"]
    assert any_lake.funding("x", "A/B:B", last=1, columns=["rate"]).rows() == [(0.2,)]


def test_a_lazy_frame_of_the_last_rows_can_be_filtered(filled):
    assert (
        filled.scan(BARS, last=5).filter(pl.col("ts") > pl.lit(at(17)).cast(pl.Datetime("ns", "UTC"))).collect().height
        == 2
    )
    assert filled.scan(BARS).collect().equals(full(bars(0, 20)))


def test_the_provenance_of_rows_can_be_asked_for_by_name_where_rows_have_one(lake):
    lake.save(BARS, bars(0, 120))
    assert lake.load(BARS, columns="provenance").columns == ["provenance"]
    assert lake.scan(BARS, columns=["ts", "provenance"]).collect().columns == ["ts", "provenance"]
    with pytest.raises(InvalidData, match="has no column 'provenance'"):
        lake.resample(BARS, "1h", columns="provenance")


READS = {
    "last_timestamp": lambda lake: lake.last_timestamp(BARS),
    "load": lambda lake: lake.load(BARS, at(1), at(2)),
}


@pytest.mark.parametrize("read", READS)
def test_a_short_read_asks_the_catalog_once(lake, monkeypatch, read):
    lake.save(BARS, bars(0, 3))
    database, statements = lake.engine.catalog.database, []
    fetch = database.fetch
    monkeypatch.setattr(database, "fetch", lambda *parts: statements.append(parts) or fetch(*parts))
    monkeypatch.setattr(database, "read", lambda: pytest.fail("a transaction"))
    READS[read](lake)
    assert len(statements) == 1


def test_an_answer_without_rows_is_empty_only_for_a_dataset_that_the_lake_has(any_lake):
    any_lake.save(BARS, bars(0, 3))
    assert any_lake.load(BARS, at(5)).equals(full(bars(0, 0)))
    for read in (any_lake.load, any_lake.last_timestamp):
        with pytest.raises(UnknownDataset, match="did you mean x:ohlcv:1m:BTC/USDT"):
            read("x:ohlcv:1m:BTC/USDC")
