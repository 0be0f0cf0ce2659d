"""Each oddity that the README of the recorded data names is detected, said, and does no harm."""

from __future__ import annotations

import gzip
import lzma
import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from ticklake import Mapping
from ticklake.app import memory_lake
from ticklake.core.file_reports import FileReport
from ticklake.core.time import HOUR, MS, parse_time
from ticklake.errors import BadInput
from ticklake.lake import Lake


@pytest.fixture
def lake() -> Iterator[Lake]:
    with memory_lake(clock=lambda: parse_time("2026-09-01")) as lake:
        yield lake


def one(lake: Lake, path: Path, dataset: str | None, **options) -> FileReport:
    (done,) = lake.import_files(path, dataset, **options)
    return done


def said(done: FileReport) -> str:
    return "; ".join(done.problems)


class TestOrder:
    def test_newest_first_with_a_scrambled_block_comes_in_sorted(self, recorded, lake):
        """CryptoDataDownload: newest first, hours of 2017-11-12 out of order, a junk line on top, AM and PM."""
        done = one(lake, recorded / "ohlcv/coinbase_BTCUSD_1h_cdd_2017_2019.csv.gz", "coinbase:ohlcv:1h:BTC/USD")

        assert "newest first: reversed; 5 steps against that: sorted" in said(done)
        day = lake.ohlcv("coinbase", "BTC/USD", "1h", "2017-11-12", "2017-11-13")
        assert day["ts"].dt.hour().to_list() == list(range(24))
        assert lake.missing_intervals("coinbase:ohlcv:1h:BTC/USD") == []

    def test_newest_first_trades_of_one_instant_keep_their_true_order(self, recorded, lake):
        """Bybit 2019: newest first, several trades share a timestamp; their order is the file's, turned round."""
        done = one(
            lake,
            recorded / "trades/bybit_BTCUSD_2019-10-01.csv.gz",
            "bybit:trades:BTC/USD:BTC",
            preset="bybit-inverse-trades",
        )

        assert "newest first" in said(done)
        text = gzip.decompress((recorded / "trades/bybit_BTCUSD_2019-10-01.csv.gz").read_bytes())
        ids = pl.read_csv(text, columns=["trdMatchID"])["trdMatchID"].reverse()
        assert lake.trades("bybit", "BTC/USD:BTC")["id"].equals(ids.alias("id"))

    def test_decimal_seconds_do_not_pass_through_floats(self, recorded, lake):
        """Field note: ``float * 1e9`` is off by up to 100 ns; 1569974396.557895 s is exactly ...557895000 ns."""
        path = recorded / "trades/bybit_BTCUSD_2019-10-01.csv.gz"
        one(lake, path, "bybit:trades:BTC/USD:BTC", preset="bybit-inverse-trades")
        last = lake.last_timestamp("bybit:trades:BTC/USD:BTC")
        assert last == 1569974396557895000

    def test_close_before_high_is_seen(self, recorded, lake):
        """Bitfinex writes open, close, high, low: with a header, and without one where only the values tell."""
        for name, symbol in (
            ("bitfinex_BTCUSD_1m_2019-06_07.csv.xz", "BTC/USD"),
            ("bitfinex_LTCUSD_1m_2014.csv.gz", "LTC/USD"),
        ):
            one(lake, recorded / "ohlcv" / name, f"bitfinex:ohlcv:1m:{symbol}")
        bars = lake.ohlcv("bitfinex", "BTC/USD", "1m")
        assert bars.row(0)[1:6] == (8533.11384961, 8533.4, 8516.0, 8519.52256033, 22.47118045)
        assert lake.quarantine("bitfinex:ohlcv:1m:LTC/USD") == []


