"""Jobs through the lake: created, done by workers, cancelled, retried, and finished when a worker is killed."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import ticklake
from ticklake.app import open_lake
from ticklake.config import Settings
from ticklake.core.jobs import JobState
from ticklake.core.retry import RetryPolicy
from ticklake.core.time import HOUR, SECOND, parse_time
from ticklake.errors import (
    BadInput,
    BrokenPlugin,
    Cancelled,
    InvalidName,
    InvalidTime,
    LeaseLost,
    RateLimited,
    SourceUnavailable,
)
from ticklake.jobs.operations import GROUP, Operation, Operations, Outcome
from ticklake.operations import BUILT_IN
from ticklake.testing.exchange.faults import Faults

from ..conftest import settings_for

BTC = "binance:ohlcv:1h:BTC/USDT"
DAY = {"start": "2024-01-02", "end": "2024-01-03", "archives": False}


@pytest.fixture
def lake(tmp_path):
    with open_lake(
        tmp_path / "lake", settings=Settings(jobs={"idle": 0.05, "first_wait": 0, "longest_wait": 0})
    ) as held:
        yield held


@pytest.fixture
def act(lake):
    """Give the lake an operation that does what a test says."""

    def add(function, name="act", **options):
        lake.jobs.operations._found[name] = Operation(name, function, **options)

    return add


def states(lake, **options):
    return [str(job.state) for job in lake.jobs.list(**options)]


class TestCreating:
    def test_a_backfill_takes_what_the_method_of_the_lake_takes(self, lake):
        job = lake.jobs.create("backfill", "binance", "BTC/USDT", "1h", start="2024-01-02", priority=2)
        assert (job.dataset, job.subject, job.priority, job.max_attempts) == (BTC, BTC, 2, 5)
        assert job.parameters == {
            "exchange": "binance",
            "symbols": ["BTC/USDT"],
            "timeframe": "1h",
            "start": "2024-01-02T00:00:00Z",
        }

    def test_jobs_that_mean_the_same_are_one(self, lake):
        first = lake.jobs.create("backfill", "binance", "BTC/USDT", "1h", start="2024-01-02")
        assert lake.jobs.create("backfill", "binance", ["BTC/USDT"], timeframe="1h", start=1704153600 * SECOND) == first
        assert lake.jobs.create("backfill", "binance", "BTC/USDT", "1h", start="2024-01-03") != first

    @pytest.mark.parametrize(
        ("what", "parameters", "subject"),
        [
            (("binance", ["BTC/*"], "1h"), {}, "binance 1h BTC/*"),
            (("binance",), {"kind": "trades", "all_quote": "USDT"}, "binance trades */USDT"),
            (("binance", ["A/B", "C/D", "E/F", "G/H", "I/J"], "1d"), {}, "binance 1d A/B C/D E/F and 2 more"),
        ],
    )
    def test_a_job_of_several_datasets_says_which(self, lake, what, parameters, subject):
        job = lake.jobs.create("backfill", *what, **parameters)
        assert (job.dataset, job.subject) == (None, subject)

    def test_a_job_without_a_dataset_is_about_all(self, lake):
        assert lake.jobs.create("compact").subject == "all datasets"

    @pytest.mark.parametrize(
        ("asked", "error", "words"),
        [
            (("trade", "binance"), BadInput, "no operation 'trade'.*backfill, .*compact, .*update"),
            (("backfill", "binance", "BTC/USDT", "1h", "x"), BadInput, "backfill: too many positional"),
            (("compact", "nonsense"), InvalidName, "'nonsense' is not a dataset"),
            (("backfill", "binance", "BTC/USDT", "1y"), BadInput, "1y"),
        ],
    )
    def test_what_cannot_be_meant_is_refused_before_it_waits(self, lake, asked, error, words):
        with pytest.raises(error, match=words):
            lake.jobs.create(*asked)
        assert lake.jobs.list() == []

    def test_unknown_parameters_and_bad_times_are_refused(self, lake):
        with pytest.raises(BadInput, match=r"unexpected keyword argument 'tf'; it takes exchange, symbols"):
            lake.jobs.create("backfill", "binance", "BTC/USDT", tf="1h")
        with pytest.raises(InvalidTime, match="yesterday"):
            lake.jobs.create("backfill", "binance", "BTC/USDT", "1h", start="yesterday")
        with pytest.raises(BadInput, match="is not JSON"):
            lake.jobs.create("backfill", "binance", "BTC/USDT", "1h", depth=object())


class TestDoing:
    def test_a_backfill_is_done_and_its_run_is_known(self, market, serve, lake_at):
        lake = lake_at(serve(market, "2024-01-05"))
        job = lake.jobs.create("backfill", "binance", "BTC/USDT", "1h", **DAY)
        ended = lake.jobs.start(job.id)
        assert (ended.state, ended.done, ended.attempts) == (JobState.SUCCEEDED, 1.0, 1)
        assert lake.load(BTC).height == 24
        (run,) = lake.runs.list(job=job.id)
        assert (run.operation, run.state, run.outcome) == ("backfill", "succeeded", ended.outcome)

    def test_an_update_brings_datasets_from_where_they_begin_up_to_now(self, market, serve, lake_at):
        exchange = serve(market, "2024-01-03T00:01")
        lake = lake_at(exchange)
        lake.backfill("binance", "BTC/USDT", "1h", start="2024-01-02", end="2024-01-02T12:00")
        lake.backfill("kraken", "BTC/USD", kind="trades", start="2024-01-02T23:00", end="2024-01-02T23:10")
        lake.save("binance:ohlcv:1h:OWN/USDT", [ticklake.OHLCVBar("2024-01-01T00:00:00Z", 1, 1, 1, 1, 1)])
        job = lake.jobs.start(lake.jobs.create("update").id)
        assert job.state == "succeeded", job.outcome
        assert lake.load(BTC).height == 24
        assert (
            lake.last_timestamp("kraken:trades:BTC/USD") > ticklake.Span.parse("2024-01-02T23:55", "2024-01-03").start
        )
        assert [run.operation for run in lake.runs.list(job=job.id)] == ["backfill", "backfill"]

    def test_an_update_of_what_nobody_asked_for_says_so(self, lake):
        job = lake.jobs.start(lake.jobs.create("update", BTC).id)
        assert (job.state, job.attempts) == ("failed", 1)
        assert "never asked for" in job.outcome

    def test_compact_and_repair_record_a_run_each(self, lake):
        lake.save(BTC, [ticklake.OHLCVBar("2024-01-01T00:00:00Z", 1, 1, 1, 1, 1)])
        lake.save(BTC, [ticklake.OHLCVBar("2024-01-01T01:00:00Z", 1, 1, 1, 1, 1)])
        lake.jobs.create("compact", BTC)
        lake.jobs.create("repair", fetch=False)
        assert lake.jobs.worker().run(once=True) == 2
        assert [(run.operation, run.state, run.outcome) for run in lake.runs.list()] == [
            ("repair", "succeeded", "nothing is damaged or missing"),
            ("compact", "succeeded", "2 segments became 1"),
        ]

    def test_a_job_that_does_not_wait_cannot_be_started(self, lake):
        job = lake.jobs.create("compact")
        lake.jobs.cancel(job.id)
        with pytest.raises(BadInput, match=f"job {job.id} is cancelled"):
            lake.jobs.start(job.id)


class TestTrying:
    def test_what_may_pass_is_tried_again_up_to_its_tries(self, lake, act):
        def fail(_lake, _work):
            raise SourceUnavailable("the exchange is down")

        act(fail)
        job = lake.jobs.create("act", max_attempts=3)
        assert lake.jobs.worker().run(once=True) == 3
        ended = lake.jobs.get(job.id)
        assert (ended.state, ended.attempts, ended.outcome) == (JobState.FAILED, 3, "the exchange is down")
        assert [run.state for run in lake.runs.list(job=job.id)] == ["failed"] * 3

    def test_an_endless_job_goes_on_for_as_long_as_its_exchange_is_down(self, lake, act):
        def fail(_lake, _work):
            raise SourceUnavailable("the exchange is down")

        act(fail, "poll")
        job = lake.jobs.create("poll", max_attempts=2)
        for tries in (1, 2, 3, 4):
            waiting = lake.jobs.start(job.id)
            assert (waiting.state, waiting.attempts, waiting.tries) == (JobState.QUEUED, tries, str(tries))

    @pytest.mark.parametrize(
        "error", [BadInput("no such thing"), ValueError("a bug")], ids=lambda one: type(one).__name__
    )
    def test_what_cannot_pass_is_not_tried_again(self, lake, act, error):
        def fail(_lake, _work):
            raise error

        act(fail)
        job = lake.jobs.start(lake.jobs.create("act").id)
        assert (job.state, job.attempts) == (JobState.FAILED, 1)
        assert str(error) in job.outcome

    def test_an_exchange_that_says_how_long_is_waited_for(self, lake, act):
        def fail(_lake, _work):
            raise RateLimited("slow down", retry_after=600)

        act(fail)
        job = lake.jobs.start(lake.jobs.create("act").id)
        assert job.state == "queued"
        assert job.due_at - job.started_at >= 600 * SECOND

    def test_a_backfill_of_an_exchange_that_is_down_is_tried_again(self, market, serve, lake_at):
        """The run itself ends as failed; that the failure may pass is told with it."""
        exchange = serve(market, "2024-01-05")
        exchange.faults = Faults(error_every=1)
        lake = lake_at(exchange)
        job = lake.jobs.start(lake.jobs.create("backfill", "binance", "BTC/USDT", "1h", **DAY).id)
        assert (job.state, job.attempts) == (JobState.QUEUED, 1)
        exchange.faults = Faults()
        assert lake.jobs.start(job.id).state == "succeeded"

    def test_waits_double_jitter_and_have_an_end(self):
        policy = RetryPolicy(attempts=5, first_wait=10, longest_wait=60)
        assert [policy.wait(attempt, 1.0) // SECOND for attempt in (1, 2, 3, 4, 99)] == [10, 20, 40, 60, 60]
        assert policy.wait(1, 0.0) == 5 * SECOND
        assert policy.wait(1, 0.5, at_least=90) == 90 * SECOND


class TestStopping:
    def test_a_running_job_that_is_cancelled_stops_after_its_piece(self, lake, act):
        pieces = []

        def piece_by_piece(lake, work):
            for number in range(1000):
                work.check(number / 1000)
                pieces.append(number)
                if number == 2:
                    lake.jobs.cancel(job.id)
                    time.sleep(1.1)
            return Outcome(JobState.SUCCEEDED, "")

        act(piece_by_piece)
        job = lake.jobs.create("act")
        ended = lake.jobs.start(job.id)
        assert (ended.state, pieces) == (JobState.CANCELLED, [0, 1, 2])
        assert lake.runs.list(job=job.id)[0].state == "cancelled"

    def test_a_backfill_that_is_cancelled_keeps_what_it_committed(self, market, serve, lake_at):
        lake = lake_at(serve(market, "2024-01-05"))

        def stop(progress):
            if progress.counts["pages"] == 2:
                raise Cancelled("enough")

        with pytest.raises(Cancelled):
            lake.backfill("binance", "BTC/USDT", "1m", start="2024-01-01", end="2024-01-04", archives=False, watch=stop)
        run = lake.runs.list()[0]
        assert (run.state, run["pages"]) == ("cancelled", 2)
        assert lake.load("binance:ohlcv:1m:BTC/USDT").height == run["new"] > 0

    def test_a_worker_that_is_told_to_stop_gives_its_job_back(self, lake, act):
        def until_stopped(_lake, work):
            worker.stop()
            work.check()

        act(until_stopped)
        job = lake.jobs.create("act", max_attempts=1)
        worker = lake.jobs.worker()
        assert worker.run() == 1
        back = lake.jobs.get(job.id)
        assert (back.state, back.attempts, back.owner != "") == (JobState.QUEUED, 0, True)

    def test_a_worker_whose_lease_was_taken_over_ends_nothing(self, lake, act):
        def oversleep(lake, work):
            queue = lake.jobs.queue
            with lake.engine.catalog.database.write() as connection:
                connection.exec_driver_sql("UPDATE jobs SET expires_at = 0")
            queue.recover()
            taken.append(queue.claim("quick"))
            return Outcome(JobState.SUCCEEDED, "stale")

        taken = []
        act(oversleep)
        job = lake.jobs.create("act")
        assert lake.jobs.start(job.id).state is JobState.RUNNING
        assert lake.jobs.get(job.id).owner == "quick"
        assert lake.jobs.queue.finish(taken[0], JobState.SUCCEEDED, "fresh").outcome == "fresh"

    def test_what_a_worker_commits_after_its_job_was_taken_over_is_refused(self, lake, act):
        """It slept through its lease; meanwhile another worker did the job, and the values were corrected."""

        def oversleep(lake, work):
            with lake.engine.catalog.database.write() as connection:
                connection.exec_driver_sql("UPDATE jobs SET expires_at = 0")
            assert lake.jobs.queue.claim("quick") is not None
            with pytest.raises(LeaseLost, match="taken over"):
                lake.save(BTC, [ticklake.OHLCVBar("2024-01-01T00:00:00Z", 9, 9, 9, 9, 9)])
            with pytest.raises(LeaseLost, match="nothing was written"):
                lake.delete(BTC, "2024-01-01", "2024-01-02")
            return Outcome(JobState.SUCCEEDED, "stale")

        act(oversleep)
        lake.save(BTC, [ticklake.OHLCVBar("2024-01-01T00:00:00Z", 1, 1, 1, 1, 1)])
        version = lake.engine.catalog.version()
        lake.jobs.start(lake.jobs.create("act").id)
        assert (lake.engine.catalog.version(), lake.load(BTC)["open"].to_list()) == (version, [1.0])

    def test_a_job_whose_lease_ran_out_unnoticed_goes_on(self, lake, act):
        def slow(lake, work):
            with lake.engine.catalog.database.write() as connection:
                connection.exec_driver_sql("UPDATE jobs SET expires_at = 0")
            lake.save(BTC, [ticklake.OHLCVBar("2024-01-01T00:00:00Z", 9, 9, 9, 9, 9)])
            return Outcome(JobState.SUCCEEDED, "late, and nobody minded")

        act(slow)
        assert lake.jobs.start(lake.jobs.create("act").id).state is JobState.SUCCEEDED

    @pytest.mark.parametrize("error", [SourceUnavailable("down"), ValueError("bug"), Cancelled("told to stop")])
    def test_a_try_that_fails_after_it_was_taken_over_ends_its_run_and_not_its_worker(self, lake, act, error):
        def oversleep(lake, work):
            with lake.engine.catalog.database.write() as connection:
                connection.exec_driver_sql("UPDATE jobs SET expires_at = 0")
            lake.jobs.queue.claim("quick")
            raise error

        act(oversleep)
        job = lake.jobs.start(lake.jobs.create("act").id)
        assert (job.state, job.owner) == (JobState.RUNNING, "quick")
        (run,) = lake.runs.list(job=job.id)
        assert (run.state, "taken over" in run.outcome) == ("failed", True)

    def test_who_waits_for_ends_of_runs_hears_of_those_of_jobs(self, lake, act):
        """Alerts are told by it."""
        heard = []
        lake.runs.ended = heard.append
        act(lambda lake, work: Outcome(JobState.FAILED, "no"))
        lake.jobs.start(lake.jobs.create("act").id)
        assert [(run.operation, run.state, run.outcome) for run in heard] == [("act", "failed", "no")]

    def test_a_job_of_many_datasets_waits_while_another_works_on_one(self, market, serve, lake_at):
        lake = lake_at(serve(market, "2024-01-05"))
        lake.jobs.create("compact", BTC)
        held = lake.jobs.queue.claim("elsewhere")
        wide = lake.jobs.create("backfill", "binance", "BTC/*", "1h", **DAY)
        back = lake.jobs.start(wide.id)
        assert (back.state, back.attempts) == (JobState.QUEUED, 0)
        assert f"another job works on {BTC}" in back.outcome
        lake.jobs.queue.finish(held, JobState.SUCCEEDED, "")
        assert lake.jobs.start(wide.id).state == "succeeded"


class TestOperations:
    def test_a_package_adds_one(self, tmp_path, monkeypatch):
        plug(tmp_path, broken="no_such_module:x", wrong="builtins:print")
        monkeypatch.syspath_prepend(tmp_path)
        operations = Operations(BUILT_IN)
        assert {"backfill", "touch", "broken"} <= set(operations.names)
        assert operations["touch"].parameters(BTC, number=1) == {"dataset": BTC, "number": 1}
        with pytest.raises(BrokenPlugin, match="no_such_module"):
            operations["broken"]
        with pytest.raises(BrokenPlugin, match="Operation"):
            operations["wrong"]


TOUCH = """
import os
from pathlib import Path
from ticklake.core.jobs import JobState
from ticklake.jobs.operations import Operation, Outcome

