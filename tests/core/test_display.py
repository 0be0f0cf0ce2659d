"""Results have a short line at a prompt and a table in notebooks."""

import polars as pl
import pytest

from ticklake.catalog.runs import Run, RunState
from ticklake.core.crosscheck import CrossCheck
from ticklake.core.dataset import Dataset
from ticklake.core.gaps import Gap, GapReason
from ticklake.core.jobs import Job, JobState
from ticklake.core.quality import Quality
from ticklake.core.results import Receipt
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
