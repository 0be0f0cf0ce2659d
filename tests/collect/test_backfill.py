"""Backfills against the simulated exchange, with and without faults."""

from __future__ import annotations

import asyncio
import os
import shutil
from functools import partial

import polars as pl
import pytest

import ticklake
from ticklake.app import wire_source
from ticklake.collect.backfill import Backfill
from ticklake.collect.plan import FetchScope
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.runs import RunState
from ticklake.core.time import DAY, HOUR, MINUTE, parse_time
from ticklake.core.timeframe import Timeframe
from ticklake.errors import (
    BadInput,
    Banned,
    InvalidName,
    InvalidTime,
    UnknownExchange,
    UnknownSymbol,
    UnknownTimeframe,
    Unsupported,
)
from ticklake.testing.exchange.faults import Faults

from ..conftest import settings_for

NOW = "2024-01-06"
BARS = "binance:ohlcv:1m:BTC/USDT"
MINUTES = Timeframe.parse("1m")


def truth(market, text: str, start: str, end: str) -> pl.DataFrame:
    dataset = Dataset.parse(text)
    rows = market.rows(dataset.exchange, dataset.symbol, dataset.kind, dataset.timeframe)
    ts = rows["ts"].to_physical()
    return rows.filter((ts >= parse_time(start)) & (ts < parse_time(end)))


def same(left: pl.DataFrame, right: pl.DataFrame, columns: list[str]) -> bool:
    return left.select(columns).equals(right.select(columns))


class TestNamesAsTyped:
    def test_an_exchange_in_capitals_and_its_own_id_of_a_market_become_our_names(self, market, serve, lake_at):
        lake = lake_at(serve(market, NOW))
        run = lake.backfill("KRAKEN", "xxbtzusd", "1h", start="2024-01-02", end="2024-01-02T06:00")
        assert lake.datasets() == [Dataset.parse("kraken:ohlcv:1h:BTC/USD")]
        assert "BTC/USD" in run.subject
        assert lake.last_timestamp("Kraken:ohlcv:1h:BTC/USD") is not None

    def test_an_id_of_spot_and_perpetual_is_refused_with_both(self, market, serve, lake_at):
        lake = lake_at(serve(market, NOW))
        with pytest.raises(
            UnknownSymbol, match="BTCUSDT is the id of 2 markets of binance: say BTC/USDT or BTC/USDT:USDT"
        ):
            lake.backfill("binance", "BTCUSDT", "1h", start="2024-01-02", end="2024-01-03")


