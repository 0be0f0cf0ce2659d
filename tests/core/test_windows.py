"""Windows of about as many rows each, and instants that are best read together."""

from __future__ import annotations

import random
from itertools import pairwise

import polars as pl
import pytest

from ticklake.core.span import Span
from ticklake.core.windows import Stretch, clusters, windows


def random_stretches(rng: random.Random) -> list[Stretch]:
    stretches = []
    for _ in range(rng.randrange(1, 20)):
        start = rng.randrange(10_000)
        length = rng.choice([1, 1, rng.randrange(1, 5_000)])
        stretches.append(Stretch(Span(start, start + length), rng.randrange(1, 10_000)))
    return stretches


def rows_in(stretches: list[Stretch], span: Span) -> float:
    rows = 0.0
    for stretch in stretches:
        part = stretch.span.intersect(span)
        if part is not None:
            rows += stretch.rows * part.length / stretch.span.length
    return rows


@pytest.mark.parametrize("seed", range(50))
def test_windows_follow_one_another_and_hold_so_many_rows(seed):
    rng = random.Random(seed)
    stretches = random_stretches(rng)
    most = rng.choice([1, 100, 5_000])
    found = list(windows(stretches, most))
    assert found[0].start == min(stretch.span.start for stretch in stretches)
    assert found[-1].end == max(stretch.span.end for stretch in stretches)
    for window, following in pairwise(found):
        assert window.end == following.start
    for window in found:
        # A nanosecond is never cut, however many rows it has.
        densest = max(rows_in(stretches, Span(ns, ns + 1)) for ns in (window.start, window.end - 1))
        assert rows_in(stretches, window) <= most + densest + 1


def test_nothing_has_no_windows():
    assert list(windows([], 10)) == []


def test_silence_is_part_of_a_window():
    lone = [Stretch(Span(ns, ns + 1), 1) for ns in range(0, 10**15, 10**14)]
    assert len(list(windows(lone, 100))) == 1


@pytest.mark.parametrize("seed", range(50))
def test_every_instant_is_in_one_cluster(seed):
    rng = random.Random(seed)
    stretches = random_stretches(rng)
    instants = pl.Series([rng.randrange(-100, 16_000) for _ in range(100)], dtype=pl.Int64)
    most, apart = rng.choice([(1, 1), (5_000, 100), (10**9, 10**9)])
    found = list(clusters(instants, stretches, most, apart))
    assert sorted(row for cluster in found for row in cluster) == list(range(100))
    reaches = [(instants[cluster].min(), instants[cluster].max()) for cluster in found]
    for (_, end), (start, _) in pairwise(reaches):
        assert end <= start
    for start, end in reaches:
        if start < end:
            assert rows_in(stretches, Span(start, end)) <= most + 1


def test_what_nobody_needs_lies_between_clusters():
    instants = pl.Series([90, 5, 1, 99])
    found = [list(cluster) for cluster in clusters(instants, [Stretch(Span(0, 100), 1000)], 10**6, 200)]
    assert found == [[2, 1], [0, 3]]
