"""Rows of one batch that share a key end as they would have, one after the other."""

import pytest
from lake_machine import exact, frame_of

from ticklake.app import memory_lake
from ticklake.config import Settings
from ticklake.core.dataset import Dataset

NOON = 1_704_110_400 * 10**9
BARS = Dataset.parse("x:ohlcv:1m:BTC/USDT")


def bar(close, volume):
    return {"ts": NOON, "open": 1.0, "high": 9.0, "low": 1.0, "close": close, "volume": volume}


def ends(dataset, *batches):
    with memory_lake(Settings()) as lake:
        for batch in batches:
            lake.save(dataset, frame_of(batch, dataset))
        return exact(lake.load(dataset))


@pytest.mark.parametrize("held", [bar(1.0, None), bar(2.0, 5.0), bar(3.0, 5.0)])
def test_what_differs_on_the_way_ends_as_one_after_the_other(held):
    told = [bar(2.0, 5.0), bar(3.0, None), bar(3.0, 6.0)]
    assert ends(BARS, [held], told) == ends(BARS, [held], *[[row] for row in told])
