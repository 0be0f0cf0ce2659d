"""Notes on gaps: what was asked for only grows, whoever asks at the same time."""

from ticklake.catalog.gap_notes import GapNotes
from ticklake.core.dataset import Dataset
from ticklake.core.span import Span

BTC = Dataset.parse("x:trades:BTC/USDT")


def test_two_who_ask_at_the_same_time_are_both_remembered(database, clock, monkeypatch):
    """Each looked before the other had written."""
    notes, slow = GapNotes(database, clock), GapNotes(database, clock)
    monkeypatch.setattr(slow, "wanted", lambda _dataset: None)
    notes.want(BTC, Span(100, 200))
    slow.want(BTC, Span(150, 300))
    assert notes.wanted(BTC) == Span(100, 300)