class TestRepeatsAndNulls:
    @pytest.mark.parametrize(
        ("file", "dataset", "again"),
        [
            ("trades/kraken_BCHEUR_dump.csv", "kraken:trades:BCH/EUR", 1),
            ("trades/kraken_BCHEUR_incremental_q2.csv", "kraken:trades:BCH/EUR", 48),
            ("trades/gemini_ETHUSD_trades_20210701.csv.gz", "gemini:trades:ETH/USD", 252),
        ],
    )
    def test_identical_prints_are_all_kept_and_a_second_import_adds_none(self, recorded, lake, file, dataset, again):
        """Field note: identical prints are real."""
        first = one(lake, recorded / file, dataset)
        second = one(lake, recorded / file, dataset)

        assert f"{again} identical prints without ids: real repeats, all are kept" in said(first)
        assert first.new == first.rows == lake.load(dataset).height
        assert (second.new, second.duplicate) == (0, first.rows)

    def test_the_repeats_of_a_day_of_spy_are_kept(self, recorded, lake):
        """SPY: 451,545 prints, 78,909 of them identical in every column; times are New York's, prices times 10,000."""
        done = one(lake, recorded / "trades/lean_SPY_ticks_20131008_trade.zip", "nyse:trades:SPY/USD")
        rows = lake.trades("nyse", "SPY/USD")
        assert rows.height == done.rows == 451_545
        assert (
            rows["ts"][0] == pl.Series(["2013-10-08T08:00:17.034Z"]).str.to_datetime(time_unit="ns", time_zone="UTC")[0]
        )
        assert rows["price"][0] == 167.42

    def test_null_ids_stay_null_and_lose_no_trade(self, recorded, lake):
        """Kraken through freqtrade: ids are null except in the last row."""
        path = recorded / "trades/kraken_XRP_EUR_trades_2022.json.gz"
        done = one(lake, path, "kraken:trades:XRP/EUR", preset="freqtrade-trades")
        assert "id is null in 208,696 of 208,697 rows" in said(done)
        assert lake.trades("kraken", "XRP/EUR")["id"].null_count() == 208_696

    def test_bars_that_are_in_a_file_twice_are_counted_once(self, recorded, lake, tmp_path):
        """Duplicate identical rows of bars are duplicates, not bars."""
        text = lzma.decompress((recorded / "ohlcv/kraken_XBTUSD_60m.csv.xz").read_bytes()).splitlines(keepends=True)[
            :100
        ]
        path = tmp_path / "XBTUSD_60.csv"
        path.write_bytes(b"".join([*text, *text[40:60]]))
        done = one(lake, path, None)
        assert (done.dataset, done.rows, done.new, done.duplicate) == ("kraken:ohlcv:1h:BTC/USD", 120, 100, 20)
        assert "20 rows repeat the key of another row" in said(done)


class TestZones:
    @pytest.mark.parametrize("exchange", ["binance", "bybit", "htx", "kucoin", "mexc"])
    def test_funding_files_in_utc_plus_3_are_recognised_and_refused_without_a_zone(self, recorded, lake, exchange):
        """Field note: five published funding files have naive times that are UTC+3."""
        path, dataset = recorded / f"funding/{exchange}_BTC-USDT_funding.csv.gz", f"{exchange}:funding:BTC/USDT:USDT"

        refused = one(lake, path, dataset)

        assert refused.refused
        assert "lie 3 h off the grid of funding times, as times of UTC+3 would" in said(refused)
        assert lake.datasets() == []

    def test_with_the_zone_they_lie_on_the_grid_and_equal_the_utc_source(self, recorded, lake):
        path = recorded / "funding/binance_BTC-USDT_funding.csv.gz"
        one(lake, path, "binance:funding:BTC/USDT:USDT", mapping=Mapping(zone="Europe/Moscow"))
        hours = lake.funding("binance", "BTC/USDT:USDT")["ts"].dt.round("1m").dt.hour().unique().sort()
        assert hours.to_list() == [0, 8, 16]

    def test_a_wrong_zone_is_said(self, recorded, lake):
        path = recorded / "funding/mexc_BTC-USDT_funding.csv.gz"
        done = one(lake, path, "mexc:funding:BTC/USDT:USDT", mapping=Mapping(zone="UTC"))
        assert "is the zone right?" in said(done)

    def test_hourly_funding_cannot_tell_and_says_so(self, recorded, lake):
        done = one(lake, recorded / "funding/dydx_BTC-USDT_funding.csv.gz", "dydx:funding:BTC/USD:USD")
        assert done.refused
        assert "their grid does not tell the zone" in said(done)

    def test_a_utc_file_is_recognised_as_such(self, recorded, lake):
        done = one(lake, recorded / "funding/gate_BTC-USDT_funding.csv.gz", "gate:funding:BTC/USDT:USDT")
        assert "as times of UTC would" in said(done)


