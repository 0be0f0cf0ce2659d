"""What a server does for a client: saving, backfills by jobs, runs, schedules, streams."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tests.interfaces.api.conftest import running
from ticklake.app import memory_lake
from ticklake.config import ServerSettings
from ticklake.core.jobs import JobState
from ticklake.core.provenance import Provenance
from ticklake.core.records import Trade
from ticklake.core.results import Receipt
from ticklake.core.runs import RunState
from ticklake.errors import (
    BadInput,
    InvalidData,
    NotFound,
    ServerUnavailable,
    TicklakeWarning,
    UnknownDataset,
    UnknownExchange,
)
from ticklake.interfaces.client import connect
from ticklake.testing.rows import START, bars, trades

TRADES = "binance:trades:BTC/USDT"
BARS = "binance:ohlcv:1m:BTC/USDT"


@pytest.fixture(scope="module")
def lakes():
    """A lake that is served, and a twin at hand that gets the same."""
    with memory_lake() as served, memory_lake() as twin, running(served, ServerSettings(port=0)) as url, connect(url) as remote:  # fmt: skip
        yield remote, served, twin


def frame_of_pandas():
    times = pd.date_range("2024-01-01", periods=3, freq="1min", tz="UTC")
    return pd.DataFrame(
        {"Open": [1.0, 2, 3], "High": 4.0, "Low": 0.5, "Close": [2.0, 2, 2], "Volume": 1.0}, index=times
    )


FORMS = {
    "polars": lambda: bars(0, 5),
    "lazy": lambda: bars(0, 5).lazy(),
    "pandas": frame_of_pandas,
    "arrow": lambda: bars(0, 5).to_arrow(),
    "records": lambda: bars(0, 5).to_dicts(),
    "columns": lambda: bars(0, 5).to_dict(as_series=False),
    "series": lambda: bars(0, 5).to_dict(),
    "ccxt": lambda: [[START // 10**6 + number * 60_000, 1.0, 2.0, 0.5, 1.5, 9.0] for number in range(3)],
    "texts": lambda: [{"ts": "2024-01-01T00:00:00Z", "open": 1, "high": 2, "low": 1, "close": 2, "volume": None}],
    "numpy": lambda: [{"ts": "2024-01-01", "open": np.float64(1), "high": np.int64(2), "low": 1, "close": 2}],
    "nothing": list,
    "empty": lambda: bars(0, 0),
}


@pytest.mark.parametrize("form", FORMS)
def test_rows_are_saved_in_every_form_that_a_lake_takes(lakes, form):
    remote, served, twin = lakes
    dataset = f"binance:ohlcv:1m:{form.upper()}/USDT"
    receipts = [replace(lake.save(dataset, FORMS[form]()), version=0) for lake in (remote, twin)]
    assert receipts[0] == receipts[1]
    if receipts[0].received:
        assert served.load(dataset).equals(twin.load(dataset))


def test_records_and_their_origin_arrive(lakes):
    remote, served, _ = lakes
    dataset = "binance:trades:NEW/USDT"
    remote.save(dataset, [Trade(START, 1.5, 2.0, "buy", "7")], Provenance("mine", note="x"))
    assert served.provenance(dataset) == [Provenance("mine", note="x")]
    assert served.load(dataset)["price"].to_list() == [1.5]


def test_refused_rows_are_told_of(lakes):
    remote, _, twin = lakes
    bad = bars(0, 2).with_columns(high=pl.lit(-1.0))
    receipts: list[Receipt] = []
    for lake in (remote, twin):
        with pytest.warns(TicklakeWarning, match=r"2 of 2 rows were refused .*lake\.quarantine\("):
            receipts.append(lake.save(BARS, bad))
    assert receipts[0].reasons == receipts[1].reasons
    with pytest.raises(InvalidData) as told:
        remote.save(BARS, pl.DataFrame({"ts": [1.5], "close": ["x"]}))
    with pytest.raises(InvalidData) as expected:
        twin.save(BARS, pl.DataFrame({"ts": [1.5], "close": ["x"]}))
    assert str(told.value) == str(expected.value)
    with pytest.raises(BadInput, match="provenance"):
        remote.save(BARS, bars(0, 1), provenance=5)


def test_rows_are_taken_away_and_renamed(lakes):
    remote, served, _ = lakes
    old, new = "binance:ohlcv:1m:OLD/USDT", "binance:ohlcv:1m:NEW/USDT"
    remote.save(old, bars(0, 10))
    assert remote.delete(old, START, START + 3 * 60 * 10**9, dry_run=True) == 3
    assert remote.delete(old, START, START + 3 * 60 * 10**9) == 3
    assert remote.rename(old, new) == 7
    assert served.load(new).height == 7
    rule = remote.derive("fives", new, "5m", label="open")
    assert rule == served.derived.get("fives") == remote.derived.get("fives")
    assert remote.derived.list() == served.derived.list()
    assert remote.derived.drop("fives") == 0
    assert remote.drop(new) == 7
    with pytest.raises(UnknownDataset):
        remote.load(new)


def test_features_are_declared_and_written(lakes):
    remote, served, _ = lakes
    declared = remote.features.register("momentum", "v1", {"ret": ("float64", "1", "log return")}, tags=["a"])
    assert declared == served.features.describe("momentum@v1").features
    rows = [
        {"ts": START + number * 10**9, "exchange": "binance", "symbol": "A/B", "ret": number / 3} for number in range(4)
    ]
    receipt = remote.features.write("momentum", "v1", rows)
    assert receipt.new == 4
    assert remote.features.read("momentum@v1").equals(served.features.read("momentum@v1"))
    remote.features.deprecate("momentum", "v1")
    assert served.features.list()["state"].to_list() == ["deprecated"]
    assert remote.features.delete("momentum", "v1") == 4


def test_many_rows_are_sent_in_pieces(lakes):
    remote, served, _ = lakes
    rows = trades(0, 40_000)
    receipt = remote.save(TRADES, rows)
    assert (receipt.received, receipt.new) == (40_000, 40_000)
    assert served.load(TRADES).height == 40_000
    joined = remote.asof(rows.select("ts", "price"), TRADES, columns="id")
    assert joined.equals(served.asof(rows.select("ts", "price"), TRADES, columns="id"))


def test_runs_of_ones_own(lakes):
    remote, served, _ = lakes
    run = remote.runs.create("train", "momentum", {"depth": 3})
    remote.runs.update_progress(run.id, 0.3333333333, {"epochs": 1})
    remote.runs.append_log(run.id, "one third", "info")
    assert remote.runs.get(run.id) == served.runs.get(run.id)
    assert remote.runs.active() == served.runs.active()
    assert remote.runs.tail(run.id) == served.runs.tail(run.id)
    assert remote.runs.finish(run.id, "succeeded", outcome="good").state is RunState.SUCCEEDED
    assert remote.runs.list(state="succeeded") == served.runs.list(state="succeeded")
    with pytest.raises(NotFound):
        remote.runs.get(999)
    with pytest.raises(BadInput, match="run_id"):
        remote.runs.get("x")


def test_jobs_and_schedules(lakes):
    remote, served, _ = lakes
    remote.save(BARS, bars(0, 5))
    job = remote.jobs.create("compact", BARS, priority=2)
    assert job == served.jobs.get(job.id) == remote.jobs.get(job.id)
    assert remote.jobs.list(state="active") == served.jobs.list(state="active")
    assert remote.jobs.counts() == served.jobs.counts()
    seen = []
    done = remote.jobs.start(job.id, watch=lambda progress: seen.append(progress.done))
    assert done.state is JobState.SUCCEEDED
    assert seen[-1] == 1.0
    assert remote.jobs.cleanup_completed(0) == 1
    added = remote.schedules.add("nightly", "compact", cron="5 2 * * *", zone="Europe/Berlin", dataset=BARS)
    assert added == served.schedules.get("nightly") == remote.schedules.list()[0]
    assert remote.schedules.pause("nightly").paused
    assert not remote.schedules.resume("nightly").paused
    assert remote.jobs.cancel(remote.schedules.run("nightly").id).state is JobState.CANCELLED
    remote.schedules.remove("nightly")
    assert remote.schedules.list() == []
    assert list(remote.streams.status()) == remote.streams.list() == remote.streams.stop() == []


def test_a_backfill_is_a_job_that_is_waited_for(serve, market, lake_at):
    lake = lake_at(serve(market, "2024-01-05"))
    with running(lake, ServerSettings(port=0)) as url, connect(url) as remote:
        span = {"start": "2024-01-02", "end": "2024-01-02T03:00:00Z"}
        (plan,) = remote.plan("binance", "BTC/USDT", "1m", **span)
        assert (str(plan.dataset), plan.spans) == (BARS, lake.plan("binance", "BTC/USDT", "1m", **span)[0].spans)
        seen = []
        run = remote.backfill("binance", "BTC/USDT", "1m", **span, watch=lambda progress: seen.append(progress.done))
        assert (run.state, run["new"], seen[-1]) == (RunState.SUCCEEDED, lake.load(BARS).height, 1.0)
        assert remote.load(BARS).equals(lake.load(BARS))
        assert remote.repair(BARS).state is JobState.SUCCEEDED
        (updated,) = remote.update(BARS)
        assert updated.operation == "backfill"
        with pytest.raises(UnknownExchange, match="no_such"):
            remote.backfill("no_such", "BTC/USDT", "1m", **span)


def test_who_interrupts_a_wait_cancels_the_job(lakes):
    remote, served, _ = lakes
    remote.save(BARS, bars(0, 5))
    job = remote.jobs.create("compact", BARS)

    def stop(_progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        remote.jobs.wait(job.id, watch=stop)
    assert served.jobs.get(job.id).state is JobState.CANCELLED


def test_a_lost_connection_cancels_nothing(lakes, monkeypatch):
    remote, served, _ = lakes
    remote.save(BARS, bars(0, 5))
    job = remote.jobs.create("compact", BARS)

    def lost(_job_id):
        raise ServerUnavailable("gone")

    monkeypatch.setattr(remote.jobs, "get", lost)
    with pytest.raises(ServerUnavailable):
        remote.jobs.wait(job.id)
    assert served.jobs.get(job.id).state is JobState.QUEUED
    served.jobs.cancel(job.id)
