"""The quality report as text: what stands in it, and what never does."""

from __future__ import annotations

import re

from ticklake.core.dataset import Dataset
from ticklake.core.gaps import GapReason
from ticklake.core.quality import DayQuality, Holes, Quality
from ticklake.core.time import DAY, parse_time
from ticklake.interfaces.report.quality import MEANINGS, quality_page
from ticklake.interfaces.report.strips import CELLS, shade, strip_of

from .test_cli import BARS, ingested, shell
from .test_cli import DAY as ONE_DAY

__all__ = ["shell"]

T = parse_time("2024-01-01")


def day(number, present=24, lost=0):
    gaps = {"lost": Holes(1, lost, lost * DAY // 24)} if lost else {}
    return DayQuality(day=T + number * DAY, on_grid=True, open_time=DAY, present_records=present, gaps=gaps)


def page(*found):
    return quality_page(found, "lake", T, "ticklake 1")


class TestStrips:
    def test_days_that_look_alike_are_one_cell(self):
        strip = strip_of([day(0), day(1), day(2, 0, 24), day(3, 23, 1)])
        assert [(cell.start, cell.width, cell.shade) for cell in strip.cells] == [
            (0, 2, "whole"),
            (2, 1, "none"),
            (3, 1, "most"),
        ]
        assert strip.cells[0].title == "2024-01-01 to 2024-01-02: complete"
        assert strip.cells[2].title == "2024-01-04: 95.83 %, 1 records missing"

    def test_a_long_history_has_several_days_in_a_cell_and_hides_no_hole(self):
        strip = strip_of([day(n, 0 if n == 2000 else 24, 24 if n == 2000 else 0) for n in range(4000)])
        assert strip.width <= CELLS
        assert [cell.shade for cell in strip.cells] == ["whole", "most", "whole"]
        assert sum(cell.width for cell in strip.cells) == strip.width

    def test_only_what_is_whole_looks_whole(self):
        assert shade(1.0, rows=1) == "whole"
        assert shade(0.999999, rows=1) == "nearly"
        assert shade(0.0, rows=0) == "none"
        assert shade(None, rows=5) == "unknown"
        assert shade(None, rows=0) == "nothing"

    def test_no_days_are_no_cells(self):
        assert strip_of([]).cells == ()


class TestPage:
    def test_every_reason_for_gaps_is_explained(self):
        assert set(MEANINGS) == set(GapReason)

    def test_nothing_is_loaded_from_elsewhere(self):
        text = page(Quality(dataset=Dataset.parse("x:ohlcv:1h:A/B"), days=(day(0),)))
        assert not re.search(r"<script|<link|<img|<iframe|@import|url\(|src=|https?://", text)

    def test_names_are_escaped(self):
        text = page(Quality(dataset=Dataset.parse('x:trades:<img src="x">/USD')))
        assert "<img" not in text
        assert "&lt;img src=&#34;x&#34;&gt;/USD" in text

    def test_an_empty_lake_is_a_page_too(self):
        assert "The lake holds no such dataset." in page()

    def test_only_a_full_score_is_shown_as_a_hundred(self):
        nearly = Quality(
            dataset=Dataset.parse("x:ohlcv:1m:A/B"),
            on_grid=True,
            present_records=10**6,
            gaps={"lost": Holes(1, 100, 1)},
        )
        assert ">99.9<" in page(nearly)
        assert ">100.0<" not in page(nearly)


class TestShell:
    def test_the_page_is_written_beside_the_table(self, shell, tmp_path):
        ingested(shell)
        result = shell("quality", "--html", "report.html")
        text = (tmp_path / "report.html").read_text()
        assert result.exit_code == 0
        assert "BTC/USDT" in result.stdout
        assert "Nothing is missing in the dataset." in text
        assert not (tmp_path / "report.html.part").exists()

    def test_a_place_that_is_not_there_is_a_failure_that_says_so(self, shell):
        ingested(shell, *BARS, *ONE_DAY)
        result = shell("quality", "--html", "no/such/folder/report.html")
        assert result.exit_code == 1
        assert "could not be written" in result.stderr
