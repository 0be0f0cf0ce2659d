"""The generated market is the same everywhere and adds up; the recorded market replays every file that is there."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from ticklake.core.batch import canonical
from ticklake.core.checks import check
from ticklake.core.dataset import Dataset
from ticklake.core.symbol import Symbol
from ticklake.core.time import DAY, HOUR, MINUTE, parse_time
from ticklake.core.timeframe import Timeframe
from ticklake.errors import BadInput
from ticklake.testing.exchange.generated import generated_market, live_market
from ticklake.testing.exchange.market import Market
from ticklake.testing.exchange.recorded import FILES, recorded_files, recorded_market

START, END = parse_time("2024-01-01"), parse_time("2024-01-03")
MORNING = parse_time("2024-01-01T06:00:00")


def digest(market: Market) -> str:
    """One number for every value of every series."""
    text = hashlib.sha256()
    for dataset in sorted(market.series, key=str):
        text.update(f"{dataset}\n{rows(market, str(dataset)).write_ndjson()}".encode())
    return text.hexdigest()


def rows(market: Market, text: str) -> pl.DataFrame:
    dataset = Dataset.parse(text)
    return market.rows(dataset.exchange, dataset.symbol, dataset.kind, dataset.timeframe)


class TestGenerated:
    def test_two_builds_are_the_same_to_the_last_bit(self):
        assert digest(generated_market(START, MORNING)) == digest(generated_market(START, MORNING))

    def test_it_is_what_it_always_was(self):
        """Nine decimals of each number: prices have two, amounts five."""
        market = generated_market(START, MORNING)
        rounded = Market()
        for dataset in market.series:
            frame = rows(market, str(dataset)).with_columns(pl.col(pl.Float64).round(9))
            rounded.add(dataset, lambda frame=frame: frame)

        assert digest(rounded) == PINNED

    @pytest.mark.parametrize("threads", ["3", "8"])
    def test_it_is_the_same_on_a_machine_with_other_processors(self, threads):
        """The module promises: the same on every machine."""
        code = f"from {__name__} import *; print(digest(generated_market(START, MORNING)))"
        env = os.environ | {"POLARS_MAX_THREADS": threads, "PYTHONPATH": os.pathsep.join(sys.path)}

        printed = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True, timeout=60
        )

        assert printed.stdout.strip() == digest(generated_market(START, MORNING))

    @pytest.mark.parametrize("text", ["binance:trades:BTC/USDT", "kraken:trades:ETH/EUR"])
    def test_bars_are_their_trades_added_up(self, text):
        market = generated_market(START, START + DAY)
        trades = rows(market, text)
        by_minute: dict[int, list[tuple[float, float]]] = {}
        for ts, price, amount in zip(trades["ts"].to_physical(), trades["price"], trades["amount"], strict=True):
            by_minute.setdefault(ts // MINUTE * MINUTE, []).append((price, amount))

        bars = rows(market, text.replace("trades", "ohlcv:1m"))

        assert bars["ts"].to_physical().to_list() == sorted(by_minute)
        for bar in bars.with_columns(ts=bars["ts"].to_physical()).iter_rows(named=True):
            prints = by_minute[bar["ts"]]
            prices = [price for price, _ in prints]
            assert (bar["open"], bar["high"], bar["low"], bar["close"]) == (
                prices[0],
                max(prices),
                min(prices),
                prices[-1],
            )
            assert bar["volume"] == pytest.approx(sum(amount for _, amount in prints), rel=1e-12)
            assert bar["quote_volume"] == pytest.approx(sum(price * amount for price, amount in prints), rel=1e-12)
            assert bar["trades"] == len(prints)

    @pytest.mark.parametrize("timeframe", ["5m", "1h", "1d"])
    def test_longer_bars_are_shorter_ones_added_up(self, timeframe):
        market = generated_market(START, END)
        step = Timeframe.parse(timeframe).length
        minute = rows(market, "binance:ohlcv:1m:BTC/USDT").with_columns(group=pl.col("ts").to_physical() // step * step)

        longer = rows(market, f"binance:ohlcv:{timeframe}:BTC/USDT")

        groups = minute.group_by("group", maintain_order=True).agg(
            pl.col("volume").sum(), pl.col("high").max(), pl.col("open").first()
        )
        assert longer["ts"].to_physical().to_list() == groups["group"].to_list()
        assert longer.select("high", "open").equals(groups.select("high", "open"))
        assert (longer["volume"] - groups["volume"]).abs().max() < 1e-9

    @pytest.mark.parametrize(
        "text", ["binance:trades:BTC/USDT", "binance:trades:ETH/USDT:USDT", "kraken:trades:BTC/USD"]
    )
    def test_trades_are_in_order_numbered_and_inside_the_span(self, text):
        trades = rows(generated_market(START, END), text)
        ts = trades["ts"].to_physical()

        assert ts.is_sorted()
        assert START <= ts[0] <= ts[-1] < END
        assert trades["id"].to_list() == [str(number) for number in range(1, trades.height + 1)]
        assert set(trades["side"]) == {"buy", "sell"}
        assert 1.5 < trades.height / ((END - START) / MINUTE) < 4.5

    def test_it_has_every_kind_that_is_served(self):
        found = {(dataset.exchange, dataset.kind) for dataset in generated_market(START, END).series}

        kinds = ("trades", "ohlcv", "mark_ohlcv", "index_ohlcv", "funding", "open_interest")
        assert found == {("binance", kind) for kind in kinds} | {("kraken", "trades"), ("kraken", "ohlcv")}

    def test_every_row_of_it_can_be_true(self):
        market = generated_market(START, END)
        for dataset in market.series:
            frame = rows(market, str(dataset)).drop("n", "provenance", strict=False)
            assert check(canonical(frame, dataset.spec), dataset, END).bad.height == 0, str(dataset)

    def test_funding_comes_every_eight_hours_and_open_interest_every_five_minutes(self):
        market = generated_market(START, END)

        assert rows(market, "binance:funding:BTC/USDT:USDT")["ts"].to_physical().to_list() == list(
            range(START, END, 8 * HOUR)
        )
        interest = rows(market, "binance:open_interest:BTC/USDT:USDT")["ts"].to_physical()
        assert interest.to_list() == list(range(START, END, 5 * MINUTE))

    def test_a_longer_market_begins_with_the_shorter_one(self):
        short, long = (rows(generated_market(START, end), "binance:trades:BTC/USDT") for end in (END, END + DAY))

        assert long.head(short.height).equals(short)


class TestMarket:
    def test_what_is_not_simulated_has_no_rows_and_all_columns(self):
        found = generated_market(START, END).rows("binance", Symbol("NO/SUCH"), "funding")

        assert found.height == 0
        assert "rate" in found.columns

    def test_several_series_of_one_dataset_are_merged_by_time(self):
        market, dataset = Market(), Dataset.parse("binance:ohlcv:1m:A/B")
        for opens in ([3, 1], [2, 3]):
            frame = pl.DataFrame({"ts": [START + n * MINUTE for n in opens], "open": [float(n) for n in opens]})
            market.add(dataset, lambda frame=frame: frame)

        assert rows(market, str(dataset))["open"].to_list() == [1.0, 2.0, 3.0]

    def test_series_are_loaded_when_first_asked_for_and_once(self):
        market, loads = Market(), []

        def load() -> pl.DataFrame:
            loads.append(1)
            return pl.DataFrame({"ts": [START], "rate": [0.1]})

        market.add(Dataset.parse("binance:funding:A/B:B"), load)
        assert loads == []
        for _ in range(3):
            rows(market, "binance:funding:A/B:B")
        assert loads == [1]

    def test_it_ends_after_its_newest_row(self):
        market = Market()
        market.add(
            Dataset.parse("binance:funding:A/B:B"), lambda: pl.DataFrame({"ts": [START, END], "rate": [0.1, 0.2]})
        )

        assert market.end() == END + 1


ROWS = {
    "ohlcv/binance_BTC_USDT_1m_202408.feather": 43_209,
    "ohlcv/freqtrade_XRP_ETH-1m.feather": 2_469,
    "ohlcv/freqtrade_XRP_ETH-5m.feather": 706,
    "ohlcv/binanceusdm_BTC_USDT_1m_2025.feather": 43_199,
    "ohlcv/binanceusdm_BTC_USDT_5m_2025.feather": 10_906,
    "ohlcv/binanceusdm_BTC_USDT_15m_2025.feather": 3_635,
    "ohlcv/binanceusdm_BTC_USDT_1h_2025.feather": 719,
    "ohlcv/vision_um_NEARUSDT-1m-2023-09.csv.gz": 43_200,
    "ohlcv/binanceus_BTCUSD_1m_202303.csv.xz": 30_240,
    "ohlcv/kraken_XBTUSD_60m.csv.xz": 70_253,
    "ohlcv/kraken_BTCUSDC_1m_2023.csv.xz": 56_717,
    "trades/binance_BTCUSDT_aggTrades_20201101T09.json.gz": 18_054,
    "trades/binance_ETHUSDT_aggTrades_20201101T09.json.gz": 4_700,
    "trades/binance_XRPETH_aggTrades_201910.json.gz": 12_477,
    "trades/kraken_XRP_EUR_trades_2022.json.gz": 208_697,
}
"""Rows of each file, counted by those who shared it (README.md beside the data)."""


class TestRecorded:
    def test_it_covers_every_known_file_that_is_there(self, recorded, recorded_market_):
        there = [(name, text) for name, text, _ in FILES if (recorded / name).is_file()]

        assert {str(dataset) for dataset in recorded_market_.series} == {text for _, text in there}
        assert sum(len(loads) for loads in recorded_market_.series.values()) == len(there) == len(FILES)

    @pytest.mark.parametrize("name", ROWS)
    def test_every_row_of_a_file_is_replayed(self, name, recorded, recorded_market_):
        (_, text, read) = next(entry for entry in FILES if entry[0] == name)

        own = read(recorded / name)
        replayed = rows(recorded_market_, text)

        assert own.height == ROWS[name]
        assert own["ts"].is_sorted()
        assert own.select("ts").unique().join(replayed.select("ts").unique(), on="ts", how="anti").height == 0
        assert len([1 for _, other, _ in FILES if other == text]) > 1 or replayed.height == own.height

    def test_the_timeframes_of_octobot_are_all_there(self, recorded):
        counts = {
            str(dataset.timeframe): read(path).height
            for path, dataset, read in recorded_files(recorded)
            if "octobot" in path.name
        }

        assert counts == dict.fromkeys(("3m", "5m", "15m", "30m", "1h", "2h", "4h", "8h", "12h"), 500) | {
            "1m": 502, "1d": 255, "3d": 85, "1w": 37, "1M": 9,
        }  # fmt: skip

    def test_files_that_are_not_there_are_left_out(self, recorded, tmp_path):
        name = "ohlcv/freqtrade_XRP_ETH-5m.feather"
        (tmp_path / "ohlcv").mkdir()
        (tmp_path / name).write_bytes((recorded / name).read_bytes())

        assert [str(dataset) for dataset in recorded_market(tmp_path).series] == ["binance:ohlcv:5m:XRP/ETH"]

    @pytest.mark.parametrize("folder", ["empty", "missing"])
    def test_a_folder_without_recordings_is_refused(self, folder, tmp_path):
        (tmp_path / "empty").mkdir()

        with pytest.raises(BadInput, match="holds no recorded data"):
            recorded_market(tmp_path / folder)

    def test_names_never_leave_the_folder(self):
        assert not any(Path(name).is_absolute() or ".." in Path(name).parts for name, _, _ in FILES)

    def test_trades_give_the_recorded_bars(self, recorded_market_):
        """Oracle of the data's README: XRP/ETH aggregated trades to 1m equal the recorded bars on all 2,469 bars."""
        trades = rows(recorded_market_, "binance:trades:XRP/ETH")
        bars = rows(recorded_market_, "binance:ohlcv:1m:XRP/ETH")
        minute = trades.group_by(pl.col("ts").dt.truncate("1m"), maintain_order=True).agg(
            open=pl.col("price").first(),
            high=pl.col("price").max(),
            low=pl.col("price").min(),
            close=pl.col("price").last(),
        )

        assert minute.equals(bars.select("ts", "open", "high", "low", "close"))


PINNED = "eaa7c73b7aa8080c85b944a126169db442d5e1b1105205fcc969e63e62984fe5"
"""Changes when the generated market does: then say so in the changelog."""


def test_a_live_market_stays_the_same_all_week():
    monday, sunday = parse_time("2026-11-23T00:00:01"), parse_time("2026-11-29T23:00")

    first, last = (
        live_market(now).rows("kraken", Symbol("ETH/EUR"), "trades").filter(pl.col("ts").to_physical() < sunday)
        for now in (monday, sunday)
    )

    assert first.equals(last.head(first.height))
    assert first["ts"].to_physical()[0] < monday - 6 * DAY
    assert first["ts"].to_physical()[-1] > monday + DAY


def test_further_symbols_trade_at_the_pace_that_is_asked_for():
    market = generated_market(parse_time("2024-01-01"), parse_time("2024-01-02"), more=2, pace=120.0)

    rows = market.rows("binance", Symbol("SIM001/USDT"), "trades")
    assert rows.height == pytest.approx(120 * 24 * 60, rel=0.05)
    assert rows["ts"].is_sorted()
