"""What a compaction costs grows with the number of segments, not with its square."""

import polars as pl
import pytest
from engine_lakes import BARS, full

from ticklake.app import memory_lake
from ticklake.config import Settings
from ticklake.core import read_plan
from ticklake.testing.rows import bars


@pytest.fixture
def chunks_copied(monkeypatch):
    """Counts the chunks of all frames that are put together."""
    counted, concat = [], pl.concat

    def counting(frames, **options):
        listed = list(frames)
        counted.extend(frame.n_chunks() for frame in listed if isinstance(frame, pl.DataFrame))
        return concat(listed, **options)

    monkeypatch.setattr(pl, "concat", counting)
    return counted


def test_each_of_many_small_segments_is_copied_a_few_times(chunks_copied):
    with memory_lake(Settings()) as lake:
        for minute in range(300):
            lake.save(BARS, bars(minute, minute + 1))
        chunks_copied.clear()
        lake.compact()
        assert sum(chunks_copied) <= 4 * 300
        assert lake.load(BARS).equals(full(bars(0, 300)))


def test_segments_that_all_meet_are_not_swept_to_the_end(monkeypatch):
    """They are merged as one after a few slices, so that more slices are work for nothing."""
    made, slice_of = [], read_plan._slice
    monkeypatch.setattr(read_plan, "_slice", lambda *words: made.append(words) or slice_of(*words))
    with memory_lake(Settings()) as lake:
        for number in range(100):
            lake.save(BARS, bars(0, 100 - number // 2, bump=number))
        made.clear()
        lake.compact()
    assert len(made) <= 5 * read_plan.MOST_SLICES
