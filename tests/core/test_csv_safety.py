"""Texts that spreadsheets would execute are escaped; nothing else changes."""

import datetime as dt

import polars as pl
import pytest

from ticklake.core.csv_safety import escape_formulas, escape_heading


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1", "\uff0b1", "\uff0d1", "\uff20A"]
)
def test_a_text_that_begins_like_a_formula_gets_an_apostrophe(text):
    assert escape_formulas(pl.DataFrame({"id": [text]}))["id"].to_list() == [f"'{text}"]
    assert escape_heading(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "a=1", "BTC/USDT", "'quoted", " =1", None])
def test_other_texts_stay(text):
    assert escape_formulas(pl.DataFrame({"id": [text]}, schema={"id": pl.String}))["id"].to_list() == [text]


def test_numbers_and_times_keep_their_values_and_types():
    frame = pl.DataFrame({"price": [-1.5], "count": [-1], "ts": [dt.datetime(2024, 1, 1)], "ok": [True]})
    assert escape_formulas(frame).equals(frame)
    assert escape_formulas(frame).schema == frame.schema


@pytest.mark.parametrize("kind", [pl.Categorical, pl.Enum(["=x", "buy"])])
def test_categories_are_texts(kind):
    frame = pl.DataFrame({"side": ["=x", "buy", None]}, schema={"side": kind})
    assert escape_formulas(frame)["side"].to_list() == ["'=x", "buy", None]


def test_columns_are_escaped_each_with_its_own_values_and_name():
    frame = pl.DataFrame({"=a": ["=1", "x"], "b": ["y", "-2"]})
    assert escape_formulas(frame).to_dict(as_series=False) == {"'=a": ["'=1", "x"], "b": ["y", "'-2"]}


def test_a_frame_without_rows_or_columns_stays():
    assert escape_formulas(pl.DataFrame()).shape == (0, 0)
    assert escape_formulas(pl.DataFrame({"id": []}, schema={"id": pl.String})).shape == (0, 1)
