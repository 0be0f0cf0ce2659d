"""Collection goes on after errors that nobody expected, and says so meanwhile."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from contextlib import closing

import pytest

from ticklake.errors import ReadOnlyLake
from ticklake.interfaces.collection import Collection
from ticklake.interfaces.health import lake_health
from ticklake.interfaces.logs import log_lost_threads
from ticklake.jobs import persistence
from ticklake.jobs.persistence import Persistent


def until(found, seconds=10.0):
    """Wait until something is so, and return it."""
    deadline = time.monotonic() + seconds
    while not (result := found()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.005)
    return result


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(persistence, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(persistence, "_SOON", 0.2)


def change(lake, expires_at):
    with closing(sqlite3.connect(lake.root / "catalog.db")) as connection, connection:
        connection.execute("UPDATE jobs SET expires_at = ?", (expires_at,))


def test_a_collection_that_meets_a_damaged_job_says_so_and_goes_on_once_it_is_mended(lake_at, caplog):
    lake = lake_at()
    job = lake.jobs.create("compact")
    change(lake, 1)
    said = []
    collection = Collection(lake, lambda _job: None, said.append)
    ended = threading.Event()
    with caplog.at_level(logging.ERROR, "ticklake.jobs"):
        collection.start(ended.set)
        try:
            until(lambda: len(said) >= 3)
            [lost, damaged] = lake_health(lake, known=collection.problems())["problems"]
            assert lost == "worker cannot go on (CatalogDamaged): see the log"
            assert "damaged" in damaged
            change(lake, None)
            until(lambda: lake.jobs.get(job.id).state == "succeeded")
            until(lambda: not collection.problems())
            assert not ended.is_set()
        finally:
            collection.stop()
            collection.join()
    record = caplog.records[0]
    assert record.msg.name == "collection failed"
    assert "is not what was written" in record.msg.fields["reason"]
    assert record.exc_info is None


def test_an_error_that_nobody_expected_is_logged_with_its_traceback_and_pauses_double(monkeypatch, caplog):
    stopping, pauses = threading.Event(), []
    monkeypatch.setattr(
        stopping, "wait", lambda seconds: pauses.append(seconds) or (len(pauses) > 14 and stopping.set())
    )
    loop = Persistent("worker", lambda: 1 / 0, stopping)
    with caplog.at_level(logging.ERROR, "ticklake.jobs"):
        loop.run()
    assert pauses[:4] == [0.01, 0.02, 0.04, 0.08]
    assert pauses[-1] == 60
    assert (caplog.records[0].exc_info[0], caplog.records[0].msg.fields["loop"]) == (ZeroDivisionError, "worker")
    assert loop.problem == "worker cannot go on (ZeroDivisionError): see the log"


def test_an_error_that_cannot_pass_ends_all_of_the_collection(lake_at, monkeypatch):
    lake = lake_at()
    collection = Collection(lake, lambda _job: None, lambda _text: None)

    def refuse():
        raise ReadOnlyLake("the lake cannot be written")

    monkeypatch.setattr(collection._loops[1], "loop", refuse)
    with pytest.raises(ReadOnlyLake):
        collection.run()


def test_a_thread_that_an_error_ends_is_a_line_of_the_log(monkeypatch, caplog, capsys):
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    said = []
    log_lost_threads(said.append)
    with caplog.at_level(logging.ERROR, "ticklake.threads"):
        thread = threading.Thread(target=lambda: 1 / 0, name="busy")
        thread.start()
        thread.join()
    [record] = caplog.records
    assert (record.msg.name, record.msg.fields["thread"]) == ("thread lost", "busy")
    assert record.exc_info[0] is ZeroDivisionError
    assert said == ["the thread busy ended: ZeroDivisionError: division by zero"]
    assert capsys.readouterr().err == ""
