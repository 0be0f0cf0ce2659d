"""A figure of quality is declared once: what stores, adds up, writes and shows it takes it from there."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

import ticklake
from ticklake.catalog import quality as stored
from ticklake.catalog import schema
from ticklake.core import quality
from ticklake.core.kinds import KINDS
from ticklake.core.metrics import Metric
from ticklake.core.quality import COUNTED, METRICS, DayQuality, Figures, total, trend_of
from ticklake.core.row_checks import measure
from ticklake.core.time import HOUR, parse_time
from ticklake.interfaces.cli.main import app
from ticklake.interfaces.report.quality import quality_page
from ticklake.interfaces.schema import to_json

BEGIN = parse_time("2024-01-01")
DATASET = ticklake.Dataset.parse("binance:ohlcv:1h:BTC/USDT")
HOW_TO = Path(__file__).parents[2] / "docs/how-to/quality.md"


def _busy_share(figures: Figures) -> float | None:
    return 1 - figures.zero_volumes / figures.present_records if figures.present_records else None


@pytest.fixture
def busy(monkeypatch):
    """One metric more, added in one place."""
    metric = Metric("busy_ratio", "busy", pl.Float64, lambda share: f"{share:.0%} busy", _busy_share)
    monkeypatch.setattr(quality, "METRICS", (*METRICS, metric))
    return metric


def test_a_metric_that_is_added_is_seen_everywhere(busy, tmp_path):
    rows = pl.DataFrame(
        {"ts": [BEGIN, BEGIN + HOUR], "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.0, "volume": [0.0, 5.0]}
    )
    with ticklake.open(tmp_path / "lake") as lake:
        lake.save(DATASET, rows.with_columns(pl.col("ts").cast(pl.Datetime("ns", "UTC"))))
        found = lake.quality(DATASET)
        assert lake.quality_trend(DATASET)["busy_ratio"].to_list() == [0.5]
    assert to_json(found)["busy_ratio"] == 0.5
    assert to_json(found.days[0])["busy_ratio"] == 0.5
    page = quality_page([found], "lake", 0, "ticklake")
    assert '<th class="n">busy</th>' in page
    assert ">50% busy</td>" in page
    for daily in ([], ["--daily"]):
        table = CliRunner().invoke(app, ["quality", "--lake", str(tmp_path / "lake"), *daily]).stdout
        assert "busy" in table.splitlines()[0]
        assert "50% busy" in table.splitlines()[1]


def test_what_is_counted_in_rows_is_measured_stored_and_added_up():
    names = {metric.name for metric in COUNTED}
    empty = KINDS["ohlcv"].empty()
    assert set(measure(empty, KINDS["ohlcv"]).columns) == {"day", *names}
    days = [DayQuality(day=0, **dict.fromkeys(names, 2)), DayQuality(day=1, **dict.fromkeys(names, 3))]
    sums = total(days)
    assert {name: getattr(sums, name) for name in names} == dict.fromkeys(names, 5)
    assert {metric.name for metric in METRICS} | {"day"} == set(trend_of(days).columns)


def test_the_catalog_has_a_column_for_what_is_stored_and_for_nothing_else():
    columns = set(schema.quality_days.c.keys()) - {
        "dataset_id",
        "day",
        "version",
        "basis",
        "gaps",
        "quarantined",
        "row_check",
    }
    assert columns == {*stored._MEASURED, *stored._DERIVED}


def test_every_metric_stands_in_the_how_to():
    text = HOW_TO.read_text()
    assert [metric.name for metric in METRICS if f"`{metric.name}`" not in text] == []
