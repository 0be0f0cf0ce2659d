"""Runs: what was executed, and how it went; a run whose process died says so."""

import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import ticklake
from ticklake.catalog import runs as catalog_runs
from ticklake.catalog.database import Database
from ticklake.catalog.runs import LEASE, LOG_LINE, LOG_TAIL, Runs
from ticklake.core.runs import RunState
from ticklake.errors import BadInput

SOURCES = Path(ticklake.__file__).parents[1]


@pytest.fixture
def runs(database, clock):
    return Runs(database, clock)


def ids(found):
    return [run.id for run in found]


def test_a_started_run_is_running_and_remembers_what_was_asked(runs, clock):
    run = runs.create("backfill", "x:trades:BTC/USDT", {"start": 1, "path": Path("a")})
    assert (run.operation, run.subject, run.state) == ("backfill", "x:trades:BTC/USDT", RunState.RUNNING)
    assert (run.started_at, run.finished_at, run.done) == (clock.now, None, 0.0)
    assert run.parameters == {"start": 1, "path": "a"}
    assert run.is_active
    assert runs.get(run.id) == run


def test_progress_is_seen_by_others_and_is_a_sign_of_life(runs, clock):
    run = runs.create("backfill", "a", {})
    clock.now += 5
    runs.update_progress(run.id, 0.25, {"new": 7})
    seen = runs.get(run.id)
    assert (seen.done, seen["new"], seen["never_counted"]) == (0.25, 7, 0)
    assert seen.heartbeat_at == run.started_at + 5
    assert seen.is_active


@pytest.mark.parametrize("state", [state for state in RunState if state is not RunState.RUNNING])
def test_a_finished_run_says_how_it_ended(runs, clock, state):
    run = runs.create("backfill", "a", {})
    clock.now += 9
    ended = runs.finish(run.id, state, {"new": 3}, "because")
    assert (ended.state, ended.finished_at, ended.outcome, ended["new"]) == (state, clock.now, "because", 3)
    assert not ended.is_active
    assert runs.get(run.id) == ended


def test_only_success_is_done_to_the_full(runs):
    first, second = (runs.create("backfill", "a", {}) for _ in range(2))
    runs.update_progress(first.id, 0.5, {})
    assert runs.finish(first.id, RunState.FAILED, {}, "").done == 0.5
    assert runs.finish(second.id, RunState.SUCCEEDED, {}, "").done == 1.0


def test_runs_are_listed_newest_first_up_to_a_limit(runs):
    started = [runs.create("backfill", "a", {}).id for _ in range(4)]
    assert ids(runs.list()) == started[::-1]
    assert ids(runs.list(limit=2)) == started[:1:-1]
    assert ids(runs.list(limit=0)) == []


def test_runs_are_listed_by_state(runs):
    first, second, third = (runs.create("backfill", "a", {}).id for _ in range(3))
    runs.finish(first, RunState.FAILED, {}, "")
    runs.finish(third, RunState.FAILED, {}, "")
    assert ids(runs.list(state="failed")) == [third, first]
    assert ids(runs.list(state="failed", limit=1)) == [third]
    assert ids(runs.list(state="running")) == [second]


def test_runs_are_listed_by_any_part_of_their_subject(runs):
    first = runs.create("backfill", "x:trades:BTC/USDT", {}).id
    runs.create("backfill", "x:trades:ETH/USDT", {})
    assert ids(runs.list(subject="BTC")) == [first]
    assert ids(runs.list(subject="%")) == []


def test_an_unknown_state_is_refused_with_the_known_ones(runs):
    with pytest.raises(BadInput, match="failed"):
        runs.list(state="broken")


def test_an_unknown_run_is_refused(runs):
    with pytest.raises(BadInput, match="77"):
        runs.get(77)


def test_the_log_keeps_its_order_and_only_its_tail(runs, clock):
    run, other = runs.create("backfill", "a", {}), runs.create("backfill", "b", {})
    runs.append_log(other.id, "other", "info")
    for number in range(LOG_TAIL + 15):
        clock.now += 1
        runs.append_log(run.id, f"line {number}", "warning")
    lines = runs.tail(run.id)
    assert [line.message for line in lines] == [f"line {number}" for number in range(15, LOG_TAIL + 15)]
    assert (lines[-1].at, lines[-1].level) == (clock.now, "warning")
    assert [line.message for line in runs.tail(other.id)] == ["other"]


def test_a_run_of_this_process_is_alive_however_long_it_is_silent(runs, clock):
    run = runs.create("backfill", "a", {})
    clock.now += 10**15
    assert runs.get(run.id).is_active


_START = """
import sys, time
from pathlib import Path
from ticklake.catalog.database import Database
from ticklake.catalog.runs import Runs

runs = Runs(Database.in_file(Path(sys.argv[1])), time.time_ns)
run = runs.create("backfill", "x:trades:BTC/USDT", {})
runs.update_progress(run.id, 0.5, {"new": 3})
print(run.id, flush=True)
time.sleep(60)
"""


