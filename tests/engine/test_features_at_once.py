"""Feature sets while several processes work on them. Each has a lake object of its own, as processes have."""

from __future__ import annotations

import threading

import polars as pl
import pytest

from ticklake.app import open_lake
from ticklake.config import Settings
from ticklake.core.time import MINUTE, parse_time
from ticklake.errors import FeaturesDiffer

T = parse_time("2024-01-31")


@pytest.fixture
def lakes(tmp_path):
    """Four lake objects on one folder."""
    opened = [open_lake(tmp_path / "lake", settings=Settings()) for _ in range(4)]
    yield opened
    for lake in opened:
        lake.close()


def at_once(lakes, work):
    """Call *work* for each lake at the same time; return what it returned or raised."""
    barrier, results = threading.Barrier(len(lakes)), [None] * len(lakes)

    def run(place):
        barrier.wait()
        try:
            results[place] = work(place, lakes[place])
        except Exception as error:
            results[place] = error

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(lakes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_of_two_definitions_at_once_one_is_registered_and_the_other_refused(lakes):
    def register(place, lake):
        return lake.features.register("m", 1, {"x": "float64"} if place % 2 else {"y": "int64"}).names

    results = at_once(lakes, register)
    (names,) = lakes[0].features.list()["columns"].to_list()
    assert results.count(names) == 2
    assert sum(isinstance(result, FeaturesDiffer) for result in results) == 2


def test_rows_that_all_write_at_once_are_all_there(lakes):
    lakes[0].features.register("m", 1, {"x": "float64"})

    def write(place, lake):
        for number in range(5):
            lake.features.write("m", 1, [{"symbol": "A", "ts": T + (5 * place + number) * MINUTE, "x": float(place)}])

    assert at_once(lakes, write) == [None] * 4
    assert lakes[1].features.read("m@v1").height == 20


def test_the_same_instants_computed_at_once_are_stored_once(lakes):
    lakes[0].features.register("m", 1, {"x": "float64"})

    def materialise(_place, lake):
        return lake.features.materialise(
            "m@v1",
            None,
            float,
            "x",
            "A",
            every="1m",
            start=T,
            end=T + 40 * MINUTE,
            batch=7,
            make_frame=lambda _exchange, _symbol, instant: instant % 1000,
        )

    results = at_once(lakes, materialise)
    assert sum(result.new for result in results) == 40
    assert sum(result.changed for result in results) == 0
    assert lakes[0].features.read("m@v1")["ts"].n_unique() == 40


def test_readers_see_whole_batches_while_they_are_written(lakes):
    lakes[0].features.register("m", 1, {"x": "float64"})
    writer, reader, compactor, joiner = lakes
    done = threading.Event()
    symbols = ["A", "B", "C"]

    def work(place, lake):
        if lake is writer:
            for number in range(12):
                batch = pl.DataFrame({"symbol": symbols, "ts": [T + number * MINUTE] * 3, "x": [float(number)] * 3})
                lake.features.write("m", 1, batch)
            return done.set()
        while not done.is_set():
            if lake is reader:
                rows = lake.features.read("m@v1")
                assert rows.height % 3 == 0
            elif lake is compactor:
                lake.compact()
            else:
                left = pl.DataFrame({"symbol": symbols, "ts": [T + 60 * MINUTE] * 3})
                assert lake.features.join(left, "m@v1")["x"].n_unique() == 1
        return None

    assert at_once([writer, reader, compactor, joiner], work) == [None] * 4