class TestFunding:
    def test_jitter_of_milliseconds_is_kept(self, recorded, lake):
        """Funding times jitter; LAYER's interval varies; nothing is snapped to a grid."""
        path = recorded / "funding/binanceusdm_LAYER_USDT_funding_2025.feather"
        one(lake, path, "binance:funding:LAYER/USDT:USDT", preset="freqtrade-funding")
        ts = lake.funding("binance", "LAYER/USDT:USDT")["ts"]
        assert (ts.to_physical() % HOUR != 0).sum() == 452
        assert set((ts.diff().dt.total_milliseconds().drop_nulls() / 3_600_000).round(0).unique()) == {1, 4}

    def test_freqtrades_rate_stands_in_open(self, recorded, lake):
        path = recorded / "funding/binanceusdm_BTC_USDT_funding_2025.feather"
        one(lake, path, "binance:funding:BTC/USDT:USDT", preset="freqtrade-funding")
        assert lake.funding("binance", "BTC/USDT:USDT")["rate"][0] == 6.818e-05

    def test_bitmex_writes_intervals_as_dates_of_2000(self, recorded, lake):
        """The interval changes from 24 h to 8 h in 2016."""
        one(lake, recorded / "funding/bitmex_XBTUSD_funding_2016_2020.csv.gz", None)
        intervals = lake.funding("bitmex", "BTC/USD:BTC")["interval"].cast(pl.Int64) // HOUR
        assert (intervals[0], intervals[-1]) == (24, 8)


class TestMislabelledAndBroken:
    def test_a_name_that_says_another_time_is_said(self, recorded, lake, tmp_path):
        """Kraken BTC/USDC: the published name says 2023-03-01..21, the rows are the whole quarter."""
        path = tmp_path / "BTCUSDC_1m_20230301_20230321.csv.xz"
        shutil.copy(recorded / "ohlcv/kraken_BTCUSDC_1m_2023.csv.xz", path)
        done = one(lake, path, "kraken:ohlcv:1m:BTC/USDC", preset="kraken-ohlcvt")
        assert "the rows span 2023-01-01T00:00:00Z .. 2023-03-31T23:59:00Z" in said(done)
        assert done.new == 56_717

    def test_a_name_that_says_another_timeframe_is_refused_or_said(self, recorded, lake, tmp_path):
        five, name = recorded / "ohlcv/kucoin_BTC_USDT_5m_202303.json.gz", "kucoin:ohlcv:{}:BTC/USDT"
        assert "not 1h bars" in said(one(lake, five, name.format("1h")))
        assert "its bars are 300 s apart, not 60: is it really 1m?" in said(one(lake, five, name.format("1m")))

    def test_a_wrong_ending_does_not_matter(self, recorded, lake, tmp_path):
        path = tmp_path / "BTC_USDT-1h.json"
        shutil.copy(recorded / "ohlcv/hyperliquid_BTC_USDC_perp_1h.feather", path)
        done = one(lake, path, "hyperliquid:ohlcv:1h:BTC/USDC:USDC")
        assert (done.format, done.new) == ("feather", 7_793)

    def test_a_git_lfs_pointer_is_called_that(self, recorded, lake):
        done = one(lake, recorded / "broken/l2update_15min_1.csv", "coinbase:book:BTC/USD")
        assert done.refused
        assert "git-LFS pointer" in said(done)

    def test_a_gzip_whose_crc_is_wrong_is_refused(self, recorded, lake):
        """A real file, damaged in its repository's history."""
        done = one(lake, recorded / "broken/bitfinex_L3_feed.log.gz", "bitfinex:book:BTC/USD")
        assert done.refused
        assert "CRC check failed" in said(done)

    @pytest.mark.parametrize(
        ("file", "dataset"),
        [
            ("trades/bybit_BTCUSD_2019-10-01.csv.gz", "bybit:trades:BTC/USD:BTC"),
            ("ohlcv/kraken_XBTUSD_60m.csv.xz", "kraken:ohlcv:1h:BTC/USD"),
            ("ohlcv/bybit_BTC_USDT_perp_5m_2025.feather", "bybit:ohlcv:5m:BTC/USDT:USDT"),
            ("trades/lean_AIG_ticks_20131009_trade.zip", "nyse:trades:AIG/USD"),
            ("trades/kraken_XRP_EUR_trades_2022.json.gz", "kraken:trades:XRP/EUR"),
        ],
    )
    def test_a_truncated_file_is_refused_as_a_whole(self, recorded, lake, tmp_path, file, dataset):
        """Field note: never half-import."""
        path = tmp_path / Path(file).name
        data = (recorded / file).read_bytes()
        path.write_bytes(data[: len(data) * 2 // 3])
        done = one(lake, path, dataset)
        assert done.refused, done
        assert lake.datasets() == []

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "the file is empty"),
            (b"<!DOCTYPE html><html><body>404</body></html>", "a web page"),
            (b"1672531436,90.5,1.1\n1672531471,90.4", "cut short"),
            (b"1672531436,90.5,1.1\n1672531471,n-a!,1\n", "'n-a!' is not a valid price"),
            (b"1672531436,90.5,1.1\nyesterday,90.4,1\n", "'yesterday' is not a time"),
        ],
    )
    def test_what_cannot_be_read_is_refused_with_the_reason(self, lake, tmp_path, content, reason):
        path = tmp_path / "BCHEUR.csv"
        path.write_bytes(content)
        done = one(lake, path, "kraken:trades:BCH/EUR")
        assert done.refused
        assert reason in said(done)
        assert lake.datasets() == []

    def test_a_unit_that_cannot_be_meant_is_refused(self, recorded, lake):
        """Field note: guard the unit by magnitude."""
        path = recorded / "ohlcv/kucoin_BTC_USDT_5m_202303.json.gz"
        done = one(lake, path, "kucoin:ohlcv:5m:BTC/USDT", mapping=Mapping(unit="s"))
        assert done.refused
        assert "by its size it counts ms" in said(done)


