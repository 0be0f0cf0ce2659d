"""A value that cannot be meant is refused in one clear line that names it, and nothing is changed."""

import re
from dataclasses import replace

import pytest
from engine_lakes import BARS, USER, lake_in

from ticklake import Mapping
from ticklake.app import memory_lake, open_lake
from ticklake.core.span import Span
from ticklake.core.symbol import Symbol
from ticklake.errors import BadInput, InvalidName, InvalidTime, TicklakeError
from ticklake.testing.rows import bars

HUGE, NAN = 10**30, float("nan")


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    """One lake for all of these: they must change nothing."""
    with lake_in(tmp_path_factory.mktemp("bad") / "lake") as lake:
        lake.engine.append(BARS, bars(0, 5), USER)
        lake.jobs.create("compact")
        yield lake


@pytest.mark.parametrize(
    ("verb", "value"),
    [
        ("load", {"dataset": BARS, "last": HUGE}),
        ("load", {"dataset": BARS, "columns": 5}),
        ("load", {"dataset": BARS, "columns": [None]}),
        ("cleanup", {"days_to_keep": True}),
        ("cleanup", {"days_to_keep": 1.5}),
        ("cleanup", {"days_to_keep": NAN}),
        ("cleanup", {"days_to_keep": "x"}),
        ("cleanup", {"days_to_keep": 5, "datasets": 5}),
        ("save_all", {"items": None}),
        ("save_all", {"items": [(BARS,)]}),
        ("save", {"dataset": BARS, "records_or_frame": bars(5, 6), "provenance": 5}),
        ("cross_check", {"dataset": BARS, "tolerance": NAN}),
        ("cross_check", {"dataset": BARS, "tolerance": True}),
        ("cross_check", {"dataset": BARS, "tolerance": "x"}),
        ("datasets", {"search": 5}),
        ("inventory", {"search": 5}),
        ("apply", {"wanted": 5}),
        ("import_files", {"paths": "x.csv", "mapping": 5}),
        ("schedules.add", {"name": 5, "operation": "compact", "every": "1h"}),
        ("schedules.add", {"name": "a", "operation": "compact", "every": 5}),
        ("schedules.add", {"name": "a", "operation": "compact", "cron": 5}),
        ("schedules.add", {"name": "a", "operation": "compact", "every": "1h", "zone": "X/Y"}),
        ("runs.tail", {"run_id": 99}),
        ("backfill", {"exchange": "binance", "symbols": None}),
        ("backfill", {"exchange": "binance", "symbols": [5]}),
        ("backfill", {"exchange": "binance", "symbols": "BTC/USDT", "kind": "book", "depth": "x"}),
        ("update", {"dataset": 5}),
        ("backup", {"folder": None}),
        ("backup", {"folder": ""}),
        ("repair", {"backup": 5}),
        ("import_files", {"paths": None}),
        ("import_files", {"paths": ""}),
        ("import_files", {"paths": [5]}),
        ("import_lake", {"path": 5}),
        ("export", {"path": 5, "layout": "hive"}),
        ("jobs.get", {"job_id": HUGE}),
        ("jobs.get", {"job_id": True}),
        ("jobs.cancel", {"job_id": HUGE}),
        ("jobs.start", {"job_id": None}),
        ("jobs.list", {"limit": -1}),
        ("jobs.list", {"limit": "x"}),
        ("jobs.create", {"operation": "compact", "priority": "x"}),
        ("jobs.create", {"operation": "compact", "max_attempts": -1}),
        ("jobs.create", {"operation": "backfill", "exchange": "binance", "symbols": 5}),
        ("jobs.cleanup_completed", {"max_age_hours": "x"}),
        ("jobs.cleanup_completed", {"max_age_hours": True}),
        ("runs.get", {"run_id": HUGE}),
        ("runs.list", {"limit": True}),
        ("runs.create", {"operation": ""}),
        ("runs.create", {"operation": "x", "subject": []}),
        ("runs.list", {"subject": 5}),
        ("runs.list", {"dataset": "nope"}),
        ("runs.list", {"job": -7}),
        ("runs.update_progress", {"run_id": 1, "done": "x"}),
        ("runs.update_progress", {"run_id": HUGE, "done": 0.5}),
        ("runs.append_log", {"run_id": 1, "message": 5}),
        ("runs.append_log", {"run_id": HUGE, "message": "x"}),
        ("runs.finish", {"run_id": 1, "progress": 5}),
        ("runs.finish", {"run_id": 1, "outcome": []}),
        ("jobs.list", {"search": 5}),
        ("jobs.list", {"operation": []}),
        ("jobs.list", {"operation": "nope"}),
        ("jobs.create", {"operation": ["x"]}),
        ("schedules.add", {"name": "a", "operation": "compact", "every": "1h", "priority": "x"}),
        ("cleanup", {"days_to_keep": 5, "kinds": 5}),
        ("quarantine", {"limit": -1}),
        (
            "save",
            {
                "dataset": BARS,
                "records_or_frame": [
                    {"ts": "2024-01-01", "open": 1, "high": 1, "low": 1, "close": 1, "volume": 10**400}
                ],
            },
        ),
        ("runs.create", {"operation": "x", "parameters": 5}),
    ],
)
def test_it_is_refused_in_one_line_and_nothing_is_changed(held, verb, value):
    part, _, name = verb.rpartition(".")
    version = held.engine.catalog.version()
    with pytest.raises(BadInput) as caught:
        getattr(getattr(held, part) if part else held, name)(**value)
    assert "\n" not in str(caught.value)
    assert held.engine.catalog.version() == version
    assert held.load(BARS).height == 5
    assert [job.status for job in held.jobs.list()] == ["queued"]


