"""Adversarial rows: few keys so that they meet, and every edge of time and number."""

import calendar
from itertools import combinations

from hypothesis import strategies as st
from lake_model import DAY, MINUTE, SECOND, YEAR_1971

NOW = calendar.timegm((2024, 3, 1, 12, 0, 0)) * SECOND
"""What the clock says at first."""


def utc(*moment):
    return calendar.timegm((*moment, 0, 0, 0)[:6]) * SECOND


_EDGES = (utc(2023, 12, 31, 23, 59), utc(2024, 1, 1), utc(2024, 2, 28, 23, 59), utc(2024, 2, 29))
EARLY = utc(1678, 1, 1)
"""The first year that is whole inside 64-bit nanoseconds; see test_edges_of_time.py for what lies before."""
MINUTES = (EARLY, -MINUTE, -365 * DAY, YEAR_1971, *_EDGES, NOW + DAY)
"""Open times of bars: long ago, before 1970, at the ends of years and days, a day ahead."""
_WRONG_MINUTES = (None, 0, MINUTE, YEAR_1971 - MINUTE, NOW + 400 * DAY, utc(2024, 1, 1) + 1, utc(2024, 1, 1) - 1)

_NEAR = (0, 1, 3, 300_000_000, SECOND, SECOND + 1, 1_720_000_000, 2_550_000_000)
INSTANTS = (
    EARLY,
    EARLY + 1,
    -1,
    -1 - SECOND,
    YEAR_1971,
    *(utc(2024, 1, 1) - 1_100_000_007 + near for near in _NEAR),
    NOW + DAY,
)
"""Times of trades: around a new year, within and just beyond a second of each other."""
_WRONG_INSTANTS = (None, 0, YEAR_1971 - 1, NOW + 400 * DAY)


def has_ties(times):
    """Whether an instant lies in the middle of two others within a second: which one is nearest is not said."""
    ordered = combinations(sorted(times), 3)
    return any(middle - first == last - middle <= SECOND for first, middle, last in ordered)


_VALUES = (1.0, 1.5, 0.1 + 0.2, 1e308, 5e-324, 0.0, -0.0)
_WRONG_VALUES = (None, float("nan"), float("inf"), float("-inf"), -1.0)
_SIZES = (None, 0.0, -0.0, 5e-324, 1e308, 0.3)
IDS = ("1", "2", "", "a\u2028é")


def _mostly(right, wrong):
    """Values of *right*, now and then one of *wrong*."""
    return st.one_of(*[st.sampled_from(right)] * 7, st.sampled_from(wrong))


@st.composite
def _bar(draw):
    four = [draw(st.sampled_from(_VALUES)) for _ in range(4)]
    high, low, ends = max(four), min(four), four[:2]
    if draw(st.integers(0, 9)) == 0:
        high, low, ends = four[0], draw(st.sampled_from(_WRONG_VALUES)), four[2:]
    return {
        "ts": draw(_mostly(MINUTES, _WRONG_MINUTES)),
        "open": ends[0],
        "high": high,
        "low": low,
        "close": ends[1],
        "volume": draw(_mostly(_SIZES, (-1.0, float("inf")))),
        "quote_volume": draw(st.sampled_from(_SIZES)),
        "trades": draw(st.sampled_from((None, 0, 7, 2**63 - 1))),
    }


def _trade(ids):
    near = st.sampled_from(INSTANTS[5:-1])
    return st.fixed_dictionaries(
        {
            "ts": st.one_of(near, near, near, near, _mostly(INSTANTS, _WRONG_INSTANTS)),
            "received_at": st.sampled_from((None, -1, NOW)),
            "id": ids,
            "price": _mostly((1.0, 1e308, 5e-324), (*_WRONG_VALUES, 0.0, -0.0)),
            "amount": _mostly((1.0, 0.1 + 0.2), (*_WRONG_VALUES, 0.0)),
            "side": _mostly(("buy", "sell", None), ("bid", "")),
        }
    )


_LEVEL = st.fixed_dictionaries(
    {
        "ts": _mostly(INSTANTS[2:8], _WRONG_INSTANTS),
        "received_at": st.sampled_from((None, NOW)),
        "seq": _mostly((-1, 0, 1, 2**63 - 1), (None,)),
        "side": _mostly(("bid", "ask"), (None, "buy")),
        "price": _mostly((1.0, 1e308, 5e-324), (*_WRONG_VALUES, 0.0)),
        "amount": _mostly((0.0, -0.0, 0.3), _WRONG_VALUES),
        "count": st.sampled_from((None, 0, 3)),
        "is_snapshot": _mostly((True, False), (None,)),
    }
)


def _repeating(rows):
    """Lists of rows, some of which are told several times over."""
    return st.lists(st.tuples(rows, st.sampled_from((1, 1, 1, 1, 2, 3))), max_size=8).map(
        lambda told: [dict(row) for row, times in told for _ in range(times)]
    )


bar_batches = _repeating(_bar())
id_batches = _repeating(_trade(_mostly(IDS[:2], (*IDS[2:], None))))
print_batches = _repeating(_trade(st.sampled_from((None, None, "x", "y"))))
book_batches = _repeating(_LEVEL)


def several(batches):
    """A few batches, saved one after the other."""
    return st.lists(batches, min_size=1, max_size=3)
