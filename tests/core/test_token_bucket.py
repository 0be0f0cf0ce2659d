"""A bucket allows a burst, then a rate."""

from hypothesis import given
from hypothesis import strategies as st

from ticklake.core import token_bucket
from ticklake.core.token_bucket import TokenBuckets


def test_a_burst_is_allowed_and_then_the_rate():
    buckets = TokenBuckets(rate=2, burst=3)
    assert [buckets.take("a", 0.0) for _ in range(4)] == [0, 0, 0, 0.5]
    assert buckets.take("a", 0.25) == 0.25
    assert buckets.take("a", 0.5) == 0
    assert buckets.is_empty("a", 0.6)
    assert not buckets.is_empty("a", 1.0)


def test_each_key_has_a_bucket_of_its_own():
    buckets = TokenBuckets(rate=1, burst=1)
    assert (buckets.take("a", 0.0), buckets.take("b", 0.0)) == (0, 0)
    assert buckets.take("a", 0.0) == 1


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(token_bucket, "_MOST", 10)
    buckets = TokenBuckets(rate=1, burst=1)
    for number in range(100):
        buckets.take(str(number), 0.0)
    assert len(buckets._levels) == 10


@given(st.lists(st.floats(0, 10), max_size=60).map(sorted))
def test_no_more_is_taken_than_the_burst_and_the_rate_allow(times):
    buckets = TokenBuckets(rate=3, burst=5)
    taken = sum(buckets.take("a", now) == 0 for now in times)
    assert taken <= 5 + 3 * 10
