"""Results have a short line at a prompt and a table in notebooks."""

from dataclasses import is_dataclass

import polars as pl
import pytest

import ticklake
from ticklake.core.crosscheck import CrossCheck
from ticklake.core.dataset import Dataset
from ticklake.core.fetch_plan import FetchPlan
from ticklake.core.gaps import Gap, GapReason, GapReport
from ticklake.core.jobs import Job, JobState
from ticklake.core.quality import Quality
from ticklake.core.repair_plan import Left, Repaired
from ticklake.core.results import Cleaned, Cleanup, Deleted, History, Mended, Rebuilt, Receipt, Vacuumed
from ticklake.core.runs import Run, RunState
from ticklake.core.span import Span
from ticklake.core.time import HOUR, parse_time

START = parse_time("2024-01-01")
BARS = Dataset.parse("binance:ohlcv:1h:BTC/USDT")


def test_a_receipt_says_what_became_of_the_rows():
    receipt = Receipt(received=1_200, new=1_000, duplicate=198, quarantined=2, version=7, reasons={"no_ts": 2})
    told = "Receipt(received=1,200, new=1,000, duplicate=198, quarantined=2, reasons=2 no_ts, version=7)"
    assert repr(receipt) == told


def test_a_gap_has_readable_times():
    gap = Gap(Span(START, START + 2 * HOUR), 2, GapReason.NOT_FETCHED)
    told = "Gap(span=2024-01-01T00:00:00Z .. 2024-01-01T02:00:00Z, missing=2, reason=not_fetched)"
    assert repr(gap) == told


def test_a_run_and_a_job_say_how_they_stand():
    run = Run(3, "backfill", "binance", RunState.FAILED, START, START, finished_at=START + HOUR, outcome="it is down")
    assert "state=failed" in repr(run)
    assert "finished=2024-01-01T01:00:00Z" in repr(run)
    job = Job(1_234, "update", "all", None, {}, 0, JobState.QUEUED, 0, 3, START, START)
    assert repr(job).startswith("Job(id=1234, operation=update, subject=all, state=queued")


@pytest.mark.parametrize(
    "result",
    [
        Receipt(received=1),
        Quality(dataset=BARS),
        CrossCheck(BARS, "<b>them</b>", 5, pl.DataFrame({"ts": []})),
        Gap(Span(START, START + HOUR), None, GapReason.LOST, "<script>"),
    ],
)
def test_a_notebook_shows_a_table_in_which_nothing_from_outside_is_markup(result):
    html = result._repr_html_()
    assert html.startswith(f"<table><caption>{type(result).__name__}</caption>")
    assert "<script>" not in html
    assert "<b>" not in html
    assert len(repr(result)) < 300


def test_a_result_without_words_of_its_own_shows_its_fields():
    assert repr(Vacuumed(2, 0, 4_096)) == "Vacuumed(segments=2, bytes=4,096)"
    assert repr(Rebuilt(1, 2, 3, unreadable=("a", "b"))) == "Rebuilt(datasets=1, files=2, rows=3, unreadable=a, b)"
    assert repr(Cleanup(dry_run=True)) == "Cleanup(dry_run=yes)"


def test_results_made_of_results_stay_short():
    gap = Gap(Span(START, START + HOUR), 1, GapReason.LOST)
    assert repr(GapReport((gap, gap))) == "GapReport(gaps=2 lost)"
    repaired = Repaired(Mended(BARS, restored=1), closed=(gap,), left=(Left(gap, "nobody has it"),))
    assert repr(repaired) == "Repaired(dataset=binance:ohlcv:1h:BTC/USDT, restored=1, closed=1, left=1)"
    plan = FetchPlan(BARS, Span(START, START + HOUR), (Span(START, START + HOUR),), pages=1)
    assert "fetch=[2024-01-01T00:00:00Z .. 2024-01-01T01:00:00Z)" in repr(plan)
    cleaned = Cleaned(BARS, START, Deleted(rows=5), History())
    assert repr(cleaned) == "Cleaned(dataset=binance:ohlcv:1h:BTC/USDT, before=2024-01-01T00:00:00Z, rows=5)"


def test_every_public_result_is_a_frozen_value_of_the_core():
    for name, module in ticklake._PUBLIC.items():
        kind = getattr(ticklake, name)
        if is_dataclass(kind) and kind not in (ticklake.Progress, ticklake.Mapping):
            assert module.startswith("core."), name
            assert kind.__dataclass_params__.frozen, name