class TestWhatIsNotFinal:
    def test_a_bar_that_is_not_over_is_left_out_and_said(self, lake, tmp_path):
        """Nothing is invented: no forming bars."""
        path, now = tmp_path / "BTCUSD_60.csv", parse_time("2026-09-01") // 10**9
        rows = [f"{now + hours * 3600},1,2,1,2,1,1\n" for hours in (-2, -1, 0)]
        path.write_text("".join(rows))
        done = one(lake, path, None, preset="kraken-ohlcvt")
        assert (done.rows, done.new) == (2, 2)
        assert "1 bars from 2026-09-01T00:00:00Z on left out: not over yet" in said(done)


class TestCoverage:
    def test_minutes_without_trades_differ_from_those_that_nobody_asked_for(self, recorded, lake):
        """freqtrade XRP/ETH has 676 gaps of minutes without trades; before and after it nothing is known."""
        dataset = "binance:ohlcv:1m:XRP/ETH"
        one(lake, recorded / "ohlcv/freqtrade_XRP_ETH-1m.feather", dataset, preset="freqtrade")
        gaps = lake.gaps(dataset, "2019-10-10", "2019-10-14")
        assert sum(gap.missing or 0 for gap in gaps if gap.reason == "no_trades") == 1_091
        assert [str(gap.span) for gap in gaps if gap.reason == "not_fetched"] == [
            "[2019-10-10T00:00:00Z .. 2019-10-11T00:00:00Z)",
            "[2019-10-13T11:20:00Z .. 2019-10-14T00:00:00Z)",
        ]

    def test_a_dump_covers_the_whole_month_in_its_name(self, recorded, lake, tmp_path):
        path = tmp_path / "NEARUSDT-1m-2023-09.csv.gz"
        shutil.copy(recorded / "ohlcv/vision_um_NEARUSDT-1m-2023-09.csv.gz", path)
        done = one(lake, path, None)
        assert done.dataset == "binance:ohlcv:1m:NEAR/USDT:USDT"
        assert [str(span) for span in lake.coverage(done.dataset).spans()] == [
            "[2023-09-01T00:00:00Z .. 2023-10-01T00:00:00Z)"
        ]


def test_files_that_do_not_say_what_they_are_are_asked_for_at_once_and_nothing_is_saved(recorded, lake):
    with pytest.raises(BadInput, match=r"1 of 2 files do not say of which dataset they are, like .*dataset='exchange"):
        lake.import_files(
            [
                recorded / "book/binance_ETHBTC_20201101T09_trades.json.gz",
                recorded / "ohlcv/freqtrade_XRP_ETH-1m.feather",
            ]
        )
    assert lake.datasets() == []


def test_a_dry_run_reads_everything_and_saves_nothing(recorded, lake):
    path = recorded / "trades/tardis_binance-futures_BTCUSDT_trades_20200222.csv.gz"
    done = one(lake, path, "binance:trades:BTC/USDT:USDT", dry_run=True)
    assert (done.rows, done.new, done.first) == (9_999, 0, "2020-02-22T00:00:02.111Z")
    assert done.mapping["columns"]["received_at"] == "local_timestamp"
    assert lake.datasets() == []
    assert lake.runs.list() == []


def test_received_at_of_tardis_is_when_it_was_heard(recorded, lake):
    path = recorded / "quotes/tardis_binance-futures_BTCUSDT_quotes_20200222.csv.gz"
    one(lake, path, "binance:quotes:BTC/USDT:USDT")
    rows = lake.load("binance:quotes:BTC/USDT:USDT")
    delays = (rows["received_at"] - rows["ts"]).dt.total_milliseconds()
    assert 0 < delays.min() < delays.max() < 60_000
    assert rows["ts"].to_physical()[0] % MS == 0