def touch(lake, work, dataset, number):
    work.check()
    line = f"{number} {os.getpid()}\\n".encode()
    file = os.open(lake.root / "touched", os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    os.write(file, line)
    os.close(file)
    return Outcome(JobState.SUCCEEDED, f"touched {number}")

TOUCH = Operation("touch", touch)
"""


def plug(folder, **more):
    """Make a folder a package that adds an operation which leaves a line in a file for each time it is done."""
    info = folder / "touching-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: touching\nVersion: 1.0\n")
    points = {"touch": "touching:TOUCH", **more}
    lines = [f"[{GROUP}]", *(f"{name} = {value}" for name, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    (folder / "touching.py").write_text(TOUCH)


@pytest.fixture
def workers(tmp_path, monkeypatch):
    """Start real workers on a lake; those that are left are killed with the test."""
    plug(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    sources = Path(ticklake.__file__).parents[1]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(sources)]),
        "TICKLAKE_JOBS__IDLE": "0.1",
    }
    started = []

    def start(*options, url=None, lease=3):
        environment["TICKLAKE_JOBS__LEASE"] = str(lease)
        more = ["--exchange-url", url] if url else []
        command = [sys.executable, "-m", "ticklake", "worker", "--lake", str(tmp_path / "lake"), *options, *more]
        with (tmp_path / "said").open("a") as said:
            process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=said, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_until(condition, seconds=60, every=0.05):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it took too long"
        time.sleep(every)


def create_touches(lake, jobs, symbols):
    """Queue jobs that each leave their number, over so many datasets."""
    desk = lake.jobs
    return desk.create_all(
        [desk.new("touch", f"binance:trades:S{number % symbols}/USDT", number) for number in range(jobs)]
    )


def assert_all_were_done_once(lake, root, count, killed):
    """Every job ended as done, by one try that says so; begun twice was only what a worker held that was killed.

    Or that slept through its lease: on a machine with much else to do that happens, and is no try that says done either.
    """
    jobs = lake.jobs.list(limit=count + 1)
    assert {str(job.state) for job in jobs} == {"succeeded"}
    assert len(jobs) == count
    runs = lake.runs.list(limit=2 * count)
    done = [run.job_id for run in runs if run.state == "succeeded"]
    assert sorted(done) == sorted(job.id for job in jobs)
    assert len(runs) <= sum(job.attempts for job in jobs) <= len(runs) + killed
    touched = [int(line.split()[0]) for line in (root / "touched").read_text().splitlines()]
    assert set(touched) == set(range(count))
    assert len(touched) <= len(runs)


class TestProcesses:
    def test_jobs_of_a_killed_worker_are_done_by_another_and_none_twice(self, tmp_path, workers):
        with open_lake(tmp_path / "lake", settings=Settings()) as lake:
            create_touches(lake, 150, 20)
            victim, other = workers(), workers()
            wait_until(lambda: lake.jobs.counts().get("succeeded", 0) > 20)
            victim.send_signal(signal.SIGKILL)
            wait_until(lambda: lake.jobs.counts() == {"succeeded": 150})
            other.send_signal(signal.SIGTERM)
            assert other.wait(20) == 0
            assert_all_were_done_once(lake, tmp_path / "lake", 150, killed=1)

    def test_a_killed_backfill_goes_on_where_it_stood(self, tmp_path, market, serve, workers):
        """Killed between two pages; the next worker takes the job over when the lease is over, and fetches the rest."""
        exchange = serve(market, "2024-01-05")
        exchange.faults = Faults(timeout_every=1, timeout_seconds=0.3)
        with open_lake(tmp_path / "lake", settings=settings_for(exchange.url)) as lake:
            job = lake.jobs.create(
                "backfill", "binance", "BTC/USDT", "1m", start="2024-01-01", end="2024-01-05", archives=False
            )
            victim = workers(url=exchange.url)
            wait_until(lambda: lake.runs.list() and lake.runs.list()[0]["pages"] >= 2)
            victim.send_signal(signal.SIGKILL)
            victim.wait()
            exchange.faults = Faults()
            assert lake.runs.list()[0].state == "killed"
            before = lake.load("binance:ohlcv:1m:BTC/USDT").height
            workers(url=exchange.url)
            wait_until(lambda: not lake.jobs.get(job.id).is_active)
            ended = lake.jobs.get(job.id)
            assert (ended.state, ended.attempts) == (JobState.SUCCEEDED, 2), ended
            with open_lake(tmp_path / "straight", settings=settings_for(exchange.url)) as straight:
                straight.backfill("binance", "BTC/USDT", "1m", start="2024-01-01", end="2024-01-05", archives=False)
                truth = straight.load("binance:ohlcv:1m:BTC/USDT")
            assert before < truth.height
            assert lake.load("binance:ohlcv:1m:BTC/USDT").equals(truth)
            assert [run.state for run in lake.runs.list(job=job.id)] == ["succeeded", "killed"]

    def test_sigterm_lets_a_worker_finish_its_page_and_give_its_job_back(self, tmp_path, market, serve, workers):
        exchange = serve(market, "2024-01-05")
        exchange.faults = Faults(timeout_every=1, timeout_seconds=0.3)
        with open_lake(tmp_path / "lake", settings=settings_for(exchange.url)) as lake:
            job = lake.jobs.create("backfill", "binance", "BTC/USDT", "1m", start="2024-01-01", archives=False)
            worker = workers("--json", url=exchange.url)
            wait_until(lambda: lake.runs.list() and lake.runs.list()[0]["pages"] >= 1)
            worker.send_signal(signal.SIGTERM)
            out, _ = worker.communicate(timeout=30)
            assert (worker.returncode, json.loads(out)) == (0, {"taken": 1, "queued": 1})
            back = lake.jobs.get(job.id)
            assert (back.state, back.attempts) == (JobState.QUEUED, 0)
            assert lake.runs.list()[0].state == "cancelled"
            assert lake.jobs.queue.claim("at once").id == job.id

    def test_a_worker_that_is_killed_is_replaced(self, tmp_path, workers):
        with open_lake(tmp_path / "lake", settings=Settings()) as lake:
            boss = workers("--processes", "2", "--json")
            children = Path(f"/proc/{boss.pid}/task/{boss.pid}/children")
            if not children.exists():
                pytest.skip("this system does not tell the children of a process")
            wait_until(lambda: len(children.read_text().split()) == 2)
            first, other = children.read_text().split()
            os.kill(int(first), signal.SIGKILL)
            wait_until(lambda: other in (now := children.read_text().split()) and len(now) == 2 and first not in now)
            create_touches(lake, 10, 10)
            wait_until(lambda: lake.jobs.counts() == {"succeeded": 10})
            boss.send_signal(signal.SIGTERM)
            assert boss.wait(30) == 0

    def test_several_processes_share_the_queue(self, tmp_path, workers):
        threads = threading.active_count()
        with open_lake(tmp_path / "lake", settings=Settings()) as lake:
            create_touches(lake, 40, 40)
            boss = workers("--processes", "2", "--once")
            assert boss.wait(60) == 0, (tmp_path / "said").read_text()
            assert_all_were_done_once(lake, tmp_path / "lake", 40, killed=0)
            assert threading.active_count() <= threads + 1


@pytest.mark.slow
def test_ten_thousand_jobs_end_though_one_of_two_workers_is_killed(tmp_path, workers):
    """Done-when 5 of the issue: over 500 symbols, none lost, none done twice."""
    with open_lake(tmp_path / "lake", settings=Settings()) as lake:
        create_touches(lake, 10_000, 500)
        victim, other = workers("--json", lease=10), workers("--json", lease=10)
        wait_until(lambda: lake.jobs.counts().get("succeeded", 0) > 4_000, 300, every=0.5)
        victim.send_signal(signal.SIGKILL)
        wait_until(lambda: lake.jobs.counts() == {"succeeded": 10_000}, 300, every=0.5)
        other.send_signal(signal.SIGTERM)
        assert other.wait(20) == 0
        assert_all_were_done_once(lake, tmp_path / "lake", 10_000, killed=1)


@pytest.mark.soak
def test_hundreds_of_backfills_end_though_workers_are_killed_again_and_again(tmp_path, market, serve, workers):
    """Real backfills of an hour each; every ten seconds one of two workers is killed, and another takes its place."""
    exchange = serve(market, "2024-01-05")
    symbols, hours = ("BTC/USDT", "ETH/USDT", "BTC/USDT:USDT"), range(96)
    begin = parse_time("2024-01-01")
    with open_lake(tmp_path / "lake", settings=settings_for(exchange.url)) as lake:
        desk = lake.jobs
        jobs = [
            desk.new(
                "backfill",
                "binance",
                symbol,
                "1m",
                start=begin + n * HOUR,
                end=begin + (n + 1) * HOUR,
                archives=False,
                max_attempts=99,
            )
            for n in hours
            for symbol in symbols
        ]
        count = len(desk.create_all(jobs))
        working = [workers("--json", url=exchange.url, lease=10) for _ in range(2)]
        until, turn = time.monotonic() + 1800, 0
        while lake.jobs.counts().get("succeeded", 0) < count:
            assert time.monotonic() < until, lake.jobs.counts()
            time.sleep(10)
            working[turn % 2].kill()
            working[turn % 2] = workers("--json", url=exchange.url, lease=10)
            turn += 1
        assert lake.jobs.counts() == {"succeeded": count}
        with open_lake(tmp_path / "straight", settings=settings_for(exchange.url)) as straight:
            straight.backfill("binance", symbols, "1m", start=begin, end=begin + len(hours) * HOUR, archives=False)
            for name in straight.datasets():
                assert lake.load(name).equals(straight.load(name))
                assert lake.revisions(name) == []


def test_a_job_says_its_status_and_progress(lake):
    job = lake.jobs.create("compact")
    assert (job.status, job.progress) == ("queued", 0.0)
    ended = lake.jobs.start(job.id)
    assert (type(ended.status), ended.status, ended.progress) == (str, "succeeded", 1.0)
