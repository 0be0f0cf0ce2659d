"""What leaves the program as JSON comes back as the same result."""

from __future__ import annotations

import json
from dataclasses import is_dataclass, replace

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ticklake
from ticklake.app import memory_lake
from ticklake.core.alerts import Alert, AlertRule, Message
from ticklake.core.coverage import Coverage, Covered, Found
from ticklake.core.crosscheck import CrossCheck
from ticklake.core.dataset import Dataset
from ticklake.core.feature_values import FeatureDescription
from ticklake.core.features import FeatureSet
from ticklake.core.fetch_plan import FetchPlan
from ticklake.core.file_reports import FileReport, FileState, Report
from ticklake.core.gaps import Gap, GapReason, GapReport
from ticklake.core.instrument import Instrument, Rename, Sighting
from ticklake.core.jobs import Job, JobState
from ticklake.core.provenance import Provenance
from ticklake.core.quality import DayQuality, Holes, Quality
from ticklake.core.repair_plan import Left
from ticklake.core.requests import BackfillRequest
from ticklake.core.results import (
    Backup,
    Cleaned,
    Cleanup,
    Compaction,
    DatasetChange,
    Deleted,
    History,
    Problem,
    Receipt,
    Vacuumed,
)
from ticklake.core.rules import DerivedRule, Refreshed
from ticklake.core.runs import LogLine, Run, RunState
from ticklake.core.schedules import Rhythm, Schedule
from ticklake.core.segment import Block, Segment, pack_blocks
from ticklake.core.span import ALL_TIME, Span
from ticklake.core.statistics import GroupStats, LakeStats
from ticklake.core.streams import StreamStatus
from ticklake.core.time import HOUR, parse_time
from ticklake.errors import BadResponse
from ticklake.interfaces.decoding import from_json, rows_from_json
from ticklake.interfaces.schema import days_to_json, row_to_json, to_json

START = parse_time("2024-01-01")
SPAN = Span(START, START + HOUR + 1)
BARS = Dataset.parse("binance:ohlcv:1h:BTC/USDT")
GAP = Gap(SPAN, None, GapReason.LOST, "half a page")
SEGMENT = Segment("abc", 3, 9, START, START + 5, 100, "d1", "ohlcv/x.parquet", packed=pack_blocks([Block(0, 9, 1, 9, START, START + 5)]), observed_at=START)  # fmt: skip
DAY = DayQuality(day=START, on_grid=True, present_records=23, gaps={"lost": Holes(1, 1, HOUR + 1)}, open_time=HOUR + 7)
GROUP = GroupStats("binance", "ohlcv", 1, 2, 3, 4, 5, 6, 7, 8, 9, START, None, 64)
FILE = FileReport(
    "a.csv", FileState.REFUSED, first="2024", problems=("odd",), mapping={"ts": "Date"}, channels=({"a": 1},)
)
RESULTS = [
    FILE, Report("hive", "/x", (FILE,)),
    GAP, GapReport((GAP,), ("a note",)), Left(GAP, "why"), Coverage((Covered(ALL_TIME, Found.LOST, "x"), Covered(SPAN))), Provenance("ccxt", note="x"),
    Run(7, "backfill", "binance", RunState.INCOMPLETE, START, START + 3, done=1 / 3, process="p", job_id=4, progress={"new": 3}),
    Job(3, "backfill", "x", str(BARS), {"a": [1]}, 0, JobState.RUNNING, 1, 5, START, START, started_at=START, expires_at=START + 9, fence=2, done=1 / 7),
    LogLine(START, "info", "x"), Receipt(5, 1, 1, 1, 2, version=4, reasons={"crossed": 2}), Problem("a", "b", "c"), Backup("f", 1, 2, 3),
    Schedule("x", "update", Rhythm("5 * * * *", zone="Europe/Berlin"), created_at=START, next_at=START), Schedule("y", "update", Rhythm(every=90 * 10**9)),
    FetchPlan(BARS, SPAN, (SPAN,), (Covered(SPAN),), SPAN, 3, 0.1, 7, "n", HOUR, START, ("a", "b")), Compaction("a", 3, 1, 9, 30, 10), Vacuumed(1, 2, 3),
    DatasetChange(7, START, "append", BARS, (SEGMENT,), (replace(SEGMENT, path=None),)), LakeStats((GROUP, replace(GROUP, width=None)), 5, 6), SPAN,
    StreamStatus("a", "live", 1.5, START, None, 0.25, 3, details={"x": 1}), DerivedRule("a", ("b",), "1h", "ohlcv", "h", 3, START, ("c",)),
    Refreshed("a", 3, ("b",)), Rename("binance", "A/B", "C/B", START), Sighting(3, (Instrument("binance", "A/B", listed_at=START, tick_size=0.1),)),
    Alert(AlertRule.GAPS, "x", "y", START, None, False), Message(False, AlertRule.DISK, "/", "full", START), BackfillRequest.of("binance", "A/B", "1h", start=START),
    Cleanup((Cleaned(BARS, START, Deleted(1, 2, 3, 4), History(5, 6)),), 3, True), FeatureSet.of("momentum", "v1", ["a", "b"], tags="x", code=memory_lake),
]  # fmt: skip


