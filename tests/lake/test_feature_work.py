"""What is there already is what the same function made of the same frames: values made in different ways are not mixed."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from ticklake.app import memory_lake
from ticklake.config import Settings
from ticklake.core.time import MINUTE, parse_time
from ticklake.errors import BadInput, FeaturesDiffer

T = parse_time("2024-01-31")
NAME = "count@v1"


def count(frame):
    return frame.bars["1m"].height or None


def other(frame):
    return -(frame.bars["1m"].height or 1)


@pytest.fixture
def lake():
    with memory_lake(Settings()) as made:
        prices = dict.fromkeys(("open", "high", "low", "close", "volume"), 1.0)
        times = [T + minute * MINUTE for minute in range(30)]
        made.save("x:ohlcv:1m:A", pl.DataFrame({"ts": times}).with_columns(**prices))
        made.features.register("count", 1, "n")
        yield made


def materialise(lake, function=count, **options):
    words = {"every": "5m", "start": T, "end": T + 30 * MINUTE, **options}
    return lake.features.materialise(NAME, None, function, "x", "A", **words)


def test_other_options_of_frames_are_refused_and_said(lake):
    assert materialise(lake, window="4m").new == 5
    cure = "register another version, or compute all of them anew with again=True"
    message = f"of 2024-01-31T00:05:00Z to 2024-01-31T00:25:00Z that were made with frames of window=4m, not of window=10m: {cure}"
    with pytest.raises(FeaturesDiffer, match=message):
        materialise(lake, window="10m")
    with pytest.raises(FeaturesDiffer, match=message):
        materialise(lake, window="10m", start=T + 26 * MINUTE, every="1m")
    with pytest.raises(FeaturesDiffer, match="not of window=4m, knowledge=event"):
        materialise(lake, window="4m", knowledge="event")
    with pytest.raises(FeaturesDiffer, match="not of make_frame"):
        materialise(lake, make_frame=lambda *_: None)
    assert lake.features.read(NAME)["n"].to_list() == [4.0] * 5


def test_again_replaces_values_that_were_made_in_another_way(lake):
    materialise(lake, window="4m")
    with pytest.raises(FeaturesDiffer, match="of 2024-01-31T00:05:00Z to 2024-01-31T00:05:00Z"):
        materialise(lake, window="10m", start=T + 6 * MINUTE, again=True)
    assert materialise(lake, window="10m", again=True).computed == 6
    assert materialise(lake, window="10m").skipped == 6
    assert lake.features.verify(NAME, None, count).is_empty


@pytest.mark.parametrize("window", ["240s", dt.timedelta(minutes=4)])
def test_options_are_the_same_however_they_are_written(lake, window):
    materialise(lake, window="4m", timeframes=("1m",))
    assert materialise(lake, window=window, timeframes="1m").skipped == 6
    assert materialise(lake, window=window).skipped == 6


def test_options_that_are_no_texts_are_found_again(lake):
    materialise(lake, window=dt.timedelta(minutes=4))
    assert lake.features.verify(NAME, None, count).is_empty


def test_another_function_is_refused_where_none_is_registered(lake):
    materialise(lake)
    with pytest.raises(FeaturesDiffer, match="other code, test_feature_work:count as it was then"):
        materialise(lake, other)


def test_instants_without_a_value_are_computed_again_for_other_options(lake):
    assert materialise(lake, end=T + MINUTE).without_row == 1
    assert materialise(lake, end=T + MINUTE).skipped == 1
    assert materialise(lake, end=T + MINUTE, window="4m").computed == 1


def test_values_that_users_wrote_stay(lake):
    lake.features.write(NAME, None, [{"symbol": "A", "ts": T + 5 * MINUTE, "n": 7.0}], exchange="x")
    assert materialise(lake).skipped == 1
    assert lake.features.read(NAME)["n"].to_list()[0] == 7.0


@pytest.mark.parametrize("call", [materialise, lambda lake, **frame: lake.features.verify(NAME, None, count, **frame)])
def test_an_option_that_frames_do_not_have_is_refused(lake, call):
    with pytest.raises(
        BadInput, match="no option 'windw' \\(did you mean 'window'\\?\\): they have window, timeframes"
    ):
        call(lake, windw="4m")


def test_a_wrong_value_of_an_option_is_refused_before_anything_is_done(lake):
    with pytest.raises(BadInput, match="'soon'"):
        materialise(lake, window="soon")
    assert lake.runs.list(limit=5) == []
