"""Metrics of a lake: what a scrape says, and what it costs."""

from __future__ import annotations

import time

import pytest

from ticklake.app import open_lake
from ticklake.catalog import schema
from ticklake.catalog.checksums import with_check
from ticklake.core.time import HOUR, SECOND
from ticklake.interfaces.metrics import LAKE_METRICS, LakeMetrics, process_samples
from ticklake.testing.rows import START, bars

BTC = "x:ohlcv:1m:BTC/USDT"


def scraped(metrics):
    return dict(line.rsplit(" ", 1) for line in metrics.lines() if not line.startswith("#"))


def settled(metrics):
    """A scrape that has what is read beside it, too."""
    deadline = time.monotonic() + 10
    while "ticklake_datasets_stale" not in (found := scraped(metrics)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def test_what_the_lake_holds_is_told_by_exchange_and_kind(lake_at):
    lake = lake_at()
    lake.save(BTC, bars(0, 5))
    lake.save("y:ohlcv:1h:BTC/USDT", bars(0, 2, interval=HOUR))
    found = settled(LakeMetrics(lake))
    labels = '{exchange="x",kind="ohlcv"}'
    assert found[f"ticklake_datasets{labels}"] == "1"
    assert found[f"ticklake_rows{labels}"] == "5"
    assert float(found[f"ticklake_newest_row_timestamp_seconds{labels}"]) == START / SECOND + 240
    assert found[f"ticklake_inline_segments{labels}"] == "1"
    assert found["ticklake_lake_version"] == "2"
    assert found["ticklake_disk_almost_full"] == "0"
    assert float(found["ticklake_disk_free_bytes"]) < float(found["ticklake_disk_size_bytes"])


def test_rows_are_counted_by_what_became_of_them(lake_at):
    lake = lake_at()
    lake.save(BTC, bars(0, 5))
    lake.save(BTC, bars(3, 7, bump=1))
    lake.save(BTC, bars(5, 7, bump=1))
    counts = {labels["result"]: value for labels, value in process_samples(lake)["ticklake_ingest_rows_total"]}
    assert counts == {"new": 7, "changed": 2, "duplicate": 2, "quarantined": 0}
    assert process_samples(lake)["ticklake_ingest_commits_total"] == [({}, 2)]


def test_jobs_that_wait_and_for_how_long(lake_at):
    lake = lake_at()
    assert scraped(LakeMetrics(lake))["ticklake_jobs_oldest_waiting_seconds"] == "0"
    lake.jobs.create("compact")
    with open_lake(lake.root, clock=lambda: time.time_ns() + HOUR) as later:
        found = scraped(LakeMetrics(later))
    assert found['ticklake_jobs{state="queued"}'] == "1"
    assert found['ticklake_jobs{state="running"}'] == "0"
    assert 3599 < float(found["ticklake_jobs_oldest_waiting_seconds"]) < 3700


def test_stale_datasets_and_runs_are_counted_beside_the_scrape(lake_at):
    lake = lake_at()
    lake.save(BTC, bars(0, 3))
    run = lake.runs.create("stream", "", {"datasets": [BTC]})
    lake.runs.finish(run.id, "failed")
    found = settled(LakeMetrics(lake))
    assert (found["ticklake_datasets_kept_up"], found["ticklake_datasets_stale"]) == ("1", "1")
    assert found['ticklake_runs{state="failed"}'] == "1"


def test_what_fails_beside_a_scrape_does_not_fail_the_scrape(lake_at, monkeypatch):
    lake = lake_at()
    monkeypatch.setattr(type(lake.admin), "stats", lambda _self: 1 / 0)
    metrics = LakeMetrics(lake)
    list(metrics.lines())
    time.sleep(0.05)
    assert scraped(metrics)["ticklake_lake_readable"] == "1"


def test_every_metric_has_a_name_of_its_unit():
    for name, (sort, _) in LAKE_METRICS.items():
        assert name.endswith("_total") == (sort == "counter")
        assert "second" not in name or name.endswith("_seconds")


@pytest.mark.trials
def test_a_scrape_of_ten_thousand_datasets_takes_milliseconds(lake_at):
    lake = lake_at()
    datasets = [with_check(schema.datasets, dataset(number)) for number in range(1, 10_001)]
    segments = [segment(number, place) for number in range(1, 10_001) for place in range(3)]
    with lake.engine.catalog.database.write() as connection:
        connection.execute(schema.datasets.insert(), datasets)
        connection.execute(schema.segments.insert(), segments)
    metrics = LakeMetrics(lake)
    settled(metrics)
    taken = []
    for _ in range(7):
        began = time.process_time()
        list(metrics.lines())
        taken.append(time.process_time() - began)
    assert min(taken) < 0.05


def dataset(number):
    return {
        "id": number,
        "exchange": f"ex{number % 5}",
        "kind": "trades",
        "symbol": f"A{number}/USDT",
        "timeframe": None,
        "name": f"ex{number % 5}:trades:A{number}/USDT",
        "keying": "id",
        "id_space": "",
        "seq": 3,
        "rows": 1000,
        "bytes": 100_000,
        "min_ts": START,
        "max_ts": START + HOUR,
        "updated_at": 1,
        "changed_in": 1,
        "last_id": None,
    }


def segment(number, place):
    return {
        "id": f"s{number}-{place}",
        "dataset_id": number,
        "seq": place,
        "rows": 100,
        "min_ts": 1,
        "max_ts": 2,
        "size": 1000,
        "digest": "x" * 64,
        "path": f"trades/{number}/{place}.parquet",
        "period": "2024-01",
        "added_in": 1,
        "removed_in": None,
        "observed_at": None,
        "packed": b"x" * 400,
        "data": None,
    }
