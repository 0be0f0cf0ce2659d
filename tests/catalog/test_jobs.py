"""The queue of jobs: who gets which, who may end it, and what becomes of those whose worker died."""

import platform
import subprocess
import threading
import time

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.dialects import sqlite

from ticklake.catalog import claims
from ticklake.catalog.database import Database
from ticklake.catalog.jobs import JobQueue
from ticklake.catalog.processes import this_process
from ticklake.catalog.runs import Runs
from ticklake.core.jobs import LONG_RUN, JobState, NewJob
from ticklake.core.time import SECOND
from ticklake.errors import BadInput, LeaseHeld, LeaseLost

LEASE = 60 * SECOND
BTC, ETH = "x:trades:BTC/USDT", "x:trades:ETH/USDT"


@pytest.fixture
def queue(database, clock):
    return JobQueue(database, clock, LEASE)


def new(number=0, dataset=None, **options):
    return NewJob("compact", dataset or "all datasets", dataset, {"number": number}, **options)


def add(queue, *jobs):
    return [job.id for job in queue.add(jobs)]


def taken(queue):
    """The jobs that are claimed one after another until none is left."""
    found = []
    while (job := queue.claim("me")) is not None:
        found.append(job.id)
    return found


def test_a_new_job_waits_with_all_that_was_asked(queue, clock):
    (job,) = queue.add([NewJob("backfill", "subject", BTC, {"ö": [1, None]}, priority=3, max_attempts=2)])
    assert (job.operation, job.subject, job.dataset, job.parameters) == ("backfill", "subject", BTC, {"ö": [1, None]})
    assert (job.priority, job.max_attempts, job.state, job.attempts) == (3, 2, JobState.QUEUED, 0)
    assert (job.created_at, job.due_at, job.is_active) == (clock.now, clock.now, True)
    assert queue.get(job.id) == job


def test_identical_jobs_are_one_until_it_has_ended(queue):
    first, again, other = add(queue, new(1, BTC), new(1, BTC), new(2, BTC))
    assert first == again != other
    claimed = queue.claim("me")
    assert add(queue, new(1, BTC)) == [first]
    queue.finish(claimed, JobState.SUCCEEDED, "done")
    assert add(queue, new(1, BTC)) not in ([first], [other])


def test_the_highest_priority_comes_first_then_the_oldest(queue):
    low, high, second_high, middle = add(queue, new(1), new(2, priority=9), new(3, priority=9), new(4, priority=5))
    assert taken(queue) == [high, second_high, middle, low]


def test_of_a_dataset_one_job_runs_at_a_time(queue):
    first, second, other = add(queue, new(1, BTC), new(2, BTC), new(3, ETH))
    held = queue.claim("me")
    assert (held.id, queue.claim("you").id, queue.claim("you")) == (first, other, None)
    assert queue.claim("you", second) is None
    queue.finish(held, JobState.SUCCEEDED, "")
    assert queue.claim("you").id == second


def test_a_job_of_many_datasets_holds_all_of_them_or_none(queue):
    _, wide, eth = add(queue, new(1, BTC), new(2), new(3, ETH))
    first, second = queue.claim("me"), queue.claim("you")
    with pytest.raises(LeaseHeld, match="BTC"):
        queue.hold(second, [ETH, BTC])
    queue.finish(first, JobState.SUCCEEDED, "")
    queue.hold(second, [ETH, BTC])
    queue.hold(second, [ETH])
    assert queue.claim("me") is None
    assert queue.give_back(second, "later").id == wide
    assert {queue.claim("me").id, queue.claim("me").id} == {wide, eth}


def test_a_running_job_whose_worker_is_silent_goes_to_another_and_the_silent_one_can_end_nothing(queue, clock):
    (number,) = add(queue, new(1, BTC))
    slow = queue.claim("slow")
    clock.now += LEASE
    assert [job.id for job in queue.recover()] == [number]
    quick = queue.claim("quick")
    assert (quick.id, quick.attempts, quick.fence) == (number, 2, slow.fence + 1)
    for act in (
        lambda: queue.beat(slow, 0.5),
        lambda: queue.finish(slow, JobState.SUCCEEDED, "stale"),
        lambda: queue.retry(slow, "stale", 0),
        lambda: queue.give_back(slow, "stale"),
    ):
        with pytest.raises(LeaseLost, match=str(number)):
            act()
    assert queue.finish(quick, JobState.SUCCEEDED, "fresh").outcome == "fresh"