class TestWhatArrives:
    def test_bars_arrive_with_quote_volume_and_trade_count(self, market, serve, lake_at):
        lake = lake_at(serve(market, NOW))
        lake.backfill("binance", "BTC/USDT", "1m", start="2024-01-02", end="2024-01-03")
        assert same(lake.load(BARS), truth(market, BARS, "2024-01-02", "2024-01-03"), lake.load(BARS).columns)

    @pytest.mark.parametrize(
        "text",
        [
            "binance:mark_ohlcv:5m:BTC/USDT:USDT",
            "binance:index_ohlcv:1h:BTC/USDT:USDT",
            "binance:funding:BTC/USDT:USDT",
            "binance:open_interest:BTC/USDT:USDT",
            "binance:trades:ETH/USDT:USDT",
            "kraken:trades:ETH/EUR",
            "kraken:ohlcv:15m:BTC/USD",
        ],
    )
    def test_every_kind_equals_the_market(self, text, market, serve, lake_at):
        dataset, lake = Dataset.parse(text), lake_at(serve(market, NOW))
        timeframe = str(dataset.timeframe) if dataset.timeframe else None
        run = lake.backfill(dataset.exchange, str(dataset.symbol), timeframe, kind=dataset.kind, start="2024-01-01")
        want = truth(market, text, "2024-01-01", "2024-01-06")
        if dataset.timeframe:
            want = want.filter(pl.col("ts").to_physical() + dataset.timeframe.length <= parse_time(NOW) - 15 * 10**9)
        columns = [name for name in want.columns if want[name].null_count() == 0 and name != "quote_volume"]
        rows = lake.load(dataset)
        assert rows.height > 0
        assert same(rows, want.filter(pl.col("ts").to_physical() < parse_time(NOW) - 15 * 10**9), columns)
        assert run.state in {RunState.SUCCEEDED, RunState.INCOMPLETE}

    def test_forming_bars_are_left_out_until_they_are_final(self, market, serve, lake_at):
        """Field note: final means open time + timeframe + grace <= exchange time."""
        exchange = serve(market, "2024-01-03T12:00:10Z")
        lake = lake_at(exchange)
        lake.backfill("binance", "BTC/USDT", "1m", start="2024-01-03T11:00")
        assert lake.last_timestamp(BARS) < parse_time("2024-01-03T11:59")
        exchange.clock.advance(10 * 10**9)
        lake.backfill("binance", "BTC/USDT", "1m", start="2024-01-03T11:00")
        assert same(
            lake.load(BARS), truth(market, BARS, "2024-01-03T11:00", "2024-01-03T12:00"), ["ts", "close", "volume"]
        )

    def test_late_final_bars_are_corrected_by_the_next_run_and_logged(self, market, serve, lake_at):
        """Field note: volume can change minutes after the close."""
        exchange = serve(market, "2024-01-03T12:00:30Z")
        exchange.faults = Faults(late_final=300)
        lake = lake_at(exchange)
        lake.backfill("binance", "BTC/USDT", "1m", start="2024-01-03T10:00")
        assert not same(lake.load(BARS), truth(market, BARS, "2024-01-03T10:00", "2024-01-03T12:00"), ["volume"])
        exchange.clock.advance(10 * MINUTE)
        run = lake.backfill("binance", "BTC/USDT", "1m", start="2024-01-03T10:00", end="2024-01-03T12:00")
        assert run["changed"] == 0
        run = lake.backfill("binance", "BTC/USDT", "1m", start="2024-01-03T10:00")
        exchange.clock.advance(10 * MINUTE)
        lake.backfill("binance", "BTC/USDT", "1m", start="2024-01-03T10:00")
        want = truth(market, BARS, "2024-01-03T10:00", "2024-01-03T12:10")
        assert run["changed"] > 0
        assert len(lake.revisions(BARS)) >= run["changed"]
        assert same(lake.load(BARS, end="2024-01-03T12:10"), want, ["ts", "close", "volume", "trades"])

    def test_a_grown_backfill_asks_only_for_both_ends(self, market, serve, lake_at):
        exchange = serve(market, NOW)
        lake = lake_at(exchange)
        lake.backfill("binance", "BTC/USDT", "1m", start="2024-01-03", end="2024-01-04")
        lake.delete(BARS, "2024-01-03T06:00", "2024-01-03T07:00")
        plan = lake.plan("binance", "BTC/USDT", "1m", start="2024-01-02", end="2024-01-05")[0]
        lengths = [span.length // HOUR for span in plan.spans]
        lake.backfill("binance", "BTC/USDT", "1m", start="2024-01-02", end="2024-01-05")
        assert lengths == [24, 1, 24]
        assert same(lake.load(BARS), truth(market, BARS, "2024-01-02", "2024-01-05"), ["ts", "close"])

    def test_time_before_the_listing_is_no_gap(self, market, serve, lake_at):
        lake = lake_at(serve(market, NOW))
        run = lake.backfill("binance", "BTC/USDT", "1h", start="2020-01-01", end="2024-01-03")
        assert run.state is RunState.SUCCEEDED
        assert lake.gaps("binance:ohlcv:1h:BTC/USDT") == []
        assert lake.missing_intervals("binance:ohlcv:1h:BTC/USDT", "2020-01-01", "2024-01-03") == []

    def test_without_a_start_it_begins_at_the_listing(self, market, serve, lake_at):
        lake = lake_at(serve(market, NOW))
        lake.backfill("binance", "ETH/USDT", "1h", end="2024-01-02")
        assert lake.ohlcv("binance", "ETH/USDT", "1h")["ts"].to_physical()[0] == parse_time("2024-01-01")

    def test_open_interest_older_than_served_is_unavailable(self, market, serve, lake_at):
        exchange = serve(market, "2024-02-03")
        lake = lake_at(exchange)
        run = lake.backfill("binance", "BTC/USDT:USDT", kind="open_interest", start="2024-01-01", end="2024-01-05")
        (gap,) = lake.gaps("binance:open_interest:BTC/USDT:USDT", "2024-01-01", "2024-01-05")
        assert gap.reason == "unavailable"
        assert "30 days" in gap.detail
        assert run.state is RunState.INCOMPLETE
        assert exchange.requests[-1].path.endswith("openInterestHist")

    def test_minutes_without_trades_are_reported_as_such(self, market, serve, lake_at):
        lake = lake_at(serve(market, NOW))
        lake.backfill("binance", "ETH/USDT", "1m", start="2024-01-02", end="2024-01-03")
        holes = lake.gaps("binance:ohlcv:1m:ETH/USDT", "2024-01-02", "2024-01-03")
        want = 24 * 60 - truth(market, "binance:ohlcv:1m:ETH/USDT", "2024-01-02", "2024-01-03").height
        assert sum(gap.missing for gap in holes) == want > 0
        assert {gap.reason for gap in holes} == {"no_trades"}

    def test_a_book_snapshot_says_whose_clock_it_has(self, market, serve, lake_at):
        lake = lake_at(serve(market, NOW))
        run = lake.backfill("binance", "BTC/USDT", kind="book", depth=5)
        book = lake.book("binance", "BTC/USDT", depth=2)
        assert run["new"] == 10
        assert book["side"].to_list() == ["bid", "bid", "ask", "ask"]
        assert book["price"].to_list()[0] < book["price"].to_list()[2]
        (origin,) = lake.provenance("binance:book:BTC/USDT", book["ts"].dt.epoch("ns")[0])
        assert origin.clock == "local"

    def test_rows_know_where_they_came_from(self, market, serve, lake_at):
        lake = lake_at(serve(market, NOW))
        lake.backfill("binance", "BTC/USDT", kind="trades", start="2024-01-02", end="2024-01-02T01")
        ts = lake.trades("binance", "BTC/USDT")["ts"].dt.epoch("ns")[0]
        (origin,) = lake.provenance("binance:trades:BTC/USDT", ts)
        assert (origin.source, origin.endpoint, origin.id_space) == ("ccxt", "fetch_trades", "agg")
        assert origin.tool.startswith("ccxt 4.")


class TestFaults:
    @pytest.mark.parametrize(
        "fault",
        [
            {"rate_limit_every": 3},
            {"error_every": 3},
            {"timeout_every": 5, "timeout_seconds": 0.6},
            {"truncate_every": 3},
            {"error_body_every": 3},
            {"empty_every": 3},
            {"duplicate_rows": True},
            {"shuffle_rows": True},
        ],
        ids=lambda fault: next(iter(fault)),
    )
    @pytest.mark.parametrize("text", [BARS, "binance:trades:BTC/USDT", "kraken:trades:BTC/USD"])
    def test_each_fault_leaves_the_truth(self, text, fault, market, serve, lake_at):
        exchange = serve(market, NOW)
        exchange.faults = Faults(**fault)
        dataset, lake = Dataset.parse(text), lake_at(exchange, timeout=0.4)
        timeframe = str(dataset.timeframe) if dataset.timeframe else None
        run = lake.backfill(
            dataset.exchange, str(dataset.symbol), timeframe, kind=dataset.kind, start="2024-01-01T12", end="2024-01-03"
        )
        assert run.state is RunState.SUCCEEDED, run.outcome
        want = truth(market, text, "2024-01-01T12", "2024-01-03")
        assert same(lake.load(dataset), want, ["ts", *({"close", "volume"} & set(want.columns) or {"price", "amount"})])

    @pytest.mark.parametrize(
        "text", [BARS, "binance:trades:BTC/USDT", "binance:trades:ETH/USDT:USDT", "kraken:trades:BTC/USD"]
    )
    def test_every_fault_at_once_leaves_the_truth(self, text, market, serve, lake_at):
        exchange = serve(market, NOW)
        exchange.faults = Faults.everything().changed({"timeout_seconds": 0.6})
        dataset, lake = Dataset.parse(text), lake_at(exchange, timeout=0.4)
        timeframe = str(dataset.timeframe) if dataset.timeframe else None
        run = lake.backfill(
            dataset.exchange, str(dataset.symbol), timeframe, kind=dataset.kind, start="2024-01-02", end="2024-01-04"
        )
        assert run.state is RunState.SUCCEEDED, run.outcome
        names = {"close", "volume", "price", "amount", "rate"}
        want = truth(market, text, "2024-01-02", "2024-01-04")
        assert same(lake.load(dataset), want, ["ts", *(name for name in want.columns if name in names)])
        assert {request.fault for request in exchange.requests} > {""}

    def test_an_exchange_that_always_fails_leaves_a_named_hole_and_a_failed_run(self, market, serve, lake_at):
        exchange = serve(market, NOW)
        lake = lake_at(exchange)
        lake.backfill("binance", "BTC/USDT", "1m", start="2024-01-02", end="2024-01-03")
        exchange.faults = Faults(error_every=1)
        run = lake.backfill("binance", "BTC/USDT", "1m", start="2024-01-02", end="2024-01-05")
        assert run.state is RunState.FAILED
        assert "503" in run.outcome
        assert "2,880 not_fetched" in run.outcome
        assert {gap.reason for gap in lake.gaps(BARS, "2024-01-03", "2024-01-05")} == {"not_fetched"}
        assert same(lake.load(BARS), truth(market, BARS, "2024-01-02", "2024-01-03"), ["ts", "close"])

    def test_a_bad_stretch_is_skipped_named_and_fetched_later(self, market, serve, lake_at, monkeypatch):
        """The rest of the span still arrives when one window keeps failing."""
        exchange = serve(market, NOW)
        lake = lake_at(exchange)
        protocol = exchange._protocols["binance"]
        answer = protocol.answer

        def failing(path, query, now, faults):
            if query.get("startTime") and parse_time("2024-01-02T16") <= int(query["startTime"]) * 10**6 < parse_time(
                "2024-01-03"
            ):
                from ticklake.testing.exchange.replies import Reply

                return Reply({}, 503)
            return answer(path, query, now, faults)

        monkeypatch.setattr(protocol, "answer", failing)
        run = lake.backfill("binance", "BTC/USDT", "1m", start="2024-01-02", end="2024-01-05")
        assert run.state is RunState.INCOMPLETE
        assert "not_fetched" in run.outcome
        assert any(line.level == "warning" and "503" in line.message for line in lake.runs.tail(run.id))
        monkeypatch.undo()
        again = lake.backfill("binance", "BTC/USDT", "1m", start="2024-01-02", end="2024-01-05")
        assert again.state is RunState.SUCCEEDED
        assert same(lake.load(BARS), truth(market, BARS, "2024-01-02", "2024-01-05"), ["ts", "close"])

    def test_a_ban_stops_everything_at_once(self, market, serve, lake_at):
        """Field note: 418 means stop."""
        exchange = serve(market, NOW)
        exchange.faults = Faults(ban_every=9)
        lake = lake_at(exchange)
        run = lake.backfill("binance", ["BTC/USDT", "ETH/USDT"], "1m", start="2024-01-01", end="2024-01-05")
        banned_at = next(i for i, request in enumerate(exchange.requests) if request.fault == "ban")
        assert run.state is RunState.FAILED
        assert "ban" in run.outcome
        assert len(exchange.requests) - banned_at <= 4
        exchange.faults, asked = Faults(), len(exchange.requests)
        again = partial(lake.backfill, "binance", ["BTC/USDT", "ETH/USDT"], "1m", start="2024-01-01", end="2024-01-05")
        with pytest.raises(Banned, match="until"):
            again()
        assert len(exchange.requests) == asked, "the ban is remembered"
        shutil.rmtree(os.environ["TICKLAKE_STATE"])
        assert again().state == "succeeded"
        assert same(lake.load(BARS), truth(market, BARS, "2024-01-01", "2024-01-05"), ["ts", "close"])

    @pytest.mark.parametrize("exchange_name", ["binance", "kraken"])
    def test_a_burst_longer_than_a_page_is_whole_or_named(self, exchange_name, serve, lake_at):
        """Field note: same-millisecond trades at a page edge are lost by time cursors."""
        from ticklake.testing.exchange.generated import generated_market

        market = generated_market(parse_time("2024-01-01"), parse_time("2024-01-03"))
        symbol = "BTC/USDT" if exchange_name == "binance" else "BTC/USD"
        dataset = Dataset.of(exchange_name, symbol, "trades")
        rows = market.rows(exchange_name, dataset.symbol, "trades")
        instant = rows["ts"][2_000]
        burst = rows.with_row_index("row").with_columns(
            ts=pl.when(pl.col("row").is_between(2_000, 3_499)).then(instant).otherwise(pl.col("ts")).cast(TIME)
        )
        market.series[dataset] = [lambda: burst.drop("row")]
        market._frames.clear()
        lake = lake_at(serve(market, "2024-01-03"))
        run = lake.backfill(exchange_name, symbol, kind="trades", start="2024-01-01", end="2024-01-02")
        want = burst.filter(pl.col("ts").to_physical() < parse_time("2024-01-02"))
        held = lake.load(dataset)
        if exchange_name == "binance":
            assert same(held, want, ["ts", "id", "price", "amount"])
            assert run.state is RunState.SUCCEEDED
        else:
            assert held.filter(pl.col("ts") == instant).height == 1_000
            assert same(held.filter(pl.col("ts") != instant), want.filter(pl.col("ts") != instant), ["ts", "price"])
            (gap,) = lake.gaps(dataset, "2024-01-01", "2024-01-02")
            assert gap.reason == "lost"
            assert instant.timestamp() * 1e9 == pytest.approx(gap.span.start, abs=1e6)
            assert run.state is RunState.INCOMPLETE

    @pytest.mark.parametrize(("name", "symbol"), [("binance", "BTC/USDT"), ("kraken", "BTC/USD")])
    def test_the_burst_switch_makes_one(self, name, symbol, market, serve, lake_at):
        exchange = serve(market, NOW)
        exchange.faults = Faults(burst=1_500)
        lake = lake_at(exchange)
        run = lake.backfill(name, symbol, kind="trades", start="2024-01-02", end="2024-01-05")
        held = lake.trades(name, symbol)
        most = held.group_by("ts").len()["len"].max()
        lost = [gap for gap in lake.gaps(f"{name}:trades:{symbol}", "2024-01-02", "2024-01-05") if gap.reason == "lost"]
        assert (most, len(lost)) == ((1_500, 0) if name == "binance" else (1_000, 1))
        assert run.state == ("succeeded" if name == "binance" else "incomplete")

    def test_rows_that_cannot_be_true_go_to_quarantine_with_a_reason(self, serve, lake_at):
        from ticklake.testing.exchange.generated import generated_market

        market = generated_market(parse_time("2024-01-01"), parse_time("2024-01-03"))
        dataset = Dataset.parse(BARS)
        bad_ts = parse_time("2024-01-01T10:00")
        rows = market.rows("binance", dataset.symbol, "ohlcv", dataset.timeframe)
        broken = rows.with_columns(
            high=pl.when(pl.col("ts").to_physical() == bad_ts).then(pl.col("low") - 1).otherwise(pl.col("high"))
        )
        assert rows.filter(pl.col("ts").to_physical() == bad_ts).height == 1
        market.series[dataset] = [lambda: broken]
        market._frames.clear()
        lake = lake_at(serve(market, "2024-01-03"))
        run = lake.backfill("binance", "BTC/USDT", "1m", start="2024-01-01", end="2024-01-02")
        assert run["quarantined"] == 1
        assert run.state is RunState.INCOMPLETE
        (row,) = lake.quarantine(BARS)
        assert (row["ts"], row["reason"]) == (bad_ts, "high_below_low")
        invalid = [gap for gap in lake.gaps(BARS, "2024-01-01", "2024-01-02") if gap.reason == "invalid"]
        assert [(gap.span.start, gap.missing) for gap in invalid] == [(bad_ts, 1)]


class TestManySymbols:
    def test_patterns_and_quotes_choose_symbols(self, market, serve, lake_at):
        lake = lake_at(serve(market, NOW))
        lake.backfill("binance", ["BTC/*"], "1h", start="2024-01-02", end="2024-01-03")
        assert [str(d.symbol) for d in lake.datasets()] == ["BTC/USDT", "BTC/USDT:USDT"]
        lake.backfill("binance", (), "1h", all_quote="USDT", start="2024-01-02", end="2024-01-03")
        assert [str(d.symbol) for d in lake.datasets()] == ["BTC/USDT", "BTC/USDT:USDT", "ETH/USDT"]

    def test_one_symbol_that_fails_does_not_stop_the_others(self, market, serve, lake_at, monkeypatch):
        exchange = serve(market, NOW)
        lake = lake_at(exchange)
        protocol = exchange._protocols["binance"]
        answer = protocol.answer

        def refusing(path, query, now, faults):
            from ticklake.testing.exchange.replies import Reply

            return (
                Reply({}, 451)
                if query.get("symbol") == "ETHUSDT" and query.get("interval") == "1m" and "limit" in query
                else answer(path, query, now, faults)
            )

        monkeypatch.setattr(protocol, "answer", refusing)
        run = lake.backfill("binance", ["ETH/USDT", "BTC/USDT"], "1m", start="2024-01-02", end="2024-01-03")
        assert run.state is RunState.INCOMPLETE
        assert "451" in run.outcome
        assert lake.load(BARS).height > 0


class TestCancel:
    def test_cancelled_it_keeps_what_was_committed_and_goes_on(self, market, serve, lake_at):
        exchange = serve(market, NOW)
        lake = lake_at(exchange)
        settings = settings_for(exchange.url)

        async def cancelled() -> None:
            source = wire_source("binance", settings)
            task: asyncio.Task[object]

            def watch(progress) -> None:
                if progress.counts["pages"] == 2:
                    task.cancel()

            backfill = Backfill(source, lake.engine, lake.runs, lake._collector.instruments, watch)
            scope = FetchScope(parse_time("2024-01-01"), parse_time("2024-01-05"))
            task = asyncio.create_task(backfill.run([Dataset.parse(BARS)], scope))
            try:
                with pytest.raises(asyncio.CancelledError):
                    await task
            finally:
                await source.close()

        asyncio.run(cancelled())

        (run,) = lake.runs.list()
        assert run.state is RunState.CANCELLED
        assert "run the same command again" in run.outcome
        held = lake.load(BARS)
        assert 0 < held.height < truth(market, BARS, "2024-01-01", "2024-01-05").height
        lake.backfill("binance", "BTC/USDT", "1m", start="2024-01-01", end="2024-01-05")
        assert same(lake.load(BARS), truth(market, BARS, "2024-01-01", "2024-01-05"), ["ts", "close"])


class TestRefusals:
    @pytest.mark.parametrize(
        ("call", "error", "words"),
        [
            (("binanse", "BTC/USDT", "1m"), UnknownExchange, ["binanse", "binance"]),
            (("binance", "BTC/UST", "1m"), UnknownSymbol, ["BTC/UST", "BTC/USDT"]),
            (("binance", "XYZ*", "1m"), UnknownSymbol, ["XYZ*", "symbols"]),
            (("binance", "BTC/USDT", "7m"), UnknownTimeframe, ["7m", "5m"]),
            (("binance", "BTC/USDT", "1 hour"), UnknownTimeframe, ["1 hour", "1h"]),
            (("binance", "../../etc", "1m"), InvalidName, ["../../etc"]),
            (("../binance", "BTC/USDT", "1m"), InvalidName, ["../binance"]),
            (("binance", (), "1m"), InvalidName, ["BTC/USDT"]),
        ],
    )
    def test_names_that_cannot_be_are_refused_by_name(self, call, error, words, market, serve, lake_at):
        lake = lake_at(serve(market, NOW))
        with pytest.raises(error) as caught:
            lake.backfill(*call, start="2024-01-02", end="2024-01-03")
        assert all(word in str(caught.value) for word in words)
        assert "\n" not in str(caught.value)
        assert lake.datasets() == []

    @pytest.mark.parametrize(
        ("times", "word"),
        [
            ({"start": "2024-01-03", "end": "2024-01-02"}, "2024-01-03T00:00:00Z .. 2024-01-02T00:00:00Z"),
            ({"start": "yesterday"}, "yesterday"),
            ({"start": 1_704_067_200}, "1970"),
            ({"start": "2030-01-01"}, "future"),
        ],
    )
    def test_times_that_cannot_be_are_refused_by_name(self, times, word, market, serve, lake_at):
        lake = lake_at(serve(market, NOW))
        with pytest.raises(InvalidTime, match=word):
            lake.backfill("binance", "BTC/USDT", "1m", **times)

    def test_a_naive_start_means_utc(self, market, serve, lake_at):
        import datetime as dt

        lake = lake_at(serve(market, NOW))
        lake.backfill("binance", "BTC/USDT", "1m", start=dt.datetime(2024, 1, 2), end="2024-01-02T00:10+00:00")
        assert lake.load(BARS)["ts"].to_physical()[0] == parse_time("2024-01-02T00:00Z")

    def test_a_kind_that_is_not_served_names_those_that_are(self, market, serve, lake_at):
        lake = lake_at(serve(market, NOW))
        with pytest.raises(Unsupported, match="it serves ohlcv, trades, book"):
            lake.backfill("kraken", "BTC/USD", kind="funding", start="2024-01-01")
        with pytest.raises(Unsupported, match=r"BTC/USDT:USDT"):
            lake.backfill("binance", "BTC/USDT", kind="funding", start="2024-01-01")

    def test_a_dry_run_fetches_no_rows(self, market, serve, lake_at):
        exchange = serve(market, NOW)
        lake = lake_at(exchange)
        (plan,) = lake.plan("kraken", "BTC/USD", "1m", start="2024-01-01")
        assert plan.unavailable is not None
        assert plan.unavailable.length > 4 * DAY
        assert plan.pages == 1
        assert lake.datasets() == []
        assert not any(request.path.endswith("OHLC") for request in exchange.requests)

    def test_nothing_final_yet_is_said(self, market, serve, lake_at):
        lake = lake_at(serve(market, "2024-01-03T00:00:05"))
        run = lake.backfill("binance", "BTC/USDT", "1m", start="2024-01-03")
        assert (run.state, run["new"]) == ("succeeded", 0)

    def test_an_unreadable_setting_is_named(self, monkeypatch):
        from ticklake.config import load_settings

        monkeypatch.setenv("TICKLAKE_RETRY__ATTEMPTS", "often")
        with pytest.raises(BadInput, match=r"retry\.attempts"):
            load_settings()


class TestLatePages:
    def test_a_page_that_was_asked_for_before_a_correction_does_not_undo_it(self, market, serve, lake_at):
        """The process was stopped between the answer and the commit; meanwhile another one was told better."""
        lake = lake_at(serve(market, NOW))
        append, corrected = lake.engine.append, []

        def late(*words, **options):
            if not corrected:
                corrected.append(True)
                lake.save(BARS, [ticklake.OHLCVBar("2024-01-02T00:00:00Z", 7, 7, 7, 7, 7)])
            return append(*words, **options)

        lake.engine.append = late
        lake.backfill("binance", "BTC/USDT", "1m", start="2024-01-02", end="2024-01-02T01:00")
        assert lake.load(BARS)["open"].to_list()[0] == 7.0
        assert lake.load(BARS).height == truth(market, BARS, "2024-01-02", "2024-01-02T01:00").height
