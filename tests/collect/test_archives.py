"""Backfills that take dump files first, against the simulated exchange and its archive."""

from __future__ import annotations

from functools import partial

import polars as pl
import pytest

from ticklake.core.dataset import Dataset
from ticklake.core.gaps import GapReason
from ticklake.core.runs import RunState
from ticklake.core.span import Span
from ticklake.core.time import parse_time
from ticklake.testing.exchange.clock import SimulatedClock
from ticklake.testing.exchange.faults import Faults
from ticklake.testing.exchange.generated import generated_market
from ticklake.testing.exchange.market import Market
from ticklake.testing.exchange.server import SimulatedExchange

from .test_backfill import same, truth

NOW = "2024-01-05T12:00"
START, END = "2024-01-01T06:00", "2024-01-05T06:00"
BARS = "binance:ohlcv:1m:BTC/USDT"
TRADES = "binance:trades:BTC/USDT"
CASES = [BARS, TRADES, "binance:trades:BTC/USDT:USDT", "binance:mark_ohlcv:1m:BTC/USDT:USDT"]


def backfill(lake, text: str, start: str = START, end: str | None = END, **options):
    dataset = Dataset.parse(text)
    frame = str(dataset.timeframe) if dataset.timeframe else None
    return lake.backfill(
        dataset.exchange, str(dataset.symbol), frame, kind=dataset.kind, start=start, end=end, **options
    )


def equal(lake, market, text: str, start: str = START, end: str = END) -> bool:
    rows, want = lake.load(text), truth(market, text, start, end)
    known = [name for name in want.columns if want[name].null_count() == 0]
    return rows.height > 0 and same(rows, want, known)


def calls(exchange, name: str) -> int:
    return sum(request.path.endswith(name) for request in exchange.requests)


def told(lake, run) -> list[str]:
    return [line.message for line in lake.runs.tail(run.id)]


def files(exchange) -> list[tuple[str, int]]:
    asked = (download for download in exchange.downloads if download.path.endswith(".zip"))
    return [(download.path.rpartition("/")[2], download.status) for download in asked]


class TestArchivesFirst:
    @pytest.mark.parametrize("text", CASES)
    def test_files_and_calls_together_equal_the_market(self, text, market, serve, lake_at):
        """Field note: public archives first for long history, then REST for the tail."""
        lake = lake_at(serve(market, NOW), archives=True)
        run = backfill(lake, text)
        assert equal(lake, market, text)
        assert run.state is RunState.SUCCEEDED
        assert told(lake, run) == []

    @pytest.mark.parametrize(("text", "call"), [(BARS, "klines"), (TRADES, "aggTrades")])
    def test_far_fewer_calls_are_made(self, text, call, market, serve, lake_at):
        exchange = serve(market, NOW)
        backfill(lake_at(exchange, "calls"), text)
        plain = calls(exchange, call)
        exchange.requests.clear()
        backfill(lake_at(exchange, "archives", archives=True), text)
        assert calls(exchange, call) <= plain / 2
        assert [status for _, status in files(exchange)] == [200, 200, 200, 200]

    def test_rows_say_which_file_they_come_from_and_keep_the_id_space(self, market, serve, lake_at):
        """Field note: aggregated trades have another id space than raw ones."""
        lake = lake_at(serve(market, NOW), archives=True)
        backfill(lake, TRADES)
        rows = lake.load(TRADES, provenance=True)
        (early,) = lake.provenance(TRADES, int(rows["ts"].to_physical()[0]))
        (late,) = lake.provenance(TRADES, int(rows["ts"].to_physical()[-1]))
        assert (early.source, early.endpoint) == ("archive", "BTCUSDT-aggTrades-2024-01-01.zip")
        assert (late.source, late.endpoint) == ("ccxt", "fetch_trades")
        assert early.id_space == late.id_space == "agg"

    def test_a_second_run_fetches_nothing(self, market, serve, lake_at):
        exchange = serve(market, NOW)
        lake = lake_at(exchange, archives=True)
        backfill(lake, TRADES)
        exchange.downloads.clear()
        run = backfill(lake, TRADES)
        assert (run["new"], run["received"], exchange.downloads) == (0, 0, [])

    def test_no_archives_leaves_the_dump_site_alone(self, market, serve, lake_at):
        exchange = serve(market, NOW)
        lake = lake_at(exchange, archives=True)
        backfill(lake, BARS, archives=False)
        assert exchange.downloads == []
        assert equal(lake, market, BARS)

    def test_a_plan_names_the_files_and_counts_the_calls_that_are_left(self, market, serve, lake_at):
        exchange = serve(market, NOW)
        lake = lake_at(exchange, archives=True)
        (plan,) = lake.plan("binance", "BTC/USDT", "1m", start=START, end=END)
        assert [address.rpartition("/")[2] for address in plan.archives] == [
            f"BTCUSDT-1m-2024-01-0{day}.zip" for day in range(1, 5)
        ]
        assert plan.pages == 1
        assert exchange.downloads == []

    def test_funding_comes_by_one_call_which_brings_more_than_a_file(self, market, serve, lake_at):
        exchange = serve(market, NOW)
        lake = lake_at(exchange, archives=True)
        backfill(lake, "binance:funding:BTC/USDT:USDT")
        assert equal(lake, market, "binance:funding:BTC/USDT:USDT")
        assert exchange.downloads == []

    def test_nothing_stays_in_the_folder_of_downloads(self, market, serve, lake_at):
        lake = lake_at(serve(market, NOW), archives=True)
        backfill(lake, BARS)
        assert list((lake.root / "downloads").iterdir()) == []

    def test_a_symbol_without_files_comes_by_calls(self, market, serve, lake_at):
        exchange = serve(market, NOW)
        exchange.faults = Faults(archive_missing_every=1)
        lake = lake_at(exchange, archives=True)
        run = backfill(lake, BARS)
        assert equal(lake, market, BARS)
        assert {status for _, status in files(exchange)} == set()
        assert [d.status for d in exchange.downloads] == [404, 404, 404]
        assert told(lake, run) == []


