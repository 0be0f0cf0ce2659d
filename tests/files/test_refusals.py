"""A file of which nothing comes in is refused; of one of which some rows do not, it is said which lines and why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from ticklake.app import memory_lake
from ticklake.core.dataset import Dataset
from ticklake.core.time import parse_time
from ticklake.files.decompress import Entry
from ticklake.files.readers import ImportOptions, parts_of, plan_file
from ticklake.lake import Lake

QUOTES = "kraken:quotes:BTC/USD"


@pytest.fixture
def lake() -> Iterator[Lake]:
    with memory_lake(clock=lambda: parse_time("2026-01-01")) as lake:
        yield lake


def put(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.write_text(text)
    return path


def refused(lake: Lake, path: Path, dataset: str, **options) -> str:
    (done,) = lake.import_files(path, dataset, **options)
    assert done.refused
    assert not lake.datasets()
    return done.problems[-1]


def test_quotes_whose_prices_are_not_understood_are_refused_by_name(lake, tmp_path):
    text = "time,bidpx,askpx\n" + "".join(f"2024-01-02T00:00:0{second}Z,1,2\n" for second in range(9))
    problem = refused(lake, put(tmp_path, "q.csv", text), QUOTES)
    assert "no column was recognised as bid_price or ask_price of quotes: not recognised are bidpx, askpx" in problem
    assert "--columns bid_price=" in problem


def test_a_column_that_is_named_like_one_and_holds_nothing_is_refused_with_lines(lake, tmp_path):
    text = "time,bid,ask,bidpx\n" + "".join(f"2024-01-02T00:00:0{second}Z,,,1\n" for second in range(9))
    problem = refused(lake, put(tmp_path, "q.csv", text), QUOTES)
    assert "none of its 9 rows can be true: no_price 9 (lines 2, 3, 4, 5, 6, ...)" in problem
    assert "--columns" in problem


def test_bars_with_columns_in_a_wrong_order_are_refused(lake, tmp_path):
    text = "time,open,high,low,close\n" + "".join(f"2024-01-02T00:0{minute}:00Z,1,1,3,2\n" for minute in range(5))
    assert "high_below" in refused(lake, put(tmp_path, "b.csv", text), "kraken:ohlcv:1m:BTC/USD")


def test_open_interest_without_any_is_refused(lake, tmp_path):
    path = put(tmp_path, "oi.csv", "time,interest\n2024-01-02T00:00:00Z,5\n")
    assert "open_interest or open_interest_value" in refused(lake, path, "kraken:open_interest:BTC/USD:BTC")


class TestAFileOfWhichSomeRowsAreNotGood:
    TEXT = "time,price,amount\n2024-01-02T00:00:00Z,1,2\n2024-01-02T00:00:01Z,-1,2\n2024-01-02T00:00:02Z,1,2\n2024-01-02T00:00:03Z,1,0\n2024-01-02T00:00:04Z,-5,2\n"
    SAID = "3 rows that cannot be true: price_not_positive 2 (lines 3, 6); amount_not_positive 1 (line 5)"

    def test_says_so_each_time_with_reasons_and_lines(self, lake, tmp_path):
        path = put(tmp_path, "t.csv", self.TEXT)
        for new in (2, 0):
            (done,) = lake.import_files(path, "kraken:trades:BTC/USD")
            assert (done.refused, done.new, done.quarantined) == (False, new, 3)
            assert self.SAID.replace("line 5", "lines 5") in done.problems

    def test_a_dry_run_says_it_too(self, lake, tmp_path):
        (done,) = lake.import_files(put(tmp_path, "t.csv", self.TEXT), "kraken:trades:BTC/USD", dry_run=True)
        assert done.quarantined == 3
        assert any("price_not_positive 2 (lines 3, 6)" in problem for problem in done.problems)

    def test_lines_are_counted_across_chunks(self, tmp_path):
        options = ImportOptions(parse_time("2026-01-01"), Dataset.parse("kraken:trades:BTC/USD"))
        plan = plan_file(Entry(put(tmp_path, "t.csv", self.TEXT)), options)
        places = [part.places.to_list() for part in parts_of(plan, options.now, chunk=64) if part.places is not None]
        assert len(places) > 1
        assert [place for chunk in places for place in chunk] == [2, 3, 4, 5, 6]

    def test_lines_are_counted_across_markets(self, lake, tmp_path):
        head = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"
        rows = "".join(
            f"deribit,{'BTC' if number % 2 else 'ETH'}-USDC,170415360000000{number},1704153600100000,{number},buy,{-1 if number in {4, 7} else 1},2\n"
            for number in range(9)
        )
        done = lake.import_files(put(tmp_path, "x.csv", head + rows))
        told = {one.dataset: problem for one in done for problem in one.problems if "cannot be true" in problem}
        assert "(lines 6)" in told["deribit:trades:ETH/USDC"]
        assert "(lines 9)" in told["deribit:trades:BTC/USDC"]

    def test_files_without_lines_count_rows(self, lake, tmp_path):
        path = tmp_path / "t.parquet"
        frame = pl.DataFrame({"ts": [1704153600000, 1704153601000], "price": [1.0, -1.0], "amount": [1.0, 1.0]})
        frame.write_parquet(path)
        (done,) = lake.import_files(path, "kraken:trades:BTC/USD")
        assert "1 rows that cannot be true: price_not_positive 1 (rows 2)" in done.problems


def test_trades_without_ids_for_a_dataset_that_has_them_are_refused(lake, tmp_path):
    dataset = "kraken:trades:BTC/USD"
    lake.import_files(put(tmp_path, "a.csv", "time,id,price,amount\n2024-01-02T00:00:00Z,7,1,2\n"), dataset)
    (done,) = lake.import_files(put(tmp_path, "b.csv", "time,price,amount\n2024-01-02T00:00:01Z,1,2\n"), dataset)
    assert done.refused
    assert "its 1 trades have no ids" in done.problems[-1]
