"""What retention removed is not fetched again, until somebody forgets that it was removed."""

import pytest

from ticklake.app import open_lake
from ticklake.core.coverage import Found
from ticklake.core.span import Span
from ticklake.core.time import DAY, parse_time

from ..conftest import settings_for

BARS = "binance:ohlcv:1m:BTC/USDT"
NOW = parse_time("2024-01-06")
ASKED = {"start": "2024-01-01", "end": "2024-01-05"}


@pytest.fixture
def exchange(market, serve):
    return serve(market, "2024-01-06")


@pytest.fixture
def lake(tmp_path, exchange):
    settings = settings_for(exchange.url).model_copy(update={"keep": {"ohlcv": 2}})
    with open_lake(tmp_path / "lake", settings=settings, clock=lambda: NOW) as lake:
        lake.backfill("binance", "BTC/USDT", "1m", **ASKED)
        lake.cleanup()
        yield lake


def asked_before(exchange, ts):
    return [r for r in exchange.requests if "klines" in r.path and int(r.query.get("startTime", ts)) < ts // 10**6]


@pytest.mark.parametrize("retry", [False, True])
def test_a_backfill_of_the_same_span_asks_for_none_of_it(lake, exchange, retry):
    rows = lake.load(BARS).height
    exchange.requests.clear()
    run = lake.backfill("binance", "BTC/USDT", "1m", **ASKED, retry=retry)
    assert run.state == "succeeded"
    assert (run["new"], lake.load(BARS).height) == (0, rows)
    assert asked_before(exchange, NOW - 2 * DAY) == []
    assert lake.coverage(BARS).spans(Found.EXPIRED) == [Span(parse_time("2024-01-01"), NOW - 2 * DAY)]


def test_repair_asks_for_none_of_it(lake, exchange):
    exchange.requests.clear()
    assert lake.repair() == []
    assert exchange.requests == []


def test_what_is_deleted_by_hand_is_forgotten_and_comes_back(lake):
    lake.delete(BARS, None, "2024-01-02")
    run = lake.backfill("binance", "BTC/USDT", "1m", **ASKED)
    assert 0 < run["new"] <= 1440
    assert lake.coverage(BARS).spans(Found.EXPIRED) == [Span(parse_time("2024-01-02"), NOW - 2 * DAY)]