@pytest.fixture
def elsewhere(tmp_path):
    """A run that another process executes: the process and the run's number."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    process = subprocess.Popen(
        [sys.executable, "-c", _START, str(tmp_path / "c.db")], env=environment, stdout=subprocess.PIPE, text=True
    )
    yield process, int(process.stdout.readline())
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_run_whose_process_was_killed_is_reported_as_killed(tmp_path, elsewhere, clock):
    process, number = elsewhere
    database = Database.in_file(tmp_path / "c.db")
    runs = Runs(database, clock)
    assert runs.get(number).is_active
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert ids(runs.list(state="running")) == []
    killed = runs.get(number)
    assert (killed.state, killed.finished_at, killed.done, killed["new"]) == (RunState.KILLED, clock.now, 0.5, 3)
    assert ids(runs.list(state="killed")) == [number]
    database.close()


def test_a_run_that_ends_while_it_is_looked_at_keeps_its_own_ending(runs, monkeypatch):
    """The row was read as running; then the process finished it and exited."""
    monkeypatch.setattr(catalog_runs, "this_process", lambda: f"{platform.node()}/{os.getppid()}/other")
    run = runs.create("backfill", "a", {})

    def gone(_process):
        monkeypatch.undo()
        runs.finish(run.id, RunState.SUCCEEDED, {"new": 9}, "all there")
        return True

    monkeypatch.setattr(catalog_runs, "is_gone", gone)
    runs.get(run.id)
    seen = runs.get(run.id)
    assert (seen.state, seen.outcome) == (RunState.SUCCEEDED, "all there")


@pytest.mark.parametrize(
    ("process", "killed"),
    [
        (f"elsewhere/{os.getpid()}/token", False),
        (f"{platform.node()}/{os.getppid()}/token", False),
        (f"{platform.node()}/{os.getpid()}/of an earlier one", True),
        (f"{platform.node()}/{os.getpid()}", True),
    ],
    ids=["another host", "another process", "our number, before us", "as schema 2 wrote it"],
)
def test_a_silent_run_is_killed_by_its_lease_or_at_once_where_its_process_is_known_to_be_gone(
    runs, clock, monkeypatch, process, killed
):
    """In a container every process has the number 1: the number alone says nothing."""
    monkeypatch.setattr(catalog_runs, "this_process", lambda: process)
    run = runs.create("backfill", "a", {})
    assert (ids(runs.active()) == []) is killed
    runs.close()
    clock.now += LEASE
    assert runs.get(run.id).state is RunState.KILLED


def test_a_run_gives_signs_of_life_while_it_says_nothing(database, clock):
    runs = Runs(database, clock, beat_every=0.01)
    run = runs.create("backfill", "a", {})
    clock.now += LEASE
    until = time.monotonic() + 20
    while runs.get(run.id).heartbeat_at != clock.now and time.monotonic() < until:
        time.sleep(0.01)
    assert runs.get(run.id).heartbeat_at == clock.now
    runs.finish(run.id, RunState.SUCCEEDED, {}, "")


def test_runs_are_listed_by_dataset_alone_or_among_others_and_by_job(runs):
    alone = runs.create("backfill", "x:trades:ÄÖ/USDT", {}).id
    among = runs.create(
        "backfill", "x:trades:BTC/USDT and 1 more", {"datasets": ["x:trades:BTC/USDT", "x:trades:ÄÖ/USDT"]}
    )
    with runs.of_job(7):
        other = runs.create("backfill", "x:trades:ÄÖ/USDT:USDT", {"datasets": ["x:trades:ÄÖ/USDT:USDT"]})
    assert ids(runs.list(dataset="x:trades:ÄÖ/USDT")) == [among.id, alone]
    assert ids(runs.list(job=7)) == [other.id]
    assert (other.job_id, among.job_id) == (7, None)


class TestOfUsersOwn:
    def test_a_run_needs_no_more_than_a_word(self, runs):
        run = runs.create("signals")
        runs.append_log(run.id, "begun")
        runs.update_progress(run.id, 0.5, {"rows": 7})
        runs.update_progress(run.id, 0.75)
        seen = runs.get(run.id)
        assert (seen.done, seen["rows"], [line.message for line in runs.tail(run.id)]) == (0.75, 7, ["begun"])
        ended = runs.finish(run.id)
        assert (ended.state, ended["rows"], ended.done) == (RunState.SUCCEEDED, 7, 1.0)

    def test_states_are_words_and_a_run_ends_once(self, runs):
        run = runs.create("signals")
        assert runs.finish(run.id, "failed", outcome="no power").state is RunState.FAILED
        again = runs.finish(run.id, "succeeded")
        assert (again.state, again.outcome) == (RunState.FAILED, "no power")

    @pytest.mark.parametrize("state", ["running", "done", ""])
    def test_no_run_ends_as_what_is_no_end(self, runs, state):
        run = runs.create("signals")
        with pytest.raises(BadInput, match="use one of succeeded, incomplete"):
            runs.finish(run.id, state)
        assert runs.get(run.id).is_active

    @pytest.mark.parametrize("done", [50, -0.5, float("nan")])
    def test_progress_is_a_share(self, runs, done):
        run = runs.create("signals")
        with pytest.raises(BadInput, match="goes from 0 to 1"):
            runs.update_progress(run.id, done)

    def test_a_run_that_is_not_there_is_named(self, runs):
        for verb in (
            lambda: runs.append_log(7, "x"),
            lambda: runs.update_progress(7, 0.5),
            lambda: runs.finish(7),
            lambda: runs.finish(7, "failed", {}, ""),
        ):
            with pytest.raises(BadInput, match="there is no run 7"):
                verb()

    def test_lines_of_a_log_are_bounded(self, runs):
        run = runs.create("signals")
        runs.append_log(run.id, "x" * (LOG_LINE + 5))
        (line,) = runs.tail(run.id)
        assert line.message == "x" * LOG_LINE + "... (5 more characters)"