@pytest.fixture(scope="module")
def two_months() -> Market:
    return generated_market(parse_time("2024-12-28"), parse_time("2025-02-04"))


class TestPeriods:
    def test_months_come_first_and_days_for_the_rest(self, two_months, serve, lake_at):
        """Field note: Binance spot archives switched to microseconds in 2025."""
        exchange = serve(two_months, "2025-02-03T12:00")
        lake = lake_at(exchange, archives=True)
        text = "binance:ohlcv:1m:ETH/USDT"
        backfill(lake, text, "2024-12-30", "2025-02-03T06:00")
        assert equal(lake, two_months, text, "2024-12-30", "2025-02-03T06:00")
        assert [name for name, _ in files(exchange)] == [
            "ETHUSDT-1m-2024-12-30.zip",
            "ETHUSDT-1m-2024-12-31.zip",
            "ETHUSDT-1m-2025-01.zip",
            "ETHUSDT-1m-2025-02-01.zip",
            "ETHUSDT-1m-2025-02-02.zip",
        ]

    @pytest.mark.parametrize("header", [False, True])
    def test_trades_in_microseconds_meet_trades_in_milliseconds(self, header, two_months, serve, lake_at):
        """Field note: some CSVs grew a header."""
        exchange = serve(two_months, "2025-01-04T12:00")
        exchange.faults = Faults(archive_header=header)
        lake = lake_at(exchange, archives=True)
        run = backfill(lake, TRADES, "2024-12-30T12:00", "2025-01-04T06:00")
        assert equal(lake, two_months, TRADES, "2024-12-30T12:00", "2025-01-04T06:00")
        assert told(lake, run) == []

    def test_open_interest_older_than_calls_serve_comes_from_files(self, two_months, serve, lake_at):
        exchange = serve(two_months, "2025-02-03T12:00")
        lake = lake_at(exchange, archives=True)
        text = "binance:open_interest:BTC/USDT:USDT"
        run = backfill(lake, text, "2024-12-29", "2025-02-03T06:00")
        assert equal(lake, two_months, text, "2024-12-29", "2025-02-03T06:00")
        assert run.state is RunState.SUCCEEDED


class TestQuotes:
    def test_the_best_bid_and_ask_come_from_files_alone(self, market, serve, lake_at):
        """No call brings them: what lies after the last file is not there, and is told."""
        text = "binance:quotes:BTC/USDT:USDT"
        quoting = generated_market(parse_time("2024-01-01"), parse_time("2024-01-06"))
        quoting.add(Dataset.parse(text), partial(_quotes, market))
        lake = lake_at(serve(quoting, NOW), archives=True)
        run = backfill(lake, text, "2024-01-01", "2024-01-05T06:00")
        assert equal(lake, quoting, text, "2024-01-01", "2024-01-05")
        assert run.state is RunState.INCOMPLETE
        (gap,) = lake.gaps(text, "2024-01-01", "2024-01-05T06:00")
        assert (gap.span, gap.reason) == (Span.parse("2024-01-05", "2024-01-05T06:00"), GapReason.NOT_FETCHED)


def _quotes(market: Market) -> pl.DataFrame:
    """The best prices around each trade."""
    trades = truth(market, "binance:trades:BTC/USDT:USDT", "2024-01-01", "2024-01-06")
    return trades.select(
        "ts",
        seq=pl.col("id").cast(pl.Int64) * 3,
        bid_price=pl.col("price") - 0.1,
        bid_amount=pl.col("amount"),
        ask_price=pl.col("price") + 0.1,
        ask_amount=pl.col("amount") * 2,
    )


