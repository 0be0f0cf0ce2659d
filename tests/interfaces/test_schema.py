"""Every result leaves the program in one form of JSON."""

from __future__ import annotations

import json
from dataclasses import is_dataclass

import polars as pl
import pytest

import ticklake
from ticklake import (
    Alert,
    AlertRule,
    BackfillRequest,
    Change,
    Cleaned,
    Cleanup,
    Compaction,
    Coverage,
    Covered,
    CrossCheck,
    Dataset,
    DayQuality,
    Deleted,
    FetchPlan,
    FileReport,
    FileState,
    Found,
    Gap,
    GapReason,
    GapReport,
    Job,
    JobState,
    Left,
    LogLine,
    Mended,
    Message,
    Quality,
    Receipt,
    Rename,
    Repaired,
    Report,
    Run,
    RunState,
    Schedule,
    Span,
    Trade,
)
from ticklake.core.quality import Holes
from ticklake.core.results import History
from ticklake.core.schedules import Rhythm
from ticklake.core.time import DAY, HOUR, parse_time
from ticklake.interfaces.schema import frame_text, job_to_json, row_to_json, to_json

START = parse_time("2024-01-01")
HOUR_SPAN = Span(START, START + HOUR)
BARS = Dataset.parse("binance:ohlcv:1h:BTC/USDT")
BOUNDS = {"start": "2024-01-01T00:00:00Z", "end": "2024-01-01T01:00:00Z"}
GAP = Gap(HOUR_SPAN, 1, GapReason.LOST, "half a page")
RUN = Run(7, "backfill", "binance", RunState.INCOMPLETE, START, START, finished_at=START + HOUR, done=0.5)
JOB = Job(3, "backfill", "x", str(BARS), {}, 0, JobState.RUNNING, 1, 5, START, START, started_at=START, done=0.25)
DIFFERENCES = pl.DataFrame(
    {"ts": [START], "ours": [float("nan")]}, schema={"ts": pl.Datetime("ns", "UTC"), "ours": pl.Float64}
)


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (None, None),
        (True, True),
        (float("inf"), None),
        (GapReason.LOST, "lost"),
        (BARS, "binance:ohlcv:1h:BTC/USDT"),
        (BARS.timeframe, "1h"),
        (HOUR_SPAN, BOUNDS),
        ({Found.LOST: (1.5, float("nan"))}, {"lost": [1.5, None]}),
        (Receipt(received=2, new=2, version=4), {"received": 2, "new": 2, "changed": 0, "duplicate": 0, "quarantined": 0, "version": 4, "reasons": {}}),
        (GAP, {**BOUNDS, "missing": 1, "reason": "lost", "detail": "half a page"}),
        (Left(GAP, "nobody has it"), {**BOUNDS, "missing": 1, "reason": "lost", "detail": "half a page", "why": "nobody has it"}),
        (Coverage((Covered(HOUR_SPAN),)), [{**BOUNDS, "found": "data", "reason": ""}]),
        (Compaction("a", 3, 1, 9, 30, 10), {"dataset": "a", "segments_before": 3, "segments_after": 1, "rows": 9, "bytes_before": 30, "bytes_after": 10}),
        (Message(False, AlertRule.DISK, "/", "full", START), {"is_recovery": False, "rule": "disk", "subject": "/", "text": "full", "since": BOUNDS["start"]}),
        (Rename("binance", "A/B", "C/B", START), {"exchange": "binance", "old": "A/B", "new": "C/B", "at": BOUNDS["start"]}),
        (LogLine(START, "info", "done"), [BOUNDS["start"], "info", "done"]),
    ],
)  # fmt: skip
def test_a_value_has_the_form(value, form):
    assert to_json(value) == form


def test_a_run_has_all_that_is_known_of_it():
    assert to_json(RUN) == {
        "id": 7, "job": None, "state": "incomplete", "operation": "backfill", "subject": "binance", "started": BOUNDS["start"],
        "finished": BOUNDS["end"], "heartbeat": BOUNDS["start"], "done": 0.5, "outcome": "", "process": "", "parameters": {}, "progress": {},
    }  # fmt: skip