def test_who_was_silent_loses_the_dataset_that_another_job_was_given_meanwhile(queue, clock):
    """Nobody looked for silent workers in between: two jobs must not work on one dataset all the same."""
    add(queue, new(1, BTC, priority=1), new(2, BTC, priority=2), new(3, ETH))
    slow = queue.claim("slow")
    clock.now += LEASE - 1
    (later,) = add(queue, new(4, BTC, priority=9))
    clock.now += 1
    assert queue.claim("quick").id == later
    with pytest.raises(LeaseLost):
        queue.beat(slow)
    assert [job.dataset for job in queue.find(state="running")] == [BTC]


def test_who_was_silent_loses_what_another_job_holds_meanwhile(queue, clock):
    add(queue, new(1, BTC), new(2))
    slow = queue.claim("slow")
    clock.now += LEASE // 2
    wide = queue.claim("wide")
    clock.now += LEASE // 2
    queue.hold(wide, [BTC])
    with pytest.raises(LeaseLost):
        queue.finish(slow, JobState.SUCCEEDED, "")


def test_a_try_that_was_taken_over_takes_no_lease_from_the_next_one(queue, clock):
    (number,) = add(queue, new(1))
    slow = queue.claim("slow")
    clock.now += LEASE
    quick = queue.claim("quick")
    queue.hold(quick, [BTC])
    with pytest.raises(LeaseLost, match=str(number)):
        queue.hold(slow, [BTC])
    queue.finish(quick, JobState.SUCCEEDED, "")
    (next_one,) = add(queue, new(2, BTC))
    assert queue.claim("me").id == next_one


def test_signs_of_life_keep_the_lease_on_the_job_and_on_all_its_datasets(queue, clock):
    add(queue, new(1, BTC), new(2, ETH), new(3, BTC))
    job = queue.claim("me")
    queue.hold(job, ["x:trades:C/USDT"])
    for _ in range(5):
        clock.now += LEASE - 1
        assert queue.beat(job, 0.5) is False
        assert queue.recover() == [] or queue.get(job.id).state is JobState.RUNNING
    assert queue.get(job.id).done == 0.5
    assert [one.id for one in (queue.claim("you"), queue.claim("you")) if one] == [2]


def test_a_job_that_kills_its_workers_is_given_up(queue, clock):
    (number,) = add(queue, new(1, max_attempts=3))
    for _ in range(3):
        assert queue.claim("me").id == number
        clock.now += LEASE
        queue.recover()
    assert queue.claim("me") is None
    assert (queue.get(number).state, queue.get(number).outcome) == (JobState.FAILED, "its worker me died")


def test_a_failed_try_is_repeated_when_its_wait_is_over(queue, clock):
    (number,) = add(queue, new(1, BTC))
    queue.retry(queue.claim("me"), "the exchange is down", 30 * SECOND)
    assert (queue.get(number).state, queue.get(number).outcome) == (JobState.QUEUED, "the exchange is down")
    assert queue.claim("me") is None
    clock.now += 30 * SECOND
    assert queue.claim("me").attempts == 2
    assert JobState.QUEUED not in queue.counts()


def test_a_job_that_is_given_back_has_lost_no_try(queue):
    (number,) = add(queue, new(1, BTC, max_attempts=1))
    queue.give_back(queue.claim("me"), "its worker was told to stop")
    assert (queue.get(number).attempts, queue.claim("me").attempts) == (0, 1)


def test_a_waiting_job_is_cancelled_at_once_and_a_running_one_at_the_next_sign_of_life(queue, clock):
    running, waiting = add(queue, new(1), new(2))
    job = queue.claim("me")
    assert queue.cancel(waiting).state is JobState.CANCELLED
    assert (queue.cancel(running).state, queue.beat(job)) == (JobState.RUNNING, True)
    ended = queue.finish(job, JobState.CANCELLED, "stopped")
    assert queue.cancel(running) == ended
    assert add(queue, new(2)) != [waiting]


