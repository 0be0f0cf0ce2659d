"""A lake in a notebook, where an event loop is running already."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading

import pytest

from .test_backfill import BARS, NOW, truth


def in_a_loop(call):
    """Call it as a notebook's kernel does, whose loop leaves interrupts to the code that runs."""

    async def cell():
        return call()

    with contextlib.closing(asyncio.new_event_loop()) as loop:
        return loop.run_until_complete(cell())


def test_a_backfill_runs_beside_the_loop_and_its_job_is_known(market, serve, lake_at):
    lake = lake_at(serve(market, NOW))
    job = lake.jobs.create("backfill", "binance", "BTC/USDT", "1m", start="2024-01-02", end="2024-01-03")
    ended = in_a_loop(lambda: lake.jobs.start(job.id))
    assert ended.state == "succeeded"
    assert lake.load(BARS).height == truth(market, BARS, "2024-01-02", "2024-01-03").height
    assert [run.operation for run in lake.runs.list(job=job.id)] == ["backfill"]


def test_interrupted_it_stops_and_keeps_what_was_committed(market, serve, lake_at):
    lake = lake_at(serve(market, NOW))

    def interrupt(progress) -> None:
        if progress.counts["pages"] == 1:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        in_a_loop(lambda: lake.backfill("binance", "BTC/USDT", "1m", start="2024-01-01", watch=interrupt))
    (run,) = lake.runs.list()
    assert run.state == "cancelled"
    assert 0 < lake.load(BARS).height < truth(market, BARS, "2024-01-01", NOW).height