def test_refused_rows_are_returned_up_to_a_limit(tmp_path):
    with lake_in(tmp_path / "lake") as lake:
        for dataset in (BARS, replace(BARS, symbol=Symbol("ETH/USDT"))):
            lake.engine.append(dataset, bars(0, 5).with_columns(high=-1.0), USER)
        assert len(lake.quarantine()) == 10
        assert lake.quarantine(limit=7) == lake.quarantine()[:7]
        assert lake.quarantine(BARS, limit=2) == lake.quarantine(BARS)[:2]
        assert lake.quarantine(limit=0) == lake.quarantine(BARS, limit=0) == []


def test_a_backup_does_not_go_into_the_lake(held):
    with pytest.raises(BadInput, match="lies inside the lake"):
        held.backup(held.root / "copies" / "today")
    assert not (held.root / "copies").exists()


@pytest.mark.parametrize("path", [5, True, ["a"], ""])
def test_a_lake_is_opened_by_a_path(path):
    with pytest.raises(BadInput, match="is no path"):
        open_lake(path)


@pytest.mark.parametrize("settings", [5, 0, {"min_free": 1}, "x"])
def test_settings_are_settings(tmp_path, settings):
    for opening in (lambda: open_lake(tmp_path / "lake", settings=settings), lambda: memory_lake(settings)):
        with pytest.raises(BadInput, match="settings="):
            opening()
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize("bounds", [("a", "b"), (None, None), (1.5, 2.5), (1, "2")])
def test_a_span_is_of_nanoseconds(bounds):
    with pytest.raises(InvalidTime, match="nanoseconds"):
        Span(*bounds)


def test_a_pattern_is_a_text():
    with pytest.raises(InvalidName, match="5 is no pattern"):
        BARS.matches(5)


@pytest.mark.parametrize(
    "wrong",
    [{"columns": 5}, {"sides": 5}, {"constants": []}, {"zone": 5}, {"skip": "x"}, {"since": "x"}, {"price_scale": "1"}],
)
def test_a_mapping_says_what_can_be_meant(wrong):
    with pytest.raises(TicklakeError, match=re.escape(repr(*wrong.values()))):
        Mapping(**wrong)


@pytest.mark.parametrize("wrong", [{"timeframe": "1x"}, {"kind": "candles", "timeframe": "1h"}])
def test_a_job_of_what_cannot_be_is_refused_when_it_is_created(held, wrong):
    with pytest.raises(TicklakeError, match=r"1x|candles"):
        held.jobs.create("backfill", "binance", ["BTC/*"], **wrong)
