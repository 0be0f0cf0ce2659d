"""Collection in one process: it goes on whatever fails for a while."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing

import pytest

from ticklake.core.jobs import JobState
from ticklake.errors import CatalogDamaged
from ticklake.interfaces import collection
from ticklake.interfaces.doctor import contents
from ticklake.interfaces.health import lake_health


def change(lake, text):
    with closing(sqlite3.connect(lake.root / "catalog.db")) as connection, connection:
        connection.execute(text)


@pytest.fixture
def damaged(lake_at):
    """A lake with one job that waits, in a row that is not what was written."""
    lake = lake_at()
    lake.jobs.create("compact")
    change(lake, "update jobs set row_check = row_check + 1")
    return lake


def test_workers_go_on_when_what_failed_is_mended(damaged, monkeypatch):
    monkeypatch.setattr(collection, "_AGAIN", 0.05)
    said, ended = [], []
    collecting = collection.Collection(damaged, lambda _job: None, said.append, workers=2)
    collecting.start(lambda: ended.append(True))
    until(lambda: len(said) > 3)
    assert ended == []
    assert all("no jobs can be taken: " in text for text in said)
    change(damaged, "update jobs set row_check = row_check - 1")
    until(lambda: damaged.jobs.queue.counts() == {JobState.SUCCEEDED: 1})
    collecting.stop()
    collecting.join()
    assert ended == [True]


def test_an_error_that_nobody_expected_is_logged_and_tried_again(lake_at, monkeypatch, caplog):
    monkeypatch.setattr(collection, "_AGAIN", 0.01)
    collecting = collection.Collection(lake_at(), lambda _job: None, lambda _text: None)
    monkeypatch.setattr(collecting._streams.queue, "recover", lambda: 1 / 0)
    collecting.start(lambda: None)
    until(lambda: sum("no jobs can be taken" in text for text in caplog.messages) > 3)
    collecting.stop()
    collecting.join()


def test_health_and_doctor_say_that_jobs_cannot_be_read(damaged):
    health = lake_health(damaged)
    assert health["status"] == "degraded"
    assert "jobs of the catalog are damaged" in str(health["problems"])
    with pytest.raises(CatalogDamaged):
        list(contents.jobs(damaged))


def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
