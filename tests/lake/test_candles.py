"""Charts for notebooks: what is in them, and what is refused."""

import sys
from itertools import pairwise

import polars as pl
import pytest

import ticklake
from ticklake.core.display import GAP_COLOURS
from ticklake.core.gaps import GapReason
from ticklake.core.time import HOUR
from ticklake.errors import BadInput, MissingExtra, UnknownDataset
from ticklake.testing.rows import START, bars

NAME = "binance:ohlcv:1h:BTC/USDT"
BARS = ("binance", "BTC/USDT", "1h")


@pytest.fixture
def lake(tmp_path):
    with ticklake.open(tmp_path / "lake") as lake:
        # 600 bars, of which 10 were never fetched.
        lake.save(NAME, pl.concat([bars(0, 300, interval=HOUR), bars(310, 610, interval=HOUR)]))
        yield lake


def drawn(chart):
    """The data of a chart: bars, then holes if there are any."""
    datasets = sorted(chart.to_dict()["datasets"].values(), key=lambda rows: "reason" in rows[0])
    return (*datasets, [])[:2]


def test_a_chart_has_every_bar_in_utc_and_its_holes(lake):
    candles, holes = drawn(lake.candles(*BARS, start="2024-01-01", end="2024-02-01"))
    assert len(candles) == 600
    first = lake.load(NAME).row(0, named=True)
    assert {name: candles[0][name] for name in ("open", "high", "low", "close", "volume")} == {
        name: first[name] for name in ("open", "high", "low", "close", "volume")
    }
    assert (candles[0]["time"], candles[0]["left"]) == ("2024-01-01T00:00:00Z", START // 1_000_000)
    assert holes == [
        {
            "left": (START + 300 * HOUR) // 1_000_000,
            "right": (START + 310 * HOUR) // 1_000_000,
            "reason": "not_fetched",
            "from": "2024-01-13T12:00:00Z",
            "to": "2024-01-13T22:00:00Z",
            "missing": 10,
            "detail": "",
        }
    ]


def test_a_bar_ends_before_the_next_begins(lake):
    candles, _ = drawn(lake.candles(*BARS))
    for bar, following in pairwise(candles):
        assert bar["left"] < bar["middle"] < bar["right"] < following["left"]


def test_holes_have_the_colour_of_their_reason(lake):
    layers = lake.candles(*BARS).to_dict()["vconcat"][0]["layer"]
    scale = layers[0]["encoding"]["color"]["scale"]
    assert dict(zip(scale["domain"], scale["range"], strict=True)) == GAP_COLOURS
    assert layers[0]["encoding"]["color"]["legend"]["values"] == ["not_fetched"]


def test_every_reason_has_a_colour():
    assert list(GAP_COLOURS) == [str(reason) for reason in GapReason]
    assert len(set(GAP_COLOURS.values())) == len(GAP_COLOURS)


def test_without_a_time_the_newest_are_drawn(lake):
    candles, _ = drawn(lake.candles(*BARS))
    assert len(candles) == 500
    assert len(drawn(lake.candles(*BARS, last=5))[0]) == 5
    assert drawn(lake.candles(*BARS, last=5))[1] == []


def test_a_version_has_its_own_chart(lake):
    before = lake.at(lake.engine.catalog.version())
    lake.save(NAME, bars(300, 310, interval=HOUR))
    assert len(drawn(before.candles(*BARS, start="2024-01-01"))[0]) == 600
    assert len(drawn(lake.candles(*BARS, start="2024-01-01"))[0]) == 610


def test_a_notebook_can_show_it(lake):
    assert lake.candles(*BARS)._repr_mimebundle_()


def test_what_cannot_be_seen_is_refused(lake):
    lake.save("binance:ohlcv:1m:BTC/USDT", bars(0, 10_001))
    with pytest.raises(
        BadInput, match=r"^10,001 bars are more than the 10,000 that can be drawn: ask for a shorter time"
    ):
        lake.candles("binance", "BTC/USDT", "1m", "2024-01-01")
    with pytest.raises(BadInput, match="has no bars to draw there"):
        lake.candles(*BARS, "2025-01-01")
    with pytest.raises(UnknownDataset):
        lake.candles("binance", "ETH/USDT", "1h")


def test_without_altair_the_error_carries_the_cure(lake, monkeypatch):
    monkeypatch.setitem(sys.modules, "altair", None)
    with pytest.raises(MissingExtra, match=r"^charts in notebooks need Altair: pip install 'ticklake\[plot\]'$"):
        lake.candles(*BARS)
