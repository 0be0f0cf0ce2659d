"""What collects no more although nobody stopped it is told: by health, the doctor and alerts."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from ticklake.core.jobs import JobState
from ticklake.core.time import MINUTE
from ticklake.errors import CatalogDamaged
from ticklake.interfaces.doctor import contents
from ticklake.interfaces.health import lake_health

BTC = {"exchange": "binance", "symbols": ["BTC/USDT"]}
ETH = {"exchange": "binance", "symbols": ["ETH/USDT"]}


@pytest.fixture
def lake(lake_at):
    return lake_at()


def create(lake, *streams):
    return lake.jobs.create("stream", streams=list(streams))


def fail(lake):
    job = lake.jobs.queue.claim("me")
    return lake.jobs.queue.finish(job, JobState.FAILED, "no such symbol")


def told(lake):
    """What health, the doctor and alerts say."""
    health = lake_health(lake)
    assert health["status"] == ("degraded" if health["problems"] else "ok")
    wrong = [finding.text for finding in contents.jobs(lake) if finding.state == "wrong"]
    return health["problems"], wrong, [message.subject for message in lake.alerts.check()]


def test_a_job_of_streams_that_failed_is_told_until_later_ones_collect_all_of_it(lake):
    create(lake, BTC, ETH)
    fail(lake)
    line = "job 1 (stream) failed, and no later one collects in its place: no such symbol"
    assert told(lake) == ([line], [line], ["job 1 (stream)"])
    create(lake, BTC)
    assert told(lake)[0] == [line]
    later = create(lake, ETH)
    assert told(lake) == ([], [], [])
    # Somebody wants it to end.
    lake.jobs.cancel(later.id)
    assert told(lake)[:2] == ([], [])


def test_a_poll_that_failed_is_told_and_a_job_that_ends_by_itself_is_not(lake):
    lake.jobs.create("poll", "binance:trades:BTC/USDT")
    fail(lake)
    lake.jobs.create("compact")
    fail(lake)
    assert [text[:12] for text in told(lake)[0]] == ["job 1 (poll)"]


def test_damaged_jobs_are_told_without_the_name_of_a_file(lake):
    job = lake.jobs.create("compact")
    with closing(sqlite3.connect(lake.root / "catalog.db")) as connection, connection:
        connection.execute("UPDATE jobs SET expires_at = 1 WHERE id = ?", (job.id,))
    [problem] = lake_health(lake)["problems"]
    assert "jobs of the catalog are damaged" in problem
    assert "catalog.db" not in problem
    with pytest.raises(CatalogDamaged):
        list(contents.jobs(lake))


def test_jobs_that_nobody_takes_are_told(lake):
    lake.jobs.create("compact")
    begun = lake.engine.now()
    lake.engine.now = lake.jobs.queue.now = lambda: begun + 20 * MINUTE
    assert lake_health(lake)["problems"] == ["a job has been due for 20 minutes: no worker takes it"]