def there_and_back(kind, value):
    return from_json(kind, json.loads(json.dumps(to_json(value), allow_nan=False)))


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
def test_a_result_comes_back_as_it_was(result):
    assert there_and_back(type(result), result) == result


def test_reasons_of_a_receipt_come_back_too():
    # They are no part of what makes two receipts equal.
    assert there_and_back(Receipt, Receipt(reasons={"crossed": 2})).reasons == {"crossed": 2}


def test_the_quality_of_a_dataset_comes_back_with_its_days():
    quality = Quality(
        dataset=BARS, span=SPAN, days=(DAY,), last=START, freshness=HOUR + 1, quarantined={"x": 2}, open_time=5
    )
    form = {**to_json(quality), "days": days_to_json(quality)}
    assert from_json(Quality, form) == quality
    assert from_json(Quality, to_json(Quality(dataset=BARS))) == Quality(dataset=BARS)


def test_frames_inside_of_results_come_back_with_their_types():
    differences = pl.DataFrame(
        {"ts": [START], "column": ["close"], "ours": [1.5], "theirs": [None], "difference": [0.1]}
    )
    for rows in (differences, differences.clear()):
        check = CrossCheck(
            BARS,
            "them",
            3,
            rows.with_columns(pl.col("ts").cast(pl.Datetime("ns", "UTC")), pl.col("theirs").cast(pl.Float64)),
        )
        assert there_and_back(CrossCheck, check).differences.equals(check.differences)
    with memory_lake() as lake:
        lake.features.register("momentum", "v1", ["a", "b"])
        lake.features.write(
            "momentum",
            "v1",
            pl.DataFrame(
                {
                    "exchange": ["binance"],
                    "symbol": ["A/B"],
                    "ts": [START],
                    "known_at": [START],
                    "a": [1.5],
                    "b": [None],
                }
            ).with_columns(pl.col("ts", "known_at").cast(pl.Datetime("ns", "UTC")), pl.col("b").cast(pl.Float64)),
        )
        told = lake.features.describe("momentum", "v1")
    back = there_and_back(FeatureDescription, told)
    assert back.days.equals(told.days)
    assert back.days.schema == told.days.schema
    assert (back.features, back.datasets, back.first) == (told.features, told.datasets, told.first)


def test_rows_have_nanoseconds_again():
    rows = [{"ts": START, "reason": "x", "row": '{"ts": 3}', "created_at": START + 1, "commit_id": 7, "first": None}]
    assert rows_from_json([row_to_json(row) for row in rows]) == rows


TIMES = st.integers(-(2**62), 2**62)


@given(st.lists(st.tuples(TIMES, TIMES).filter(lambda pair: pair[0] != pair[1]).map(lambda pair: Span(min(pair), max(pair))), max_size=3), st.sampled_from(GapReason), st.integers() | st.none(), st.text())  # fmt: skip
def test_any_gaps_come_back(spans, reason, missing, detail):
    gaps = [Gap(span, missing, reason, detail) for span in spans]
    assert there_and_back(list[Gap], gaps) == gaps
    assert there_and_back(list[Span], spans) == spans


@pytest.mark.parametrize(
    "value", [None, [], "x", {"missing": 1}, {"start": "2024-01-02", "end": "2024-01-01"}, {"start": "x", "end": "y"}]
)
def test_what_is_no_result_is_an_error_of_the_server(value):
    with pytest.raises(BadResponse, match="Gap"):
        from_json(Gap, value)


NOT_SENT = {
    "Backup", "Change", "CrossCheck", "FeatureDescription", "FeatureDiff", "Materialised", "Mended", "Quality", "Rebuilt", "Repaired",
    # Parts of others, arguments, and rows.
    "Bars", "BookLevel", "BookSnapshot", "Cleaned", "Covered", "Dataset", "DayQuality", "Deleted", "FeatureColumn", "FundingRate", "GroupStats", "Instrument", "Mapping",
    "MigratedFile", "MissingPart", "OHLCVBar", "OpenInterest", "Progress", "Quote", "Segment", "StreamRequest", "Symbol", "Timeframe", "Trade", "Estimate", "SqlResult", "SqlLimits",
}  # fmt: skip
"""Public values that come back in tests of their own, inside of others, or not at all: what made them is not served."""


def test_every_public_result_comes_back_or_is_listed():
    public = {getattr(ticklake, name) for name in ticklake.__all__}
    results = {kind.__name__ for kind in public if isinstance(kind, type) and is_dataclass(kind)}
    assert results - {type(result).__name__ for result in RESULTS} <= NOT_SENT
