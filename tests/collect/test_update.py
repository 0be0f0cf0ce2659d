"""Update brings what sources collected up to now, leaves the rest alone, and passes over exchanges that are down."""

from __future__ import annotations

import asyncio

import pytest

from ticklake.app import open_lake
from ticklake.collect.plan import select_symbols
from ticklake.config import ExchangeSettings
from ticklake.core.time import HOUR
from ticklake.errors import BadInput, Unsupported

from ..conftest import settings_for

BTC, KRAKEN = "binance:ohlcv:1h:BTC/USDT", "kraken:ohlcv:1h:BTC/USD"
ETH = "binance:ohlcv:1h:ETH/USDT"
FILE = "ts,open,high,low,close,volume\n" + "".join(f"2024-01-02T{hour:02}:00:00Z,1,2,0.5,1.5,10\n" for hour in range(5))


@pytest.fixture
def exchange(market, serve):
    return serve(market, "2024-01-03T00:30")


@pytest.fixture
def opened(tmp_path, exchange):
    """Open the lake; exchanges that are ``down`` cannot be reached."""

    def open_it(*down):
        settings = settings_for(exchange.url)
        dead = ExchangeSettings(url="http://127.0.0.1:9", rate_limit_ms=1, timeout=1)
        quick = {**settings.exchanges, **dict.fromkeys(down, dead)}
        retry = settings.retry.model_copy(update={"attempts": 2})
        settings = settings.model_copy(update={"exchanges": quick, "retry": retry})
        return open_lake(tmp_path / "lake", settings=settings)

    return open_it


@pytest.fixture
def begun(opened, exchange):
    """A lake with a dataset of each exchange, an hour after it was up to now."""
    with opened() as lake:
        lake.backfill("binance", "BTC/USDT", "1h", start="2024-01-02")
        lake.backfill("kraken", "BTC/USD", "1h", start="2024-01-02T20:00")
    exchange.clock.advance(HOUR)


@pytest.fixture
def imported(tmp_path):
    path = tmp_path / "theirs.csv"
    path.write_text(FILE)
    return path


def bars(lake, name):
    return lake.load(name).height


def test_an_exchange_that_is_down_keeps_no_other_from_being_asked(begun, opened):
    with opened("binance") as lake:
        before = bars(lake, KRAKEN)
        runs = {run.parameters["datasets"][0]: run for run in lake.update()}
        assert (runs[BTC].state, runs[KRAKEN].state) == ("failed", "succeeded")
        assert bars(lake, KRAKEN) == before + 1
        assert runs[BTC]["retriable"]
        assert runs[BTC].outcome.startswith("binance")
        assert lake.runs.get(runs[BTC].id).operation == "backfill"


def test_a_job_says_which_exchange_failed_and_does_the_others(begun, opened):
    with opened("kraken") as lake:
        job = lake.jobs.start(lake.jobs.create("update", max_attempts=1).id)
        assert job.state == "incomplete"
        assert f"{KRAKEN}: kraken" in job.outcome
        assert bars(lake, BTC) == 25


def test_a_job_of_which_every_exchange_failed_has_failed(begun, opened):
    with opened("kraken", "binance") as lake:
        assert lake.jobs.start(lake.jobs.create("update", max_attempts=1).id).state == "failed"


def test_what_was_only_imported_or_saved_is_left_alone(begun, opened, imported):
    with opened() as lake:
        lake.import_files(imported, ETH)
        lake.save("binance:ohlcv:1h:SOL/USDT", lake.load(BTC))
        before = [bars(lake, ETH), bars(lake, "binance:ohlcv:1h:SOL/USDT")]
        assert list(map(str, lake.collected())) == [BTC, KRAKEN]
        job = lake.jobs.start(lake.jobs.create("update").id)
        assert [bars(lake, ETH), bars(lake, "binance:ohlcv:1h:SOL/USDT")] == before
        assert job.outcome.endswith("2 datasets that no source collected were left alone")
        with pytest.raises(BadInput, match="ticklake backfill"):
            lake.update(ETH)


def test_a_repair_makes_no_dataset_one_that_is_collected(begun, opened, imported):
    with opened() as lake:
        lake.import_files(imported, ETH)
        lake.delete(ETH, "2024-01-02T02:00", "2024-01-02T03:00")
        lake.repair(ETH)
        assert ETH not in map(str, lake.collected())


def test_a_symbol_that_is_served_no_more_keeps_no_other_from_being_updated(begun, opened):
    with opened() as lake:
        gone = "binance:ohlcv:1h:GONE/USDT"
        lake.save(gone, lake.load(BTC))
        lake._collector.gap_notes.want(_dataset(gone), _span("2024-01-02", "2024-01-03"))
        runs = lake.update()
        assert [run.state for run in runs] == ["incomplete", "succeeded"]
        assert "does not list 'GONE/USDT'" in runs[0].outcome
        assert bars(lake, BTC) == 25


def _dataset(name):
    from ticklake.core.dataset import Dataset

    return Dataset.parse(name)


def _span(start, end):
    from ticklake.core.span import Span

    return Span.parse(start, end)


class _WithoutList:
    """A source that lists nothing."""

    exchange = "theirs"

    async def instruments(self):
        raise Unsupported("theirs does not list what it trades: name symbols, like A/B")


def test_a_source_that_lists_nothing_takes_names_as_they_are_and_no_patterns():
    assert asyncio.run(select_symbols(_WithoutList(), ["brk-b", "wstETH/USD"])) == ["brk-b", "wstETH/USD"]
    with pytest.raises(Unsupported):
        asyncio.run(select_symbols(_WithoutList(), ["A/*"]))