def test_how_long_a_job_still_takes_is_told_where_the_time_is():
    assert to_json(JOB)["seconds_left"] is None
    assert job_to_json(JOB, START + HOUR)["seconds_left"] == 3 * 3600


def test_a_file_of_any_importer_has_one_form():
    file = FileReport("a.csv", FileState.REFUSED, problems=("odd", "no times"))
    form = to_json(file)
    assert form == to_json(Report("hive", "/x", (file,)))["files"][0]
    assert (form["state"], form["refused"], form["note"], form["problems"]) == ("refused", True, "odd; no times", ["odd", "no times"])  # fmt: skip


def test_the_quality_of_a_dataset_and_of_its_days():
    day = DayQuality(day=START, on_grid=True, present_records=23, gaps={"lost": Holes(1, 1, HOUR)})
    form = to_json(Quality(dataset=BARS, span=HOUR_SPAN, days=(day,), freshness=DAY))
    assert (form["start"], form["freshness_seconds"], form["bars_behind"]) == (BOUNDS["start"], 86_400.0, None)
    assert to_json(day)["day"] == "2024-01-01"
    assert to_json(day)["gaps"] == {"lost": {"count": 1, "records": 1, "seconds": 3600.0, "nanoseconds": HOUR}}


def test_times_of_rows_are_those_of_everything_else():
    times = [START, START + 500_000_000, START + 123_456_789, START + 120_000_000, None]
    frame = pl.DataFrame({"ts": times}).with_columns(pl.col("ts").cast(pl.Datetime("ns", "UTC")))
    written = frame_text(frame)["ts"].to_list()
    assert written == [row_to_json({"ts": ts})["ts"] for ts in times]
    assert to_json(DIFFERENCES) == [{"ts": BOUNDS["start"], "ours": None}]


RESULTS = [
    RUN, JOB, GAP, LogLine(START, "info", "x"), GapReport((GAP,), ("a note",)), FetchPlan(BARS, HOUR_SPAN, (HOUR_SPAN,), unavailable=HOUR_SPAN),
    Repaired(Mended(BARS, lost=(HOUR_SPAN,)), RUN, closed=(GAP,), left=(Left(GAP, "x"),)),
    Cleanup((Cleaned(BARS, START, Deleted(1, 2, 3, 4), History(5, 6)),)), Schedule("x", "update", Rhythm("5 * * * *"), next_at=START),
    Change("add", "x", "y", {"a": "b"}), Alert(AlertRule.GAPS, "x", "y", START, None, False), Quality(dataset=BARS),
    CrossCheck(BARS, "them", 3, DIFFERENCES), Trade(START, 1.0, float("nan")), BackfillRequest.of("binance", "BTC/USDT", "1h", start=START),
]  # fmt: skip


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
def test_every_result_is_strict_json(result):
    assert json.loads(json.dumps(to_json(result), allow_nan=False)) == to_json(result)


def test_no_public_result_is_written_as_text():
    kinds = [getattr(ticklake, name) for name in ticklake.__all__]
    results = [kind for kind in kinds if isinstance(kind, type) and is_dataclass(kind)]
    text = to_json.dispatch(Dataset)
    as_text = {kind.__name__ for kind in results if to_json.dispatch(kind) is text}
    assert as_text == {"Dataset", "Symbol", "Timeframe"}


def test_requests_come_back():
    request = BackfillRequest.of("binance", ["BTC/USDT"], "1h", start="2024-01-01", end="2024-02-01", retry=True)
    assert BackfillRequest.from_json(json.loads(json.dumps(to_json(request)))) == request


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ({"exchange": "binance", "symbol": "BTC/USDT"}, "symbol"),
        ({"symbols": ["BTC/USDT"]}, "exchange"),
        ({"exchange": "binance", "retry": "no"}, "retry"),
        ({"exchange": "binance", "last_days": "x"}, "last_days"),
        ({"exchange": "binance", "symbols": 5}, "symbols"),
        ([], "object"),
    ],
)
def test_what_is_no_request_is_refused_by_name(written, says):
    with pytest.raises(ticklake.TicklakeError, match=says):
        BackfillRequest.from_json(written)
