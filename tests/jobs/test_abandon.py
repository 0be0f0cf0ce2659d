"""A process that has to end before its jobs do gives them back, and what they still do has no effect."""

from __future__ import annotations

import threading

from ticklake.core.jobs import JobState
from ticklake.testing.rows import bars

BTC = "x:ohlcv:1m:BTC/USDT"


def test_a_job_that_is_abandoned_waits_for_another_worker_and_commits_no_more(lake_at, monkeypatch):
    lake = lake_at()
    lake.save(BTC, bars(0, 3))
    begun, may_go_on = threading.Event(), threading.Event()
    compact = type(lake.admin).compact

    def hang(admin, dataset=None):
        begun.set()
        assert may_go_on.wait(10)
        lake.save(BTC, bars(3, 6))
        return compact(admin, dataset)

    monkeypatch.setattr(type(lake.admin), "compact", hang)
    job = lake.jobs.create("compact", BTC)
    worker = lake.jobs.worker()
    thread = threading.Thread(target=worker.run_one)
    thread.start()
    assert begun.wait(10)
    worker.abandon()
    given_back = lake.jobs.get(job.id)
    assert (given_back.state, given_back.attempts) == (JobState.QUEUED, 0)
    assert [run.state for run in lake.runs.list()] == ["cancelled"]
    assert lake.jobs.queue.claim("elsewhere/1/x") is not None
    may_go_on.set()
    thread.join(10)
    # The save inside the job was refused: it belongs to another worker now.
    assert lake.load(BTC).height == 3
    assert lake.jobs.get(job.id).owner == "elsewhere/1/x"
