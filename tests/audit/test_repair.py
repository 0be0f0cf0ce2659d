"""Repair closes what can be closed, once, and says why the rest stays."""

from __future__ import annotations

import polars as pl
import pytest

from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.provenance import Provenance
from ticklake.core.span import Span
from ticklake.core.time import MINUTE, parse_time

BARS, TRADES = "binance:ohlcv:1m:BTC/USDT", "binance:trades:BTC/USDT"
DAY = {"start": "2024-01-02", "end": "2024-01-03"}


@pytest.fixture
def exchange(market, serve):
    return serve(market, "2024-01-06")


@pytest.fixture
def lake(exchange, lake_at):
    return lake_at(exchange)


def truth(exchange, text):
    dataset = Dataset.parse(text)
    rows = exchange.market.rows(dataset.exchange, dataset.symbol, dataset.kind, dataset.timeframe)
    return rows.filter(pl.col("ts").dt.date() == pl.date(2024, 1, 2))


def pages(exchange):
    return [one for one in exchange.requests if not one.path.endswith(("time", "exchangeInfo"))]


def words(lake, text):
    return {str(gap.reason) for gap in lake.gaps(text)}


def collected(lake, text, span):
    """Let a dataset count as asked for."""
    lake._collector.gap_notes.want(Dataset.parse(text), span)


def test_a_whole_lake_is_left_alone_and_nobody_is_asked(exchange, lake):
    lake.backfill("binance", "BTC/USDT", "1m", **DAY)
    since = len(exchange.requests)
    assert lake.repair() == []
    assert len(exchange.requests) == since


@pytest.mark.parametrize("text", [BARS, TRADES])
def test_what_was_never_fetched_is_fetched_with_its_exact_span(text, exchange, lake):
    dataset = Dataset.parse(text)
    frame = str(dataset.timeframe) if dataset.timeframe else None
    lake.backfill("binance", "BTC/USDT", frame, **DAY)
    lake.delete(text, "2024-01-02T06:00", "2024-01-02T06:30")
    (done,) = lake.repair(text)
    assert [gap.reason for gap in done.closed] == ["not_fetched"]
    assert done.left == ()
    assert done.run.operation == "repair"
    assert lake.load(text)["ts"].equals(truth(exchange, text)["ts"])
    version, since = lake.engine.catalog.version(), len(exchange.requests)
    assert lake.repair() == []
    assert (lake.engine.catalog.version(), len(exchange.requests)) == (version, since)


def test_a_backfill_that_never_got_to_its_end_is_brought_there(exchange, lake):
    """What was asked for is remembered before the first page comes."""
    exchange.be("withhold=ETH/USDT@2024-01-02/2024-01-03")
    lake.backfill("binance", "BTC/USDT", "1m", **DAY)
    lake.delete(BARS, "2024-01-02T12:00", "2024-01-04")
    end = lake.gaps(BARS)[-1]
    assert (end.reason, end.span.end) == ("not_fetched", parse_time("2024-01-03"))
    lake.repair("binance")
    assert lake.load(BARS)["ts"].equals(truth(exchange, BARS)["ts"])


def test_lost_trades_are_asked_for_once_then_only_with_retry(exchange, lake):
    exchange.be("withhold=BTC/USDT@2024-01-02T10:00/2024-01-02T11:00")
    lake.backfill("binance", "BTC/USDT", kind="trades", **DAY)
    (done,) = lake.repair()
    (left,) = done.left
    assert (left.gap.reason, done.closed) == ("lost", ())
    assert "asked for again in vain: trade ids" in left.why
    version, since = lake.engine.catalog.version(), len(exchange.requests)
    (again,) = lake.repair()
    assert (again.run, again.left) == (None, done.left)
    assert (lake.engine.catalog.version(), len(exchange.requests)) == (version, since)

    exchange.be()
    (closed,) = lake.repair(retry=True)
    assert closed.left == ()
    assert lake.load(TRADES)["id"].equals(truth(exchange, TRADES)["id"])
    assert lake.gaps(TRADES) == []


def test_ids_that_jump_inside_what_counts_as_whole_are_asked_for(exchange, lake):
    """A source that dropped trades and said nothing: the ids tell."""
    whole = truth(exchange, TRADES)
    holed = whole.filter(~pl.int_range(pl.len()).is_between(100, 140))
    span = Span(parse_time("2024-01-02"), parse_time("2024-01-03"))
    lake.engine.append(Dataset.parse(TRADES), holed, Provenance("ccxt", id_space="agg"), [Covered(span)])
    assert [(gap.reason, gap.missing) for gap in lake.gaps(TRADES)] == [("lost", 41)]
    collected(lake, TRADES, span)
    (done,) = lake.repair(TRADES)
    assert [gap.missing for gap in done.closed] == [41]
    assert lake.load(TRADES)["id"].equals(whole["id"])
    assert lake.repair() == []


def test_refused_rows_are_asked_for_once(exchange, lake):
    lake.backfill("binance", "BTC/USDT", "1m", **DAY)
    at = parse_time("2024-01-02T06:00")
    wrong = lake.load(BARS, at, at + MINUTE).with_columns(high=pl.lit(0.1))
    lake.delete(BARS, at, at + MINUTE)
    lake.engine.append(Dataset.parse(BARS), wrong, Provenance("ccxt"), [Covered(Span(at, at + MINUTE))])
    assert "invalid" in words(lake, BARS)
    (done,) = lake.repair()
    assert [gap.reason for gap in done.closed] == ["invalid"]
    assert lake.load(BARS)["ts"].equals(truth(exchange, BARS)["ts"])