class TestFaults:
    @pytest.mark.parametrize("text", [BARS, TRADES])
    def test_a_wrong_checksum_is_told_and_calls_take_over(self, text, market, serve, lake_at):
        exchange = serve(market, NOW)
        exchange.faults = Faults(archive_corrupt_every=2)
        lake = lake_at(exchange, archives=True)
        run = backfill(lake, text)
        assert equal(lake, market, text)
        assert run.state is RunState.SUCCEEDED
        assert any("SHA-256" in message and "2024-01-02" in message for message in told(lake, run))
        assert sum("2024-01-02" in name for name, _ in files(exchange)) == 2

    def test_files_that_break_off_are_gone_on_with(self, market, serve, lake_at):
        exchange = serve(market, NOW)
        exchange.faults = Faults(archive_truncate_every=2)
        lake = lake_at(exchange, archives=True)
        backfill(lake, TRADES)
        assert equal(lake, market, TRADES)
        assert 206 in {status for _, status in files(exchange)}

    def test_a_site_that_knows_no_ranges_is_asked_from_the_beginning(self, market, serve, lake_at):
        exchange = serve(market, NOW)
        exchange.faults = Faults(archive_truncate_every=3, archive_no_range=True)
        lake = lake_at(exchange, archives=True)
        backfill(lake, TRADES)
        assert equal(lake, market, TRADES)
        assert {status for _, status in files(exchange)} == {200}

    @pytest.mark.parametrize("text", [BARS, TRADES])
    def test_every_fault_at_once_leaves_the_truth(self, text, market, serve, lake_at):
        exchange = serve(market, NOW)
        exchange.faults = Faults.everything()
        lake = lake_at(exchange, archives=True)
        backfill(lake, text, end="2024-01-04T18:00")
        assert equal(lake, market, text, START, "2024-01-04T18:00")

    def test_a_site_that_is_not_there_is_told_and_calls_take_over(self, market, serve, lake_at, monkeypatch):
        monkeypatch.setenv("TICKLAKE_EXCHANGES__BINANCE__ARCHIVE_URL", "http://127.0.0.1:9")
        from ticklake.app import open_lake

        from ..conftest import settings_for

        exchange = serve(market, NOW)
        settings = settings_for(exchange.url, archives=True)
        own = settings.exchanges["binance"].model_copy(update={"archive_url": "http://127.0.0.1:9"})
        settings.exchanges["binance"] = own
        with open_lake(lake_at().root.parent / "other", settings=settings) as lake:
            run = backfill(lake, BARS)
            assert equal(lake, market, BARS)
            assert "no more archives in this run" in told(lake, run)[-1]


def altered(market: Market, text: str, at: str, **values: float) -> Market:
    """Return a market that says otherwise at one instant."""
    dataset = Dataset.parse(text)
    rows = market.rows(dataset.exchange, dataset.symbol, dataset.kind, dataset.timeframe)
    marked = pl.col("ts").to_physical() == parse_time(at)
    assert rows.filter(marked).height == 1
    other = Market(dict(market.series))
    changed = rows.with_columns(
        pl.when(marked).then(pl.lit(value)).otherwise(pl.col(name)).alias(name) for name, value in values.items()
    )
    other.series[dataset] = [partial(pl.DataFrame.clone, changed)]
    return other


class TestSeams:
    def served(self, market, archived, serve_at):
        exchange = SimulatedExchange(market, SimulatedClock(parse_time(serve_at)), archived=archived)
        return exchange.running()

    def test_a_bar_that_differs_at_the_seam_is_told_with_both_values_and_the_newest_stays(self, market, lake_at):
        archived = altered(market, BARS, "2024-01-04T23:58", volume=123.0)
        with self.served(market, archived, NOW) as exchange:
            lake = lake_at(exchange, archives=True)
            run = backfill(lake, BARS)
            right = truth(market, BARS, "2024-01-04T23:58", "2024-01-04T23:59")["volume"].item()
            (message,) = told(lake, run)
            assert "2024-01-04T23:58:00Z: volume is 123.0 in the archive" in message
            assert f"{right!r} on the exchange" in message
            assert equal(lake, market, BARS)
            assert len(lake.revisions(BARS)) == 1

    def test_a_trade_that_differs_at_the_seam_is_told_and_the_archive_s_stays(self, market, lake_at):
        rows = truth(market, TRADES, "2024-01-04T23:00", "2024-01-05")
        last = rows.row(-3, named=True)
        dataset = Dataset.parse(TRADES)
        everything = market.rows("binance", dataset.symbol, "trades")
        archived = Market(dict(market.series))
        changed = everything.with_columns(
            price=pl.when(pl.col("id") == last["id"]).then(pl.lit(1.5)).otherwise(pl.col("price"))
        )
        archived.series[dataset] = [partial(pl.DataFrame.clone, changed)]
        with self.served(market, archived, NOW) as exchange:
            lake = lake_at(exchange, archives=True)
            run = backfill(lake, TRADES)
            (message,) = told(lake, run)
            assert f"id {last['id']}: price is 1.5 in the archive and {last['price']!r} on the exchange" in message
            assert lake.load(TRADES).filter(id=last["id"])["price"].item() == 1.5

    def test_the_first_rows_of_a_file_are_compared_with_the_calls_before_it(self, market, lake_at):
        archived = altered(market, BARS, "2024-01-02T00:01", close=41_000.5)
        with self.served(market, archived, NOW) as exchange:
            lake = lake_at(exchange, archives=True)
            run = backfill(lake, BARS, start="2024-01-01T12:00")
            assert any("2024-01-02T00:01:00Z: close is 41000.5 in the archive" in text for text in told(lake, run))
