"""Alerts, decided: once, again after the cooldown, and when it is well."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ticklake.core.alerts import (
    LINES,
    Alert,
    AlertRule,
    Message,
    Policy,
    Trouble,
    decide,
    gap_trouble,
    is_late,
    stale_trouble,
    summary,
)
from ticklake.core.dataset import Dataset
from ticklake.core.gaps import Gap, GapReason
from ticklake.core.span import Span
from ticklake.core.time import DAY, HOUR, MINUTE, parse_time

BARS = Dataset.parse("x:ohlcv:1m:BTC/USDT")
TRADES = Dataset.parse("x:trades:BTC/USDT")
POLICY = Policy(frozenset(AlertRule), HOUR, stale_bars=3, stale_after=DAY, gap_window=7 * DAY)
STALE = stale_trouble(BARS, parse_time("2024-01-02"))
DISK = Trouble(AlertRule.DISK, "/lake", "nearly full")
NOW = parse_time("2024-01-03")


class Told:
    """Decides again and again, and remembers."""

    def __init__(self):
        self.known = {}

    def __call__(self, now, *troubles):
        decision = decide(troubles, self.known, HOUR, now)
        self.known = {alert.key: alert for alert in decision.alerts}
        return [(message.is_recovery, message.rule) for message in decision.messages]


def test_a_trouble_is_told_once_and_again_after_the_cooldown():
    told = Told()
    assert told(NOW, STALE) == [(False, "stale")]
    assert told(NOW + HOUR - 1, STALE) == []
    assert told(NOW + HOUR, STALE) == [(False, "stale")]
    assert told(NOW + HOUR + 1, STALE) == []
    assert told.known[STALE.key].since == NOW


def test_another_subject_or_rule_has_a_cooldown_of_its_own():
    told = Told()
    told(NOW, STALE)
    assert told(NOW + 1, STALE, DISK, stale_trouble(TRADES, 5)) == [(False, "disk"), (False, "stale")]


def test_recovery_is_told_once():
    told = Told()
    told(NOW, STALE)
    assert told(NOW + MINUTE) == [(True, "stale")]
    assert told(NOW + 2 * MINUTE) == []


def test_a_trouble_that_comes_and_goes_is_told_once_a_cooldown_and_its_silent_recovery_never():
    told = Told()
    assert told(NOW, STALE) == [(False, "stale")]
    assert told(NOW + MINUTE) == [(True, "stale")]
    assert told(NOW + 2 * MINUTE, STALE) == []
    assert told(NOW + 3 * MINUTE) == []
    assert told(NOW + 4 * MINUTE, STALE) == []
    assert told(NOW + HOUR, STALE) == [(False, "stale")]
    assert told.known[STALE.key].since == NOW + 4 * MINUTE
    assert told(NOW + HOUR + 1) == [(True, "stale")]


def test_what_is_well_for_long_is_forgotten():
    told = Told()
    told(NOW, STALE)
    told(NOW + MINUTE)
    told(NOW + 2 * HOUR)
    assert told.known == {}


steps = st.lists(st.tuples(st.integers(1, 40 * MINUTE), st.booleans()), max_size=40)


@given(steps)
def test_whatever_happens_troubles_keep_their_distance_and_recoveries_follow_what_was_told(history):
    told, now, wrong_at, is_open = Told(), NOW, [], False
    for wait, is_wrong in history:
        now += wait
        for is_recovery, _ in told(now, *([STALE] if is_wrong else [])):
            assert is_recovery != is_wrong
            assert is_open if is_recovery else True
            is_open = not is_recovery
            wrong_at += [] if is_recovery else [now]
    assert all(later - earlier >= HOUR for earlier, later in pairwise(wrong_at))


def test_bars_are_late_by_their_length_and_others_by_time():
    newest = parse_time("2024-01-02T10:00:00Z")
    assert not is_late(BARS, newest, POLICY, newest + 4 * MINUTE)
    assert is_late(BARS, newest, POLICY, newest + 4 * MINUTE + 1)
    assert not is_late(BARS, newest, POLICY, newest + 4 * MINUTE + 1, closed=MINUTE)
    assert not is_late(TRADES, newest, POLICY, newest + DAY)
    assert is_late(TRADES, newest, POLICY, newest + DAY + 1)


def test_months_are_late_by_the_calendar():
    monthly, newest = Dataset.parse("x:ohlcv:1M:BTC/USDT"), parse_time("2024-01-01")
    assert not is_late(monthly, newest, POLICY, parse_time("2024-05-01"))
    assert is_late(monthly, newest, POLICY, parse_time("2024-05-01") + 1)


def test_gaps_in_which_nothing_is_missing_are_no_trouble():
    quiet = [Gap(Span(0, 5), 5, reason) for reason in GapReason if not reason.is_missing]
    assert gap_trouble(BARS, quiet) is None
    trouble = gap_trouble(BARS, [*quiet, Gap(Span(5, 6), 1, GapReason.LOST), Gap(Span(2, 3), 1, GapReason.NOT_FETCHED)])
    assert "is not_fetched, and 1 more" in trouble.text


def test_patterns_say_whose_troubles_matter():
    policy = Policy(frozenset(), HOUR, 3, DAY, DAY, ("x:ohlcv:*", "y:*"))
    assert policy.covers(BARS)
    assert not policy.covers(TRADES)


def test_one_notification_holds_all_and_counts_what_it_leaves_out():
    many = [Message(False, AlertRule.STALE, f"d{n}", "nothing new", NOW) for n in range(LINES + 5)]
    title, text = summary([*many, Message(True, AlertRule.DISK, "/lake", "", NOW)], "/lake")
    assert title == f"ticklake /lake: {LINES + 5} wrong, 1 well again"
    assert text.splitlines()[-1] == "and 6 more"
    assert (
        "well again: disk /lake (wrong since 2024-01-03T00:00:00Z)"
        in summary([Message(True, AlertRule.DISK, "/lake", "", NOW)], "x")[1]
    )


def test_what_was_never_told_is_told_at_the_next_look():
    known = {STALE.key: Alert(STALE.rule, STALE.subject, "", NOW, None, False)}
    decision = decide([STALE], known, HOUR, NOW + 1)
    assert [message.since for message in decision.messages] == [NOW]