def test_a_refused_trade_that_came_well_is_no_gap_any_more(exchange, lake):
    lake.backfill("binance", "BTC/USDT", kind="trades", **DAY)
    wrong = lake.load(TRADES).head(1).with_columns(price=pl.lit(-1.0))
    lake.engine.append(Dataset.parse(TRADES), wrong, Provenance("ccxt", id_space="agg"))
    assert lake.quarantine(TRADES)
    assert lake.gaps(TRADES) == []


def test_unavailable_is_asked_for_with_retry_only(exchange, lake):
    lake.backfill("binance", "BTC/USDT", "1m", **DAY)
    gone = Covered(Span(parse_time("2024-01-01T12:00"), parse_time("2024-01-02")), Found.UNAVAILABLE, "too old")
    lake.engine.append(Dataset.parse(BARS), [], Provenance("ccxt"), [gone])
    since = len(exchange.requests)
    (left,) = lake.repair()[0].left
    assert (left.gap.reason, left.why) == ("unavailable", "too old; --retry asks once more")
    assert len(exchange.requests) == since
    lake.repair(retry=True)
    assert "unavailable" not in words(lake, BARS)


def test_one_exchange_is_repaired_and_the_other_left(exchange, lake):
    for name, symbol in (("binance", "BTC/USDT"), ("kraken", "BTC/USD")):
        lake.backfill(name, symbol, kind="trades", **DAY)
        lake.delete(f"{name}:trades:{symbol}", "2024-01-02T06:00", "2024-01-02T06:30")
    assert [str(one.mended.dataset) for one in lake.repair("kraken")] == ["kraken:trades:BTC/USD"]
    assert words(lake, TRADES) == {"not_fetched"}


def test_what_a_source_refuses_is_remembered_with_its_words(exchange, lake):
    lake.refresh_instruments("binance")
    lake.backfill("binance", "ETH/USDT", "1m", **DAY)
    lake.delete("binance:ohlcv:1m:ETH/USDT", "2024-01-02T06:00", "2024-01-02T06:30")
    exchange.be("erase=ETH/USDT@2024-01-05")
    exchange.clock.advance(86_400 * 10**9)
    (done,) = lake.repair()
    (left,) = done.left
    assert left.gap.reason == "not_fetched"
    assert "serves nothing of it any more" in left.why
    since = len(exchange.requests)
    assert [one.left[0].why for one in lake.repair()] == [left.why]
    assert len(exchange.requests) == since


def test_an_exchange_that_is_down_is_tried_again(exchange, lake, lake_at):
    lake.backfill("binance", "BTC/USDT", "1m", **DAY)
    lake.delete(BARS, "2024-01-02T06:00", "2024-01-02T06:30")
    exchange.faults = exchange.faults.changed({"error_every": 1})
    (done,) = lake.repair()
    assert [left.gap.reason for left in done.left] == ["not_fetched"]
    exchange.faults = exchange.faults.changed({"error_every": 0})
    assert lake.repair()[0].left == ()


def test_data_of_your_own_is_nobodys_to_fetch(exchange, lake):
    """Never asked for, never looked at: there is nothing to repair."""
    lake.save("nyse:ohlcv:1d:AAPL/USD", [])
    lake.save(BARS, truth(exchange, BARS).head(5))
    assert lake.repair() == []
    assert exchange.requests == []


@pytest.mark.parametrize("what", [None, BARS])
@pytest.mark.parametrize("retry", [False, True])
def test_no_source_is_asked_for_what_was_only_imported(exchange, lake, what, retry):
    """Files cover a hole and nobody said that the exchange's rows belong there: a repair mixed them in."""
    rows = truth(exchange, BARS)
    ts = rows["ts"].to_physical()
    pieces = [Covered(Span(int(ts[0]), int(ts[9]))), Covered(Span(int(ts[20]), int(ts[29])))]
    lake.engine.append(Dataset.parse(BARS), rows.head(9), Provenance("binance vision"), pieces)
    (done,) = lake.repair(what, retry=retry)
    assert exchange.requests == []
    assert done.run is None
    assert {left.why.partition(":")[0] for left in done.left} == {
        "it was only imported or saved, so no source is asked"
    }
    assert lake.load(BARS).height == 9


class TestProvenSeams:
    """Pieces of trades that were kept one after the other, and end and begin at a row."""

    def keep(self, exchange, lake, gone=0):
        rows = truth(exchange, TRADES)
        half = rows.height // 2
        for part in (rows.head(half), rows.slice(half + gone)):
            ts = part["ts"].to_physical()
            looked = [Covered(Span(int(ts[0]), int(ts[-1]) + 1))]
            lake.engine.append(Dataset.parse(TRADES), part, Provenance("user"), looked)
        assert words(lake, TRADES) == {"not_fetched"}

    def test_repair_asks_nobody_for_what_contiguous_ids_prove(self, exchange, lake):
        self.keep(exchange, lake)
        since = len(exchange.requests)
        assert lake.repair(TRADES) == []
        assert words(lake, TRADES) == set()
        assert len(exchange.requests) == since

    def test_a_run_over_other_time_mends_them_too(self, exchange, lake):
        self.keep(exchange, lake)
        lake.backfill("binance", "BTC/USDT", start="2024-01-03", end="2024-01-03T00:10")
        assert words(lake, TRADES) <= {"not_fetched"}
        assert lake.gaps(TRADES, "2024-01-02T06:00", "2024-01-02T18:00") == []

    def test_where_a_trade_is_missing_repair_asks(self, exchange, lake):
        self.keep(exchange, lake, gone=1)
        ts = truth(exchange, TRADES)["ts"].to_physical()
        collected(lake, TRADES, Span(int(ts[0]), int(ts[-1]) + 1))
        (done,) = lake.repair(TRADES)
        assert [gap.reason for gap in done.closed] == ["not_fetched"]
        assert lake.load(TRADES)["ts"].equals(truth(exchange, TRADES)["ts"])
