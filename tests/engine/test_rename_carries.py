"""A rename moves all that names a dataset, or says what is in the way."""

import pytest
from engine_lakes import BARS, MINUTE, TRADES, USER, at, lake_in, span

from ticklake import Dataset
from ticklake.catalog.alerts import AlertRecords
from ticklake.core.alerts import Alert, AlertRule
from ticklake.core.gaps import Gap, GapReason
from ticklake.errors import BadInput, TicklakeWarning
from ticklake.testing.rows import bars, trades

NEW = Dataset.parse("x:ohlcv:1m:BTC/USD")
NEW_TRADES = Dataset.parse("x:trades:BTC/USDC:USDC")
VAIN = Gap(span(2, 3), 1, GapReason.UNAVAILABLE, detail="served no more")


@pytest.fixture
def notes(lake):
    return lake._collector.gap_notes


def test_it_stays_known_what_was_asked_for_and_what_was_asked_in_vain(lake, notes):
    lake.save(BARS, bars(0, 9))
    notes.want(BARS, span(0, 9))
    notes.note(BARS, [VAIN])
    lake.rename(BARS, NEW)
    assert notes.wanted(NEW) == span(0, 9)
    assert list(notes.in_vain(NEW).values()) == ["served no more"]
    assert lake.collected() == [NEW]
    assert notes.wanted(BARS) is None
    assert notes.in_vain(BARS) == {}


def test_continuity_goes_on_under_the_new_name(lake):
    lake.save(TRADES, trades(0, 10))
    lake.save(TRADES, trades(15, 20))
    told = lake.continuity(TRADES)
    lake.rename(TRADES, NEW_TRADES)
    assert lake.continuity(NEW_TRADES).equals(told)
    lake.save(NEW_TRADES, trades(20, 25))
    last = lake.continuity(NEW_TRADES).tail(1).to_dicts()[0]
    assert (last["joins"], last["missing"], last["before_id"]) == ("follows", None, str(10**6 + 19))


def test_refused_and_changed_rows_keep_the_time_at_which_they_came(lake, clock):
    lake.save(BARS, bars(0, 9))
    lake.save(BARS, bars(3, 5, bump=1.0))
    with pytest.warns(TicklakeWarning):
        lake.save(BARS, bars(9, 10).with_columns(high=0.0))
    refused, changed = lake.quarantine(BARS), lake.revisions(BARS)
    clock.ahead += 60 * MINUTE
    lake.rename(BARS, NEW)
    assert _without_version(lake.quarantine(NEW)) == _without_version(refused)
    assert _without_version(lake.revisions(NEW)) == _without_version(changed)


def _without_version(rows):
    return [{name: value for name, value in row.items() if name not in {"version", "commit_id"}} for row in rows]


def test_an_old_page_that_comes_after_the_rename_does_not_replace_newer_rows(lake):
    before = lake.engine.now()
    lake.save(BARS, bars(0, 5, bump=1.0))
    lake.rename(BARS, NEW)
    lake.engine.append(NEW, bars(0, 5), USER, observed_at=before)
    assert lake.load(NEW)["open"].to_list() == bars(0, 5, bump=1.0)["open"].to_list()


@pytest.mark.parametrize(
    ("what", "parameters", "moved"),
    [
        (("compact", str(BARS)), {}, {"dataset": str(NEW)}),
        (("backfill", "x", ["BTC/USDT", "ETH/USDT"], "1m"), {}, {"symbols": ["BTC/USD", "ETH/USDT"]}),
        (("cleanup",), {"days_to_keep": 9, "datasets": [str(BARS), "y:*"]}, {"datasets": [str(NEW), "y:*"]}),
    ],
)
def test_schedules_follow(lake, what, parameters, moved):
    lake.save(BARS, bars(0, 5))
    lake.schedules.add("mine", *what, every="1h", **parameters)
    lake.rename(BARS, NEW)
    (schedule,) = lake.schedules.list()
    assert {name: schedule.parameters[name] for name in moved} == moved


def test_schedules_of_other_datasets_stay(lake):
    lake.save(BARS, bars(0, 5))
    lake.schedules.add("mine", "backfill", "x", ["BTC/USDT"], "1h", every="1h")
    before = lake.schedules.list()
    lake.rename(BARS, NEW)
    assert lake.schedules.list() == before


def test_a_schedule_that_cannot_follow_is_named_and_nothing_is_renamed(lake):
    lake.save(BARS, bars(0, 5))
    lake.schedules.add("mine", "backfill", "x", ["BTC/USDT", "ETH/USDT"], "1m", every="1h")
    with pytest.raises(BadInput, match="'mine' names x:ohlcv:1m:BTC/USDT and cannot follow"):
        lake.rename(BARS, "y:ohlcv:1m:BTC/USDT")
    assert lake.datasets() == [BARS]
    assert lake.verify() == []


def test_a_schedule_from_a_file_is_changed_there(lake):
    lake.save(BARS, bars(0, 5))
    lake.schedules.add("file", "compact", str(BARS), every="1h", managed=True)
    with pytest.raises(BadInput, match=r"'file' .* comes from a file: take it out"):
        lake.rename(BARS, NEW)
    assert lake.datasets() == [BARS]


def test_a_job_that_is_to_work_on_it_is_named(lake, root, clock):
    lake.save(BARS, bars(0, 5))
    job = lake.jobs.create("backfill", "x", ["BTC/USDT", "ETH/USDT"], "1m")
    with pytest.raises(BadInput, match=rf"job {job.id} .* 'ticklake jobs cancel {job.id}'"):
        lake.rename(BARS, NEW)
    lake.jobs.cancel(job.id)
    assert lake.rename(BARS, NEW) == 5
    with lake_in(root, clock) as again:
        assert again.load(NEW, start=at(0)).height == 5


def test_an_alert_about_the_new_name_from_before_makes_way_for_that_of_the_dataset(lake):
    lake.save(BARS, bars(0, 5))
    table = AlertRecords(lake.engine.catalog.database)
    of_dataset = Alert(AlertRule.RUN_FAILED, str(BARS), "the exchange is down", since=1, told_at=1, is_told=True)
    of_name = Alert(AlertRule.RUN_FAILED, str(NEW), "no such symbol", since=1, told_at=1, is_told=True)
    table.restore([of_dataset, of_name])
    lake.rename(BARS, NEW)
    (alert,) = table.all()
    assert (alert.subject, alert.text) == (str(NEW), "the exchange is down")
