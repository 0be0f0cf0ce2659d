from ticklake.core.coverage import Coverage, Covered
from ticklake.core.gaps import Gap, GapReason, apart_from_outer_instants, with_rows_missing
from ticklake.core.sequence import Jump
from ticklake.core.span import Span

OLDEST = Gap(Span(2, 3), None, GapReason.NOT_FETCHED)
NEWEST = Gap(Span(10, 11), None, GapReason.NOT_FETCHED)
BOTH = [OLDEST, NEWEST]


def test_the_instants_of_the_oldest_and_the_newest_row_are_no_gaps_if_coverage_begins_and_ends_with_them():
    assert apart_from_outer_instants(BOTH, Coverage.of([Covered(Span(3, 10))]), 2, 10) == ([], BOTH)


def test_they_are_gaps_if_they_were_asked_for_or_are_not_the_outer_ones():
    assert apart_from_outer_instants(BOTH, Coverage.of([Covered(Span(2, 11))]), 2, 10) == (BOTH, [])
    assert apart_from_outer_instants(BOTH, Coverage(), 2, 10) == (BOTH, [])
    assert apart_from_outer_instants(BOTH, Coverage.of([Covered(Span(3, 10))]), 0, 20) == (BOTH, [])


def test_they_are_gaps_if_numbers_jump_in_them():
    jumps = [Jump(2, 2, 7, 7), Jump(2, 5, 9, 10), Jump(6, 8, 12, 12)]
    (gap,) = with_rows_missing(BOTH, jumps, "trade ids")
    assert (gap.span, gap.missing, gap.reason) == (Span(2, 3), 3, GapReason.NOT_FETCHED)
    assert gap.detail == "trade ids 7 to 7, 9 to 10 are missing"
