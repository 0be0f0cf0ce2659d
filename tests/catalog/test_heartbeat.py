"""Heartbeats: whatever one beat runs into, the next one comes."""

import threading

import pytest

from ticklake.catalog.heartbeat import Heartbeat
from ticklake.errors import CatalogBusy


@pytest.mark.parametrize("error", [CatalogBusy("held"), OSError("stale file handle"), TimeoutError("no connection")])
def test_a_beat_that_fails_is_not_the_last(error):
    again, count = threading.Event(), [0]

    def beat(_numbers):
        count[0] += 1
        if count[0] == 1:
            raise error
        again.set()

    heart = Heartbeat(beat, 0.01)
    heart.begin(1)
    assert again.wait(5)
    heart.stop()
