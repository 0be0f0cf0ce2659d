from __future__ import annotations

import logging

import pytest

from ticklake.collect.stream_log import StreamLog
from ticklake.core.dataset import Dataset
from ticklake.core.span import Span
from ticklake.sources.live.base import Control

BTC, ETH = Dataset.parse("x:trades:BTC/USDT"), Dataset.parse("x:trades:ETH/USDT")


@pytest.fixture
def tell(caplog):
    """Return what tells a stream log of a control as the live service does: once for each stream that it concerns."""
    log = StreamLog()
    caplog.set_level(logging.INFO, "ticklake.streams")

    def told(*controls):
        caplog.clear()
        for control in controls:
            for dataset in [control.dataset] if control.dataset else [BTC, ETH]:
                log.control(dataset, control)
        return [record.getMessage() for record in caplog.records]

    return told


def test_what_happens_to_a_connection_is_one_event_however_many_streams_it_has(tell):
    assert tell(Control("connected", 1)) == ["stream connected exchange=x"]
    assert tell(Control("subscribed", 2, BTC)) == ["stream subscribed exchange=x dataset=x:trades:BTC/USDT"]


def test_a_connection_after_a_loss_is_a_reconnection(tell):
    tell(Control("connected", 1))
    lost = tell(Control("disconnected", 2, text="no sign of life for 30 s"))
    assert lost == ["stream lost exchange=x reason='no sign of life for 30 s'"]
    assert tell(Control("connected", 3)) == ["stream reconnected exchange=x"]
    assert tell(Control("connected", 4)) == ["stream connected exchange=x"]


def test_a_gap_and_a_refusal_say_what_and_why(tell):
    [gap] = tell(Control("gap", 1, BTC, "numbers are missing", Span(0, 10**9), 5, 7))
    assert "dataset=x:trades:BTC/USDT" in gap
    assert "first=5 last=7" in gap
    [refused] = tell(Control("refused", 1, ETH, "no such symbol"))
    assert refused == "stream refused exchange=x dataset=x:trades:ETH/USDT reason='no such symbol'"


def test_heartbeats_are_not_logged(tell):
    assert tell(Control("heartbeat", 1), Control("interval_complete", 2, BTC)) == []
