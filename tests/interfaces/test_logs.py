"""Logs of commands: lines of JSON or text, without secrets."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import ccxt.async_support as ccxt
import pytest

from ticklake.config import LogSettings
from ticklake.core.jobs import JobState
from ticklake.errors import BadInput, SourceUnavailable
from ticklake.interfaces.logs import configure_logs
from ticklake.log import Log
from ticklake.sources.ccxt.client import translated
from ticklake.testing.rows import bars


@pytest.fixture(autouse=True)
def _loggers():
    """Give back what the configuration changed."""
    before = {}
    for name in ("ticklake", "uvicorn.error", "py.warnings"):
        logger = logging.getLogger(name)
        before[name] = (list(logger.handlers), logger.level, logger.propagate)
    yield
    logging.captureWarnings(False)
    for name, (handlers, level, propagate) in before.items():
        logger = logging.getLogger(name)
        for handler in set(logger.handlers) - set(handlers):
            handler.close()
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.fixture
def logged(tmp_path):
    """Configure logs into a file, and return what reads its lines."""
    path = tmp_path / "ticklake.log"

    def configure(**options):
        configure_logs(LogSettings(file=str(path), **options))
        return lambda: [json.loads(line) for line in path.read_text().splitlines()]

    return configure


def test_an_event_is_a_line_of_json_that_begins_with_when_and_what(logged):
    lines = logged()
    Log("jobs").warning("job failed", job=3, reason="no answer")
    [line] = lines()
    assert list(line) == ["time", "level", "logger", "event", "job", "reason"]
    assert line["time"].endswith("Z")
    assert (line["level"], line["logger"], line["event"], line["job"]) == ("warning", "ticklake.jobs", "job failed", 3)


def test_lines_below_the_level_are_left_out(logged):
    lines = logged(level="warning")
    Log("jobs").info("job taken")
    Log("jobs").error("job failed")
    assert [line["event"] for line in lines()] == ["job failed"]


def test_text_is_for_people(tmp_path):
    configure_logs(LogSettings(file=str(tmp_path / "log"), format="console"))
    Log("jobs").info("job taken", job=3)
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert "job taken" in line
    assert "job" in line
    assert not line.startswith("{")


def _fail_as_ccxt_does(url):
    try:
        raise ccxt.ExchangeNotAvailable(f"binance GET {url} 503 Service Unavailable")
    except ccxt.ExchangeNotAvailable as error:
        raise translated(error, "binance") from error


def test_a_signed_address_of_ccxt_never_reaches_the_log(logged):
    lines = logged()
    url = "https://api.binance.com/sapi/v1/x?timestamp=1&apiKey=S3cr3t&signature=S3cr3t"
    with pytest.raises(SourceUnavailable) as raised:
        _fail_as_ccxt_does(url)
    assert "S3cr3t" not in str(raised.value)
    # Its cause is ccxt's own error, which the traceback shows.
    Log("sources").error("call failed", failure=raised.value, reason=raised.value)
    logging.getLogger("ticklake").warning("asked %s with token=S3cr3t", url)
    first, second = lines()
    assert second["event"] == f"asked {url.replace('S3cr3t', '***')} with token=***"
    assert "ExchangeNotAvailable: binance GET https://api.binance.com/sapi/v1/x" in first["exception"]
    assert "S3cr3t" not in json.dumps([first, second])


@pytest.mark.parametrize("form", ["json", "console"])
def test_records_of_others_are_one_line_each(tmp_path, form):
    configure_logs(LogSettings(file=str(tmp_path / "log"), format=form))
    logging.getLogger("uvicorn.error").warning("no request: %s", "a\nb\x1b[31m")
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert "\x1b[31m" not in line


def test_a_file_that_cannot_be_written_is_said(tmp_path):
    with pytest.raises(BadInput, match=r"log\.file=.*cannot be written"):
        configure_logs(LogSettings(file=str(tmp_path / "no" / "folder" / "x.log")))


def test_a_log_that_was_moved_away_goes_on_in_a_new_file(logged, tmp_path):
    lines = logged()
    Log("jobs").info("one")
    (tmp_path / "ticklake.log").rename(tmp_path / "ticklake.log.1")
    Log("jobs").info("two")
    assert [line["event"] for line in lines()] == ["two"]


def test_commits_runs_and_jobs_are_logged(logged, lake_at):
    lake = lake_at()
    lines = logged(level="debug")
    lake.save("x:ohlcv:1m:BTC/USDT", bars(0, 3))
    run = lake.runs.create("backtest", "BTC/USDT")
    lake.runs.append_log(run.id, "half of it", "warning")
    lake.runs.finish(run.id, "failed", outcome="no money")
    lake.jobs.start(lake.jobs.create("compact").id)
    said = [(line["level"], line["event"]) for line in lines()]
    assert ("debug", "committed") in said
    assert ("warning", "run says") in said
    assert ("error", "run failed") in said
    assert [event for _, event in said if event.startswith("job")] == ["job taken", "job succeeded"]


def test_an_error_that_nobody_expected_in_a_job_comes_with_its_traceback(logged, lake_at, monkeypatch):
    lake = lake_at()
    lines = logged()
    monkeypatch.setattr(type(lake.admin), "compact", lambda *_: 1 / 0)
    lake.save("x:ohlcv:1m:BTC/USDT", bars(0, 3))
    assert lake.jobs.start(lake.jobs.create("compact").id).state is JobState.FAILED
    [line] = [line for line in lines() if "exception" in line]
    assert "ZeroDivisionError" in line["exception"]


def test_schedules_are_logged(logged, lake_at):
    lake = lake_at()
    lake.schedules.add("tidy", "compact", every="1h")
    lines = logged()
    scheduler = lake.schedules.scheduler()
    lake.schedules.table.put(replace(lake.schedules.get("tidy"), next_at=1))
    scheduler.tick()
    assert [line["event"] for line in lines()] == ["schedule fired"]
