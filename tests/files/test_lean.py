"""LEAN's data folder: whose zone times are in, which day they count from, what each member of a zip is, and sides that are missing."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ticklake import Mapping
from ticklake.app import memory_lake
from ticklake.core.time import parse_time
from ticklake.errors import BadInput
from ticklake.interfaces.cli.main import app
from ticklake.lake import Lake

HOUR = 3_600_000
TICK = f"{HOUR},1.1,1.2\n"
BAR = f"{HOUR},1,3,1,2,10,2,4,2,3,20\n"
TRADE_BAR = f"{HOUR},10000,30000,10000,20000,10\n"


@pytest.fixture
def lake() -> Iterator[Lake]:
    with memory_lake(clock=lambda: parse_time("2026-01-01")) as lake:
        yield lake


def zipped(root: Path, path: str, members: dict[str, str]) -> Path:
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(place, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return place


@pytest.mark.parametrize(
    ("path", "member", "text", "preset", "dataset", "first"),
    [
        ("forex/oanda/tick/eurusd/20140508_quote.zip", "20140508_eurusd_tick_quote.csv", TICK, "lean-forex-ticks", "oanda:quotes:EUR/USD", "2014-05-08T01:00:00Z"),
        ("forex/fxcm/tick/usdcad/20140508_quote.zip", "20140508_usdcad_tick_quote.csv", TICK, "lean-forex-ticks", "fxcm:quotes:USD/CAD", "2014-05-08T06:00:00Z"),
        ("cfd/oanda/tick/xauusd/20140508_quote.zip", "20140508_xauusd_tick_quote.csv", TICK, "lean-forex-ticks", "oanda:quotes:XAU/USD", "2014-05-08T01:00:00Z"),
        ("forex/fxcm/minute/eurusd/20140508_quote.zip", "20140508_eurusd_minute_quote.csv", BAR, "lean-quote-bars", "fxcm:quotes:EUR/USD", "2014-05-08T06:01:00Z"),
        ("forex/oanda/second/eurusd/20140508_quote.zip", "20140508_eurusd_second_quote.csv", BAR, "lean-quote-bars", "oanda:quotes:EUR/USD", "2014-05-08T01:00:01Z"),
        ("forex/oanda/hour/eurusd.zip", "eurusd.csv", BAR.replace(f"{HOUR}", "20140508 01:00"), "lean-long-quote-bars", "oanda:quotes:EUR/USD", "2014-05-08T02:00:00Z"),
        ("crypto/bitfinex/minute/ethusd/20140508_trade.zip", "20140508_ethusd_minute_trade.csv", TRADE_BAR, "lean-bars", "bitfinex:ohlcv:1m:ETH/USD", "2014-05-08T01:00:00Z"),
        ("cryptofuture/binance/minute/btcusdt/20240508_trade.zip", "20240508_btcusdt_minute_trade_perp.csv", TRADE_BAR, "lean-bars", "binance:ohlcv:1m:BTC/USDT:USDT", "2024-05-08T01:00:00Z"),
        ("future/cme/minute/es/20131007_trade.zip", "20131007_es_minute_trade_201312_20131220.csv", TRADE_BAR, "lean-future-bars", "cme:ohlcv:1m:ES/USD:USD-131220", "2013-10-07T01:00:00Z"),
        ("future/cme/daily/es_trade.zip", "es_trade_201312_20131220.csv", "20131007 00:00,1,2,0.5,1.5,10\n", "lean-future-long-bars", "cme:ohlcv:1d:ES/USD:USD-131220", "2013-10-07T00:00:00Z"),
        ("future/cme/hour/es_trade.zip", "es_trade_201312_20131220.csv", "20131007 01:00,1,2,0.5,1.5,10\n", "lean-future-long-bars", "cme:ohlcv:1h:ES/USD:USD-131220", "2013-10-07T01:00:00Z"),
        ("future/comex/daily/gc_openinterest.zip", "gc_openinterest_201312_20131227.csv", "20131007 00:00,5\n", "lean-future-long-open-interest", "comex:open_interest:GC/USD:USD-131227", "2013-10-07T00:00:00Z"),
        ("future/comex/minute/gc/20131007_openinterest.zip", "20131007_gc_minute_openinterest_201312_20131227.csv", f"{HOUR},5\n", "lean-future-open-interest", "comex:open_interest:GC/USD:USD-131227", "2013-10-07T01:00:00Z"),
    ],
)  # fmt: skip
def test_the_zone_is_that_of_the_feed(lake, tmp_path, path, member, text, preset, dataset, first):
    (done,) = lake.import_files(zipped(tmp_path, path, {member: text}))
    assert not done.refused, done.problems
    assert (done.preset, done.dataset, done.first) == (preset, dataset, first)


def test_the_zone_of_a_feed_that_is_not_known_is_asked_for(lake, tmp_path):
    path = zipped(tmp_path, "a.zip", {"20140508_eurusd_tick_quote.csv": TICK})
    (refused,) = lake.import_files(path, "somebody:quotes:EUR/USD")
    assert (
        "the zone of its times depends on the feed (oanda UTC, fxcm UTC-05), and somebody is not known"
        in refused.problems[-1]
    )
    (done,) = lake.import_files(path, "somebody:quotes:EUR/USD", mapping=Mapping(zone="UTC"))
    assert done.first == "2014-05-08T01:00:00Z"
    for exchange, hour in (("oanda", 1), ("fxcm", 6)):
        (done,) = lake.import_files(path, exchange=exchange)
        assert done.first == f"2014-05-08T0{hour}:00:00Z"


@pytest.mark.parametrize(
    ("path", "member", "text", "words"),
    [
        ("index/usa/minute/spx/20210104_trade.zip", "20210104_spx_minute_trade.csv", TRADE_BAR, "an index"),
        ("index/usa/tick/vix/20210104_trade.zip", "20210104_vix_Trade_Tick.csv", f"{HOUR},10000,5,Q,@,0\n", "an index"),
        ("index/hkfe/daily/hsi.zip", "hsi.csv", "20140606 09:00,1,3,1,2,10\n", "an index"),
        ("equity/india/minute/infy/20210104_trade.zip", "20210104_infy_minute_trade.csv", TRADE_BAR, "shares of india"),
        ("option/usa/minute/aapl/20140606_trade_american.zip", "20140606_aapl_minute_trade_american_call_2500000_20140621.csv", TRADE_BAR, "options"),
        ("option/usa/daily/aapl_2014_trade_american.zip", "aapl_trade_american_call_2500000_20140621.csv", "20140606 00:00,1,3,1,2,10\n", "options"),
        ("indexoption/usa/minute/spx/20210104_quote_european.zip", "20210104_spx_minute_quote_european_call_36000000_20210115.csv", BAR, "options"),
        ("futureoption/cme/minute/es/202003/20200105_quote_american.zip", "20200105_es_minute_quote_american_call_32000000_20200320.csv", BAR, "options"),
        ("future/hkfe/minute/hsi/20131007_trade.zip", "20131007_hsi_minute_trade_201312_20131220.csv", TRADE_BAR, "futures of hkfe"),
        ("future/eurex/daily/fdax_trade.zip", "fdax_trade_201312_20131220.csv", "20131007 00:00,1,2,0.5,1.5,10\n", "futures of eurex"),
        ("future/ice/minute/dx/20131007_trade.zip", "20131007_dx_minute_trade_201312_20131220.csv", TRADE_BAR, "DX"),
        ("forex/somebody/minute/eurusd/20140508_quote.zip", "20140508_eurusd_minute_quote.csv", BAR, "somebody is not known"),
        ("cfd/fxcm/minute/xauusd/20140508_quote.zip", "20140508_xauusd_minute_quote.csv", BAR, "fxcm is not known"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("told", [{}, {"exchange": "nyse"}, {"dataset": "cboe:ohlcv:1m:SPX/USD"}])
def test_what_is_not_certain_is_refused_in_a_sentence(lake, tmp_path, path, member, text, words, told):
    (refused,) = lake.import_files(zipped(tmp_path, path, {member: text}), **told)
    assert refused.refused
    assert words in refused.problems[-1]
    assert "--zone" in refused.problems[-1]
    assert lake.datasets() == []


def test_what_is_not_certain_comes_in_as_it_is_said(lake, tmp_path):
    path = zipped(
        tmp_path, "index/usa/minute/spx/20210104_trade.zip", {"20210104_spx_minute_trade.csv": f"{HOUR},1,3,1,2,10\n"}
    )
    columns = {"ts": "0", "open": "1", "high": "2", "low": "3", "close": "4", "volume": "5"}
    mapping = Mapping(columns, unit="ms", zone="America/Chicago", since=parse_time("2021-01-04"))
    (done,) = lake.import_files(path, "cboe:ohlcv:1m:SPX/USD", preset="generic", mapping=mapping)
    assert (done.new, done.first) == (1, "2021-01-04T07:00:00Z")
    assert lake.load(done.dataset)["close"].to_list() == [2]


def test_a_future_of_a_place_that_is_not_known_is_not_taken_for_one_in_dollars(lake, tmp_path):
    path = zipped(tmp_path, "a.zip", {"20131007_hsi_minute_trade_201312_20131220.csv": TRADE_BAR})
    with pytest.raises(BadInput, match="the symbol is not known"):
        lake.import_files(path, exchange="hkfe", mapping=Mapping(zone="Asia/Hong_Kong"))


class TestQuoteTicksOfShares:
    """The readme: each quote tick has the bid or the ask, and zeros for the other."""

    TEXT = f"{HOUR},137450,100,0,0,D,1,0\n{HOUR + 1}.5,0,0,137500,200,D,1,0\n{HOUR + 2},,,137600,300,D,1,0\n"

    def shares(self, root: Path) -> Path:
        return zipped(root, "equity/usa/tick/bac/20131008_quote.zip", {"20131008_bac_Quote_Tick.csv": self.TEXT})

    def test_are_in_new_yorks_time_and_one_sided(self, lake, tmp_path):
        (done,) = lake.import_files(self.shares(tmp_path), exchange="nyse")
        assert (done.preset, done.dataset) == ("lean-equity-quote-ticks", "nyse:quotes:BAC/USD")
        assert (done.quarantined, done.first) == (0, "2013-10-08T05:00:00Z")
        rows = lake.load(done.dataset)
        assert rows["bid_price"].to_list() == [13.745, None, None]
        assert rows["bid_amount"].to_list() == [100, None, None]
        assert rows["ask_price"].to_list() == [None, 13.75, 13.76]
        assert rows["ask_amount"].to_list() == [None, 200, 300]

    def test_come_in_from_the_shell(self, tmp_path):
        lake = tmp_path / "lake"
        CliRunner().invoke(app, ["init", str(lake)])
        arguments = ["import", str(self.shares(tmp_path)), "-d", "nyse:quotes:BAC/USD", "--lake", str(lake), "--json"]
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
        assert '"new": 3' in done.stdout

    def test_the_day_comes_from_the_zip_where_the_member_does_not_say_it(self, lake, tmp_path):
        path = zipped(tmp_path, "20131008_quote.zip", {"bac.csv": self.TEXT})
        (done,) = lake.import_files(path, "nyse:quotes:BAC/USD", preset="lean-equity-quote-ticks")
        assert done.first == "2013-10-08T05:00:00Z"

    def test_or_is_said(self, lake, tmp_path):
        path = zipped(tmp_path, "ticks.zip", {"bac.csv": self.TEXT})
        (refused,) = lake.import_files(path, "nyse:quotes:BAC/USD", preset="lean-equity-quote-ticks")
        assert "--since 2013-10-07" in refused.problems[-1]
        since = parse_time("2013-10-08")
        (done,) = lake.import_files(
            path, "nyse:quotes:BAC/USD", preset="lean-equity-quote-ticks", mapping=Mapping(since=since)
        )
        assert done.first == "2013-10-08T05:00:00Z"


def test_since_can_be_said_in_the_shell(tmp_path):
    path = tmp_path / "ticks.csv"
    path.write_text("ms,price,amount\n3600000,1,2\n")
    arguments = ["import", str(path), "-d", "nyse:trades:BAC/USD", "--columns", "ts=ms", "--since", "2013-10-08"]
    done = CliRunner().invoke(app, [*arguments, "--zone", "UTC", "--unit", "ms", "--dry-run", "--json"])
    assert done.exit_code == 0, done.output
    assert '"first": "2013-10-08T01:00:00Z"' in done.stdout


def test_each_expiry_in_a_zip_of_futures_is_a_dataset(lake, tmp_path):
    quote, trade = f"{HOUR},1,2,3,4,cme,0,0\n{HOUR + 5},1,2,0,0,cme,0,0\n", f"{HOUR},1656.25,2,cme,,0\n"
    quotes = {f"20131007_es_tick_quote_{day[:6]}_{day}.csv": quote for day in ("20131220", "20140321")}
    trades = {f"20131007_es_Tick_Trade_{day[:6]}_{day}.csv": trade for day in ("20131220", "20140321")}
    zipped(tmp_path, "future/cme/tick/es/20131007_quote.zip", quotes)
    zipped(tmp_path, "future/cme/tick/es/20131007_trade.zip", trades)
    done = lake.import_files(tmp_path)
    assert {one.dataset: one.new for one in done} == {
        "cme:quotes:ES/USD:USD-131220": 2,
        "cme:quotes:ES/USD:USD-140321": 2,
        "cme:trades:ES/USD:USD-131220": 1,
        "cme:trades:ES/USD:USD-140321": 1,
    }
    assert {one.first for one in done} == {"2013-10-07T01:00:00Z"}
    assert lake.load("cme:quotes:ES/USD:USD-131220")["ask_price"].to_list() == [3, None]
    assert lake.load("cme:trades:ES/USD:USD-140321")["price"].to_list() == [1656.25]


def test_a_side_without_a_price_is_null_in_every_file_of_quotes(lake, tmp_path):
    path = tmp_path / "q.csv"
    path.write_text("time,bid,bid size,ask,ask size\n2024-01-02T00:00:00Z,0,0,5,6\n2024-01-02T00:00:01Z,4,1,0.0,\n")
    lake.import_files(path, "kraken:quotes:BTC/USD")
    rows = lake.load("kraken:quotes:BTC/USD")
    assert rows.select("bid_price", "bid_amount").rows() == [(None, None), (4, 1)]
    assert rows.select("ask_price", "ask_amount").rows() == [(5, 6), (None, None)]
