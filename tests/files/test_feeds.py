"""Books, tickers and candles of Tardis and cryptofeed, in rows written here after their documentation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from ticklake.app import memory_lake
from ticklake.core.time import parse_time
from ticklake.lake import Lake

AT = 1_704_153_600_000_000
HEAD = "exchange,symbol,timestamp,local_timestamp"


@pytest.fixture
def lake() -> Iterator[Lake]:
    with memory_lake(clock=lambda: parse_time("2026-01-01")) as lake:
        yield lake


def put(root: Path, name: str, *lines: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


class TestTardis:
    def test_changes_of_a_book(self, lake, tmp_path):
        path = put(
            tmp_path,
            "binance-futures_incremental_book_L2_2024-01-02_BTCUSDT.csv",
            f"{HEAD},is_snapshot,side,price,amount",
            f"binance-futures,BTCUSDT,{AT},{AT + 5},true,bid,100,1",
            f"binance-futures,BTCUSDT,{AT},{AT + 5},true,ask,101,2",
            f"binance-futures,BTCUSDT,{AT + 10},{AT + 15},false,ask,101,0",
        )
        (done,) = lake.import_files(path)
        assert (done.preset, done.dataset) == ("tardis-incremental-book", "binance:book:BTC/USDT:USDT")
        assert (done.new, done.quarantined) == (3, 0)
        rows = lake.load(done.dataset)
        assert rows["is_snapshot"].to_list() == [True, True, False]
        assert rows["seq"].to_list() == [(AT + 5) * 1000, (AT + 5) * 1000, (AT + 15) * 1000]
        assert rows["amount"].to_list() == [1, 2, 0]
        (again,) = lake.import_files(path)
        assert (again.new, again.duplicate) == (0, 3)

    def test_whole_books(self, lake, tmp_path):
        levels = ",".join(
            f"{side}[{at}].{what}" for at in (0, 1) for side in ("asks", "bids") for what in ("price", "amount")
        )
        path = put(
            tmp_path,
            "deribit_book_snapshot_5_2024-01-02_BTC-PERPETUAL.csv",
            f"{HEAD},{levels}",
            f"deribit,BTC-PERPETUAL,{AT},{AT + 5},101,1,100,2,102,3,99,4",
            f"deribit,BTC-PERPETUAL,{AT + 10},{AT + 15},101,1,100,2,,,99,5",
        )  # fmt: skip
        (done,) = lake.import_files(path)
        assert (done.preset, done.dataset, done.new) == ("tardis-book-snapshot", "deribit:book:BTC/USD:BTC", 7)
        rows = lake.load(done.dataset)
        assert rows["is_snapshot"].all()
        assert rows.select("side", "price", "amount").rows()[:4] == [
            *(("bid", 100, 2), ("bid", 99, 4), ("ask", 101, 1), ("ask", 102, 3))
        ]
        assert rows["ts"].n_unique() == rows["seq"].n_unique() == 2

    def test_numbers_that_are_times_are_no_missing_updates(self, lake, tmp_path):
        lines = [f"bybit-spot,BTCUSDT,{AT + at * 1000},{AT + at * 1000},false,bid,100,{at}" for at in range(1, 50)]
        (done,) = lake.import_files(put(tmp_path, "x.csv", f"{HEAD},is_snapshot,side,price,amount", *lines))
        assert done.dataset == "bybit:book:BTC/USDT"
        assert lake.gaps(done.dataset, start="2024-01-02T00:00:00.001Z", end="2024-01-02T00:00:00.049Z") == []

    def test_bybit_is_its_derivatives(self, lake, tmp_path):
        lines = [f"bybit,{symbol},{AT},{AT},{number},buy,1,2" for number, symbol in enumerate(("BTCUSDT", "BTCUSD"))]
        done = lake.import_files(put(tmp_path, "x.csv", f"{HEAD},id,side,price,amount", *lines))
        assert [one.dataset for one in done] == ["bybit:trades:BTC/USDT:USDT", "bybit:trades:BTC/USD:BTC"]

    def test_liquidations_are_no_trades(self, lake, tmp_path):
        lines = (f"{HEAD},id,side,price,amount", f"binance-futures,BTCUSDT,{AT},{AT},1,buy,1,2")
        for name in (
            "binance-futures_liquidations_2024-01-02_BTCUSDT.csv",
            "binance-futures/liquidations/2024/01/02/BTCUSDT.csv",
        ):
            (done,) = lake.import_files(put(tmp_path, name, *lines))
            assert done.dataset == "binance:liquidations:BTC/USDT:USDT"

    def test_tickers_of_contracts_are_funding_and_open_interest(self, lake, tmp_path):
        due = AT + 3_600_000_000
        path = put(
            tmp_path,
            "x.csv",
            f"{HEAD},funding_timestamp,funding_rate,predicted_funding_rate,open_interest,last_price,index_price,mark_price",
            f"bybit,BTCUSDT,{AT},{AT},{due},0.0001,,,100,99,98",
            f"bybit,BTCUSDT,{AT + 1},{AT + 1},{due},0.0001,,5,100,99,98.5",
            f"bybit,BTCUSDT,{AT + 2},{AT + 2},{due},0.0002,0.0003,5,101,99,98.6",
            f"bybit,BTCUSDT,{AT + 3},{AT + 3},{due},0.0002,0.0003,6,101,99,98.7",
        )
        done = {one.dataset: one for one in lake.import_files(path)}
        assert set(done) == {"bybit:funding:BTC/USDT:USDT", "bybit:open_interest:BTC/USDT:USDT"}
        notes = "; ".join(problem for one in done.values() for problem in one.problems)
        assert notes.count("left out: last_price and index_price") == 1
        funding = lake.load("bybit:funding:BTC/USDT:USDT")
        assert funding.select("rate", "predicted_rate", "mark_price").rows() == [
            (0.0001, None, 98),
            (0.0002, 0.0003, 98.6),
        ]
        assert funding["next_ts"].dt.timestamp("us").to_list() == [due, due]
        assert lake.load("bybit:open_interest:BTC/USDT:USDT")["open_interest"].to_list() == [5, 6]


@pytest.mark.parametrize("owner", ["feed", "exchange"])
class TestCryptofeed:
    def frame(self, owner: str, feed: str, **columns: list) -> pl.DataFrame:
        height = len(next(iter(columns.values())))
        times = {"timestamp": [1704153600.25] * height, "receipt_timestamp": [1704153600.5] * height}
        return pl.DataFrame({owner: [feed] * height, "symbol": ["BTC-USDT"] * height, **times, **columns})

    def test_candles(self, lake, tmp_path, owner):
        candles = {
            "start": [1704153600.0, 1704153600.0, 1704153660.0, 1704153600.0],
            "stop": [1704153659.999, 1704153659.999, 1704153719.999, 1704153899.999],
            "interval": ["1m", "1m", "1m", "5m"],
            "trades": [5, 9, 1, 30],
            "open": ["1", "1", "2", "1"],
            "close": ["1.5", "2", "2", "2"],
            "high": ["2", "3", "2", "3"],
            "low": ["1", "1", "2", "1"],
            "volume": ["5", "10", "1", "11"],
            "closed": [False, True, True, True],
        }
        path = tmp_path / "BINANCE-candles-BTC-USDT.parquet"
        self.frame(owner, "BINANCE", **candles).write_parquet(path)
        done = {one.dataset: one for one in lake.import_files(path)}
        assert {dataset: one.new for dataset, one in done.items()} == {
            "binance:ohlcv:1m:BTC/USDT": 2,
            "binance:ohlcv:5m:BTC/USDT": 1,
        }
        bars = lake.ohlcv("binance", "BTC/USDT", "1m")
        assert bars.select("open", "high", "low", "close", "volume", "trades").row(0) == (1, 3, 1, 2, 10, 9)
        assert done["binance:ohlcv:1m:BTC/USDT"].first == "2024-01-02T00:00:00Z"
        (said,) = lake.import_files(path, "binance:ohlcv:5m:BTC/USDT")
        assert (said.rows, said.duplicate) == (1, 1)

    def test_books(self, lake, tmp_path, owner):
        levels = {
            "delta": [False, False, True],
            "side": ["bid", "ask", "ask"],
            "price": [1.0, 2.0, 2.0],
            "size": [5.0, 6.0, 0.0],
        }
        path = tmp_path / "KRAKEN-l2_book-BTC-USDT.parquet"
        frame = self.frame(owner, "KRAKEN", **levels)
        frame.with_columns(receipt_timestamp=pl.Series([1704153600.5, 1704153600.5, 1704153600.75])).write_parquet(path)
        (done,) = lake.import_files(path)
        assert (done.preset, done.dataset, done.new) == ("cryptofeed-book", "kraken:book:BTC/USDT", 3)
        rows = lake.load(done.dataset)
        assert rows["is_snapshot"].to_list() == [True, True, False]
        assert rows["seq"].to_list() == [1704153600500000000, 1704153600500000000, 1704153600750000000]

    def test_open_interest(self, lake, tmp_path, owner):
        path = tmp_path / "oi.parquet"
        self.frame(owner, "BINANCE_FUTURES", open_interest=[5.5]).with_columns(
            symbol=pl.lit("BTC-USDT-PERP")
        ).write_parquet(path)
        (done,) = lake.import_files(path)
        assert (done.preset, done.dataset) == ("cryptofeed-open-interest", "binance:open_interest:BTC/USDT:USDT")
