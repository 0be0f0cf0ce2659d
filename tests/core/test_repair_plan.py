import pytest

from ticklake.core.dataset import Dataset
from ticklake.core.gaps import Gap, GapReason
from ticklake.core.repair_plan import plan_repair
from ticklake.core.span import Span
from ticklake.core.time import HOUR, MS, parse_time

T = parse_time("2024-01-01")
BARS, TRADES = Dataset.parse("binance:ohlcv:1h:BTC/USDT"), Dataset.parse("binance:trades:BTC/USDT")
BOOK = Dataset.parse("binance:book:BTC/USDT")


def gap(word, start=0, end=2, detail=""):
    return Gap(Span(T + start * HOUR, T + end * HOUR), None, GapReason(word), detail)


def planned(word, dataset=BARS, in_vain=(), **options):
    one = gap(word, detail="because")
    return plan_repair(dataset, [one], dict.fromkeys([(one.span, word)] if in_vain else [], *in_vain), **options)


@pytest.mark.parametrize(
    ("word", "first", "again", "with_retry"),
    [
        ("not_fetched", True, False, True),
        ("lost", True, False, True),
        ("invalid", True, False, True),
        ("unavailable", False, False, True),
        ("no_trades", False, False, False),
        ("outage", False, False, False),
    ],
)
def test_what_is_asked_for_and_what_is_not(word, first, again, with_retry):
    vain = ["nobody has it"]
    plans = [planned(word), planned(word, in_vain=vain), planned(word, in_vain=vain, retry=True)]
    assert [bool(plan.ask) for plan in plans] == [first, again, with_retry]


def test_where_nobody_traded_nothing_is_left():
    assert planned("no_trades").left == planned("outage").left == ()


def test_what_stays_says_why():
    assert planned("unavailable").left[0].why == "because; --retry asks once more"
    (left,) = planned("lost", in_vain=["ids 1 to 3 are not served"]).left
    assert left.why == "asked for again in vain: ids 1 to 3 are not served; --retry asks once more"


def test_books_of_the_past_cannot_be_had():
    plan = planned("not_fetched", BOOK, retry=True)
    assert plan.ask == ()
    assert "served by nobody" in plan.left[0].why


def test_whole_bars_are_asked_for_and_neighbours_together():
    odd = Span(T + HOUR // 2, T + HOUR + 1)
    plan = plan_repair(BARS, [Gap(odd, None, GapReason.LOST), gap("not_fetched", 2, 3)], {})
    assert plan.ask == (Span(T, T + 3 * HOUR),)


def test_trades_are_asked_for_with_the_instant_after():
    """A trade that is missing may stand in the millisecond of the one that follows it."""
    assert planned("lost", TRADES).ask == (Span(T, T + 2 * HOUR + MS),)


def test_what_was_just_damaged_is_asked_for_whatever_was_known():
    lost = gap("lost")
    plan = plan_repair(BARS, [lost], {(lost.span, "lost"): ""}, fresh=[lost.span])
    assert plan.ask == (lost.span,)
    assert plan.asks_for(lost)
