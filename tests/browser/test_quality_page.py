"""The quality report in a real browser: it stands alone, shows what is missing, and fits."""

from __future__ import annotations

import pytest

from ticklake.core.dataset import Dataset
from ticklake.core.quality import DayQuality, Holes, Quality, total
from ticklake.core.span import Span
from ticklake.core.time import DAY, parse_time
from ticklake.interfaces.report.quality import quality_page

T = parse_time("2024-01-01")
NASTY = '<script>document.title="owned"</script>/USD'


def day(number, **figures):
    return DayQuality(day=T + number * DAY, on_grid=True, open_time=DAY, **figures)


def quality(text, days):
    sums = vars(total(days))
    return Quality(dataset=Dataset.parse(text), span=Span(T, T + len(days) * DAY), days=tuple(days), **sums)


WHOLE = quality(f"x:ohlcv:1h:{NASTY}", [day(n, present_records=24) for n in range(30)])
HOLED = quality(
    "binance:ohlcv:1h:BTC/USDT",
    [
        *[day(n, present_records=24) for n in range(10)],
        *[day(n, gaps={"lost": Holes(int(n == 10), 24, DAY)}) for n in range(10, 15)],
        *[day(n, present_records=24, quarantined={"off_grid": 2}) for n in range(15, 20)],
    ],
)


@pytest.fixture
def page(chromium, tmp_path):
    """The page of two datasets, and everything it asked for or complained of."""
    path = tmp_path / "quality.html"
    path.write_text(quality_page([HOLED, WHOLE], "our <lake>", T, "ticklake 1"), encoding="utf-8")
    view = chromium.new_page(viewport={"width": 1180, "height": 900})
    view.asked, view.said = [], []
    view.on("request", lambda request: view.asked.append(request.url))
    view.on("console", lambda message: view.said.append(message.text))
    view.goto(path.as_uri())
    yield view
    view.close()


def test_it_stands_alone_and_runs_nothing(page):
    assert [url for url in page.asked if not url.endswith("quality.html")] == []
    assert page.said == []
    assert page.title() == "Data quality of our <lake>, 2024-01-01"
    assert page.locator("script").count() == 0


def test_names_are_shown_as_they_are(page):
    assert page.locator("h1").inner_text() == "Data quality of our <lake>"
    assert NASTY in page.locator("tbody").first.inner_text()


def test_the_strip_shows_where_something_is_missing(page):
    strip = page.locator("#d1 svg.strip")
    boxes = {shade: strip.locator(f"rect.{shade}").first.bounding_box() for shade in ("whole", "none")}
    width = strip.bounding_box()["width"]
    assert boxes["whole"]["width"] == pytest.approx(width / 2, abs=1)
    assert boxes["none"]["width"] == pytest.approx(width / 4, abs=1)
    assert "2024-01-11 to 2024-01-15" in strip.locator("rect.none title").text_content()
    assert "120 records missing" in strip.locator("rect.none title").text_content()


def test_bars_are_as_long_as_scores(page):
    fills, rails = page.locator(".bar .fill"), page.locator(".bar .rail")
    shares = [fills.nth(n).bounding_box()["width"] / rails.nth(n).bounding_box()["width"] for n in range(2)]
    assert shares == [pytest.approx(0.75, abs=0.01), pytest.approx(1, abs=0.01)]


def test_a_row_leads_to_its_days(page):
    page.locator("tbody a").first.click()
    assert page.evaluate("document.querySelector(':target').id") == "d1"


@pytest.mark.parametrize("width", [1180, 800, 380])
def test_nothing_sticks_out_of_the_window(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_at_full_width_no_table_is_cut(page):
    cut = "[...document.querySelectorAll('.wide')].filter(box => box.scrollWidth > box.clientWidth).length"
    assert page.evaluate(cut) == 0


def test_it_has_a_dark_face(page):
    colour = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(colour) != light