def test_a_job_that_shall_be_cancelled_does_not_outlive_its_worker(queue, clock):
    (number,) = add(queue, new(1))
    queue.claim("me")
    queue.cancel(number)
    clock.now += LEASE
    queue.recover()
    assert queue.get(number).state is JobState.CANCELLED


def test_jobs_are_found_by_state_operation_and_subject(queue):
    btc, eth, _ = add(queue, new(1, BTC), new(2, ETH), NewJob("repair", "all datasets"))
    queue.finish(queue.claim("me"), JobState.FAILED, "")
    assert [job.id for job in queue.find(state="failed")] == [btc]
    assert [job.operation for job in queue.find(state="active")] == ["repair", "compact"]
    assert [job.id for job in queue.find(operation="compact", limit=1)] == [eth]
    assert [job.id for job in queue.find(search="ETH")] == [eth]
    assert queue.counts() == {"failed": 1, "queued": 2}
    with pytest.raises(BadInput, match="queued"):
        queue.find(state="broken")
    with pytest.raises(BadInput, match="77"):
        queue.get(77)


def test_jobs_that_ended_long_ago_are_forgotten_and_those_to_come_are_not(queue, clock):
    old, _, waiting = add(queue, new(1), new(2), new(3))
    queue.finish(queue.claim("me"), JobState.SUCCEEDED, "")
    clock.now += 10 * SECOND
    queue.finish(queue.claim("me"), JobState.SUCCEEDED, "")
    assert queue.cleanup_completed(10 * SECOND) == 1
    assert old not in [job.id for job in queue.find()]
    assert queue.cleanup_completed(0) == 1
    assert [job.id for job in queue.find()] == [waiting]


def test_what_is_left_is_estimated_from_what_is_done(queue, clock):
    add(queue, new(1))
    job = queue.claim("me")
    assert job.seconds_left(clock.now) is None
    clock.now += 30 * SECOND
    queue.beat(job, 0.25)
    assert queue.get(job.id).seconds_left(clock.now) == 90.0


def test_only_what_is_known_of_work_waits_for_no_disk(tmp_path):
    """One connection writes both ways, in turns: rows and new jobs are as durable as ever."""
    database = Database.in_file(tmp_path / "catalog.db")
    levels = []
    for durable in (True, False, False, True):
        with database.write(durable=durable) as connection:
            levels.append(connection.exec_driver_sql("PRAGMA synchronous").scalar())
    database.close()
    full, normal = 2, 1
    assert levels == [full, normal, normal, full]


def test_no_two_workers_get_the_same_job(tmp_path):
    """Real connections of one file, at the same moment."""
    path = tmp_path / "catalog.db"
    Database.in_file(path).close()
    queues = [JobQueue(Database.in_file(path), time.time_ns, LEASE) for _ in range(4)]
    queues[0].add([new(number, f"x:trades:{number % 20}/USDT") for number in range(200)])
    claimed, start = [], threading.Barrier(4)

    def work(queue):
        start.wait()
        while (job := queue.claim("me")) is not None or JobState.QUEUED in queue.counts():
            if job is not None:
                claimed.append(job.id)
                queue.finish(job, JobState.SUCCEEDED, "")

    threads = [threading.Thread(target=work, args=(queue,)) for queue in queues]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == list(range(1, 201))


def test_the_next_job_comes_from_an_index_with_ten_thousand_in_the_queue(tmp_path):
    """No sorting and no walk through the queue: a full one costs what a short one does."""
    database = Database.in_file(tmp_path / "catalog.db")
    queue = JobQueue(database, time.time_ns, LEASE)

    queue.add([new(number, f"x:trades:{number}/USDT") for number in range(10_000)])
    assert queue.claim("me") is not None
    with database.read() as connection:
        claim = claims.claim(False).compile(dialect=sqlite.dialect(paramstyle="named"))
        plan = str(connection.execute(text(f"EXPLAIN QUERY PLAN {claim}"), claim.params).all())
    assert "USING INDEX jobs_next" in plan
    assert "TEMP B-TREE" not in plan
    database.close()


