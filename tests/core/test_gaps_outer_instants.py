from ticklake.core.coverage import Coverage, Covered
from ticklake.core.gaps import Gap, GapReason, without_outer_instants
from ticklake.core.span import Span

OLDEST = Gap(Span(2, 3), None, GapReason.NOT_FETCHED)
NEWEST = Gap(Span(10, 11), None, GapReason.NOT_FETCHED)


def test_the_instants_of_the_oldest_and_the_newest_row_are_no_gaps_if_coverage_begins_and_ends_with_them():
    assert without_outer_instants([OLDEST, NEWEST], Coverage.of([Covered(Span(3, 10))]), 2, 10) == []


def test_they_are_gaps_if_they_were_asked_for_or_are_not_the_outer_ones():
    both = [OLDEST, NEWEST]
    assert without_outer_instants(both, Coverage.of([Covered(Span(2, 11))]), 2, 10) == both
    assert without_outer_instants(both, Coverage(), 2, 10) == both
    assert without_outer_instants(both, Coverage.of([Covered(Span(3, 10))]), 0, 20) == both
