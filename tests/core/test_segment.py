from ticklake.core.segment import Segment
from ticklake.core.span import Span


def test_its_span_is_half_open_around_inclusive_times():
    segment = Segment("a", 1, rows=2, min_ts=10, max_ts=20, size=1, digest="")
    assert segment.span == Span(10, 21)


def test_a_segment_of_one_instant_has_a_span():
    assert Segment("a", 1, rows=1, min_ts=10, max_ts=10, size=1, digest="").span.length == 1


def test_a_message_names_its_path_or_says_that_it_is_inline():
    assert Segment("a", 1, 1, 0, 0, 1, "", path="x/2024-a.parquet").name == "x/2024-a.parquet"
    assert Segment("a", 1, 1, 0, 0, 1, "", data=b"").name == "inline segment a"
