"""A process that is stopped while it holds the write lock: others wait for a bounded time and say who it is."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

import ticklake
from ticklake.catalog import database as catalog_database
from ticklake.catalog import replace
from ticklake.catalog.database import Database
from ticklake.errors import CatalogBusy

_HOLD = """
import sys, time
from pathlib import Path
from ticklake.catalog.database import Database
with Database.in_file(Path(sys.argv[1])).write() as connection:
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def stopped_holder(path):
    environment = {**os.environ, "PYTHONPATH": str(Path(ticklake.__file__).parents[1])}
    command = [sys.executable, "-c", _HOLD, str(path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "held\n"
            process.send_signal(signal.SIGSTOP)
            yield process
        finally:
            process.kill()


def test_others_are_told_who_holds_the_write_lock_after_a_bounded_time(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog_database, "BUSY_SECONDS", 0.5)
    database = Database.in_file(tmp_path / "c.db")
    with stopped_holder(tmp_path / "c.db") as process:
        with pytest.raises(CatalogBusy) as caught, database.write():
            pytest.fail("two hold the write lock")
        with database.read() as connection:
            connection.exec_driver_sql("select 1")
    told = str(caught.value)
    assert f"process {process.pid}, which is stopped" in told
    assert f"kill -CONT {process.pid}" in told
    database.close()


def test_a_rebuild_that_waits_for_a_stopped_process_says_who_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(replace, "BUSY_SECONDS", 0.2)
    Database.in_file(tmp_path / "c.db").close()
    fresh = Database.in_memory()
    with (
        stopped_holder(tmp_path / "c.db") as process,
        pytest.raises(CatalogBusy, match=f"process {process.pid}, which is stopped"),
    ):
        replace.replace_content(tmp_path / "c.db", fresh, lambda _old: pytest.fail("two hold the write lock"))
    fresh.close()


def test_a_holder_in_another_thread_is_no_stopped_process(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog_database, "BUSY_SECONDS", 0.2)
    database, other = Database.in_file(tmp_path / "c.db"), Database.in_file(tmp_path / "c.db")
    held, done = threading.Event(), threading.Event()

    def hold():
        with other.write():
            held.set()
            done.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(20)
    with pytest.raises(CatalogBusy, match=f"process {os.getpid()} for"), database.write():
        pytest.fail("two hold the write lock")
    done.set()
    thread.join()
    database.close()
    other.close()


def test_a_catalog_in_memory_is_closed_after_the_transaction_of_another_thread():
    database = Database.in_memory()
    has_begun, is_closed, order = threading.Event(), threading.Event(), []

    def write():
        with database.write():
            has_begun.set()
            # The close waits for this block: without that, SQLite's connection would vanish in the middle of it.
            assert not is_closed.wait(0.1)
            order.append("written")

    writer = threading.Thread(target=write)
    writer.start()
    has_begun.wait()
    database.close()
    is_closed.set()
    order.append("closed")
    writer.join()
    assert order == ["written", "closed"]