def test_a_catalog_that_was_brought_forward_has_what_a_new_one_has(tmp_path):
    """Tables, columns and indexes of the migration are those that ``schema.py`` describes."""
    from pathlib import Path
    from shutil import copytree

    golden = Path(__file__).parents[1] / "golden" / "schema-1" / "lake"
    copytree(golden, tmp_path / "old")
    seen = []
    for path in (tmp_path / "old" / "catalog.db", tmp_path / "new.db"):
        database = Database.in_file(path)
        with database.read() as connection:
            found = inspect(connection)
            seen.append(
                {
                    name: (
                        {(column["name"], column["nullable"]) for column in found.get_columns(name)},
                        {(index["name"], index["unique"]) for index in found.get_indexes(name)},
                    )
                    for name in ("runs", "jobs", "leases", "schedules")
                }
            )
        database.close()
    assert seen[0] == seen[1]


def test_a_lane_has_the_jobs_of_streams_or_all_others(queue):
    stream, other = add(queue, NewJob("stream", "all streams", None, {"streams": []}, priority=9), new(1))
    assert queue.claim("me", lane="others").id == other
    assert queue.claim("me", lane="others") is None
    assert queue.claim("you", lane="streams").id == stream


def test_the_newest_run_of_a_job_is_its_own(queue, database, clock):
    first, second = add(queue, new(1), new(2))
    runs = Runs(database, clock)
    with runs.of_job(first):
        runs.create("compact")
        newest = runs.create("compact")
    assert (queue.newest_run(queue.get(first)), queue.newest_run(queue.get(second))) == (newest.id, 0)


def dies(queue, clock, *, after=0):
    """One try that begins as soon as it may, gives signs of life for a while, and ends with its worker; the seconds that it waited."""
    began, job = clock.now, None
    for _ in range(400):
        if (job := queue.claim("me")) is not None:
            break
        clock.now += SECOND
    assert job is not None
    waited = (clock.now - began) // SECOND
    clock.now += after
    queue.beat(job)
    clock.now += LEASE
    queue.recover()
    return waited


@pytest.mark.parametrize("operation", ["stream", "poll"])
def test_an_endless_job_never_fails_because_its_workers_died_five_times_in_months(queue, clock, operation):
    (number,) = add(queue, NewJob(operation, "x", parameters={"n": 1}, max_attempts=2))
    assert [dies(queue, clock, after=LONG_RUN) for _ in range(6)] == [0] * 6
    job = queue.get(number)
    assert (job.state, job.attempts) == (JobState.QUEUED, 1)


def test_an_endless_job_that_kills_its_workers_at_once_comes_back_after_growing_pauses(queue, clock):
    (number,) = add(queue, NewJob("stream", "x", parameters={"n": 1}, max_attempts=5))
    waits = [dies(queue, clock) for _ in range(11)]
    assert waits == [0, 0, 2, 4, 8, 16, 32, 64, 128, 300, 300]
    assert queue.get(number).state is JobState.QUEUED
    # One that ran well counts anew.
    assert dies(queue, clock, after=LONG_RUN) == 300
    assert dies(queue, clock) == 0


def test_a_job_that_ends_by_itself_is_given_up_however_long_its_tries_were(queue, clock):
    (number,) = add(queue, new(1, max_attempts=2))
    for _ in range(2):
        dies(queue, clock, after=LONG_RUN)
    assert queue.get(number).state is JobState.FAILED


def test_a_job_whose_process_of_this_machine_has_ended_is_taken_at_once(queue, clock):
    with subprocess.Popen(["/bin/true"]) as process:
        process.wait()
    dead = f"{platform.node()}/{process.pid}/0"
    (number, other) = add(queue, new(1, BTC), new(2, ETH))
    assert queue.claim(dead).id == number
    assert queue.claim(this_process()).id == other
    assert [job.id for job in queue.recover()] == [number]
    assert queue.claim("me").id == number
