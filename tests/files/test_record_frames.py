"""Frames of rows that were read from messages and answers."""

import pytest

from ticklake.files import frames
from ticklake.files.frames import Origin, frames_by_market
from ticklake.sources.wire.rows import trade


def heights(monkeypatch: pytest.MonkeyPatch, answers: list[int | None]) -> list[int]:
    monkeypatch.setattr(frames, "_FULL", 2)
    rows = [Origin(trade("BTCUSDT", ts, None, 1.0, 1.0, "buy", ts), answer=each) for ts, each in enumerate(answers)]
    return [part.frame.height for part in frames_by_market(rows)]


def test_rows_of_one_answer_stay_in_one_frame(monkeypatch):
    assert heights(monkeypatch, [0, 0, 0, 1, 1, 1, 1, 2]) == [3, 4, 1]


def test_rows_without_an_answer_are_given_out_as_soon_as_they_are_many(monkeypatch):
    assert heights(monkeypatch, [None] * 5) == [2, 2, 1]
