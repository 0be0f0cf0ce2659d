"""Every rule of alerts against runs as the verbs and jobs of a lake really record them."""

from __future__ import annotations

from contextlib import suppress

import pytest

from ticklake.app import open_lake
from ticklake.config import ExchangeSettings
from ticklake.core.time import DAY, HOUR, parse_time
from ticklake.errors import Cancelled, SourceError

from ..conftest import settings_for

BARS = "binance:ohlcv:1h:BTC/USDT"
NOW = parse_time("2024-01-06")
PATTERN = ("binance", "BTC/*", "1h")


@pytest.fixture
def opened(tmp_path, market, serve):
    """Open the lake, at a time; binance cannot be reached if it is down."""
    exchange = serve(market, "2024-01-06")

    def open_it(now=NOW, *, down=False):
        settings = settings_for(exchange.url)
        if down:
            dead = ExchangeSettings(url="http://127.0.0.1:9", rate_limit_ms=1, timeout=1)
            retry = settings.retry.model_copy(update={"attempts": 2})
            exchanges = {**settings.exchanges, "binance": dead}
            settings = settings.model_copy(update={"exchanges": exchanges, "retry": retry})
        return open_lake(tmp_path / "lake", settings=settings, clock=lambda: now)

    return open_it


def wrong(lake, now=None):
    return {(str(message.rule), message.subject) for message in lake.alerts.check(now)}


def stop(_progress):
    if stop.calls:
        raise Cancelled("enough")
    stop.calls += 1


@pytest.fixture
def followed(opened):
    """A lake in which history with an end was followed by a stream, which was stopped."""
    with opened() as lake:
        lake.backfill("binance", "BTC/USDT", "1h", start="2024-01-02", end="2024-01-03")
        yield lake


def test_a_dataset_that_a_stream_kept_up_is_stale_when_it_ends(followed):
    assert wrong(followed, NOW + 10 * DAY) == set()
    stop.calls = 0
    with pytest.raises(Cancelled):
        followed.poll(BARS, every="1s", watch=stop)
    assert ("stale", BARS) in wrong(followed, NOW + 10 * DAY)


def test_a_dataset_that_an_update_brought_up_to_now_is_stale_later(followed):
    followed.update()
    assert wrong(followed, NOW + HOUR) == set()
    assert wrong(followed, NOW + 10 * HOUR) == {("stale", BARS)}


def test_a_repair_and_a_plan_keep_nothing_up(followed):
    followed.delete(BARS, "2024-01-02T05:00", "2024-01-02T07:00")
    followed.repair(BARS)
    followed.plan("binance", "BTC/USDT", "1h", start="2024-01-02")
    assert wrong(followed, NOW + 10 * DAY) == set()


def test_what_was_imported_is_never_stale(opened, tmp_path):
    path = tmp_path / "theirs.csv"
    path.write_text("ts,open,high,low,close,volume\n2024-01-02T00:00:00Z,1,2,0.5,1.5,10\n")
    with opened() as lake:
        lake.import_files(path, BARS)
        lake.update()
        assert wrong(lake, NOW + 10 * DAY) == set()


def test_a_dataset_is_stale_however_many_runs_of_others_came_since(opened, monkeypatch):
    monkeypatch.setattr("ticklake.alerts.conditions.NEWEST_RUNS", 1)
    with opened() as lake:
        lake.backfill("binance", "BTC/USDT", "1h", start="2024-01-05")
        lake.backfill("binance", "ETH/USDT", "1h", start="2024-01-02", end="2024-01-03")
        assert wrong(lake, NOW + 10 * HOUR) == {("stale", BARS)}


@pytest.mark.parametrize("verb", ["backfill", "update", "pattern", "job"])
def test_an_exchange_that_cannot_be_reached_is_a_failed_run_until_it_can(verb, opened):
    with opened() as lake:
        lake.backfill("binance", "BTC/USDT", "1h", start="2024-01-02")
    verbs = {
        "backfill": lambda lake: lake.backfill("binance", "BTC/USDT", "1h", start="2024-01-01"),
        "update": lambda lake: lake.update(),
        "pattern": lambda lake: lake.backfill(*PATTERN, start="2024-01-01"),
        "job": lambda lake: lake.jobs.start(
            lake.jobs.create("backfill", *PATTERN, start="2024-01-01", max_attempts=1).id
        ),
    }
    with opened(down=True) as lake:
        with suppress(SourceError):
            verbs[verb](lake)
        (trouble,) = [one for one in lake.alerts.check() if one.rule != "gaps"]
        assert (trouble.rule, trouble.subject.split()[0]) == ("run_failed", "backfill")
    with opened() as lake:
        verbs[verb](lake)
        assert wrong(lake) == set()


def test_a_job_that_fails_before_its_operation_begins_is_told(opened):
    with opened() as lake:
        job = lake.jobs.create("backfill", "binance", "NO/SUCH", "1h")
        assert lake.jobs.start(job.id).state == "failed"
        assert wrong(lake) == {("run_failed", "backfill binance:ohlcv:1h:NO/SUCH")}
        (run,) = lake.runs.list(job=job.id)
        assert "does not list 'NO/SUCH'" in run.outcome


def test_a_job_whose_run_failed_is_recorded_once(opened):
    with opened() as lake:
        lake.backfill("binance", "BTC/USDT", "1h", start="2024-01-02")
    with opened(down=True) as lake:
        job = lake.jobs.start(lake.jobs.create("backfill", "binance", "BTC/USDT", "1h", max_attempts=1).id)
        assert [run.state for run in lake.runs.list(job=job.id)] == ["failed"]
