"""Schedules: when they strike, that each time makes one job, and that missed times make one."""

import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from ticklake.app import open_lake
from ticklake.config import Settings
from ticklake.core.schedules import Rhythm
from ticklake.core.time import DAY, HOUR, MINUTE, format_time, parse_time
from ticklake.errors import BadInput
from ticklake.jobs.cron import next_time, times_between
from ticklake.testing.clocks import ManualClock

BTC = "binance:ohlcv:1h:BTC/USDT"


def strikes(rhythm, after, count=3):
    times, moment = [], parse_time(after)
    for _ in range(count):
        moment = next_time(rhythm, moment)
        times.append(format_time(moment).removesuffix(":00Z"))
    return times


class TestRhythm:
    def test_minutes(self):
        assert strikes(Rhythm("*/20 8,9 * * *"), "2024-01-01T08:30") == [
            "2024-01-01T08:40",
            "2024-01-01T09:00",
            "2024-01-01T09:20",
        ]

    def test_the_moment_itself_is_not_after_it(self):
        assert strikes(Rhythm("0 * * * *"), "2024-01-01T08:00", 1) == ["2024-01-01T09:00"]
        assert next_time(Rhythm("0 * * * *"), parse_time("2024-01-01T08:00") - 1) == parse_time("2024-01-01T08:00")

    def test_weekdays_as_crontab_counts_them(self):
        assert strikes(Rhythm("0 0 * * 1-5"), "2024-01-04T12:00") == [
            "2024-01-05T00:00",
            "2024-01-08T00:00",
            "2024-01-09T00:00",
        ]

    def test_day_or_weekday_where_both_are_given(self):
        """crontab(5): if both fields are restricted, either will do."""
        assert strikes(Rhythm("0 0 13 * 5"), "2024-01-01", 4) == [
            "2024-01-05T00:00",
            "2024-01-12T00:00",
            "2024-01-13T00:00",
            "2024-01-19T00:00",
        ]

    def test_leap_day(self):
        assert strikes(Rhythm("0 0 29 2 *"), "2024-03-01", 1) == ["2028-02-29T00:00"]

    def test_a_time_that_a_clock_put_forward_skips_strikes_at_once_after_it(self):
        berlin = Rhythm("30 2 * * *", zone="Europe/Berlin")
        assert strikes(berlin, "2024-03-30T12:00", 2) == ["2024-03-31T01:00", "2024-04-01T00:30"]

    def test_a_wall_clock_that_is_put_back_strikes_once(self):
        berlin = Rhythm("30 2 * * *", zone="Europe/Berlin")
        assert strikes(berlin, "2024-10-26T12:00", 2) == ["2024-10-27T00:30", "2024-10-28T01:30"]

    def test_every_hour_strikes_every_hour_when_the_clock_is_put_back(self):
        berlin = Rhythm("30 * * * *", zone="Europe/Berlin")
        assert strikes(berlin, "2024-10-26T23:50") == ["2024-10-27T00:30", "2024-10-27T01:30", "2024-10-27T02:30"]

    def test_between_the_two_hours_of_one_wall_time_the_next_one_is_tomorrow(self):
        berlin = Rhythm("30 2 * * *", zone="Europe/Berlin")
        assert strikes(berlin, "2024-10-27T01:15", 1) == ["2024-10-28T01:30"]

    @pytest.mark.parametrize(
        ("weekday", "days"),
        [
            ("0", ["2024-01-07", "2024-01-14"]),
            ("7", ["2024-01-07", "2024-01-14"]),
            ("5-7", ["2024-01-05", "2024-01-06", "2024-01-07", "2024-01-12"]),
            ("MON-wed,sat", ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-06"]),
            ("1-5/2", ["2024-01-01", "2024-01-03", "2024-01-05", "2024-01-08"]),
        ],
    )
    def test_weekdays_in_numbers_begin_with_sunday(self, weekday, days):
        found = strikes(Rhythm(f"0 0 * * {weekday}"), "2023-12-31T12:00", len(days))
        assert found == [f"{day}T00:00" for day in days]

    def test_intervals_are_counted_from_1970(self):
        assert strikes(Rhythm(every=15 * MINUTE), "2024-01-01T08:01", 2) == ["2024-01-01T08:15", "2024-01-01T08:30"]

    def test_missed_times_are_counted(self):
        first, last = parse_time("2024-01-01T08:00"), parse_time("2024-01-01T12:30")
        assert times_between(Rhythm("0 * * * *"), first, last) == 5
        assert times_between(Rhythm(every=HOUR), first, last) == 5
        assert times_between(Rhythm("* * * * *"), first, first + 400 * DAY) == 1_000

    @pytest.mark.parametrize(
        ("cron", "zone", "words"),
        [
            ("* * * *", "UTC", "minute hour day month weekday"),
            ("61 * * * *", "UTC", "'61 .*Bad minute"),
            ("0 0 * * 8", "UTC", "Bad day-of-week"),
            ("0 0 * * fri-mon", "UTC", "Bad day-of-week"),
            ("0 0 * * 1/0", "UTC", "Bad day-of-week"),
            ("0 0 * * 1-", "UTC", "Bad day-of-week"),
            ("0 0 0 * * *", "UTC", "minute hour day month weekday"),
            ("0 0 * * *", "Mars/Olympus", "not a time zone"),
            ("0 0 * * *", "../etc", "not a time zone"),
            ("0 0 * * *", "Europe", "not a time zone"),
            ("0 0 * * *", "a" * 300, "not a time zone"),
        ],
    )
    def test_what_cannot_be_meant_is_refused(self, cron, zone, words):
        with pytest.raises(BadInput, match=words):
            next_time(Rhythm(cron, zone=zone), 0)


@pytest.fixture
def clock():
    return ManualClock(parse_time("2024-01-01T08:01"))


@pytest.fixture
def opened(tmp_path, clock):
    """Open the same lake again and again, under the clock of the test."""
    lakes = []

    def again():
        for lake in lakes:
            lake.close()
        lakes.append(open_lake(tmp_path / "lake", settings=Settings(), clock=clock))
        return lakes[-1]

    yield again
    lakes[-1].close()


def made(lake):
    return lake.schedules.scheduler().tick()


class TestScheduling:
    def test_nothing_is_made_before_its_time_and_one_job_at_it(self, opened, clock):
        lake = opened()
        added = lake.schedules.add("bars", "update", BTC, cron="5 * * * *", priority=4)
        assert added.next_at == parse_time("2024-01-01T08:05")
        assert made(lake) == []
        clock.now = parse_time("2024-01-01T08:05")
        (job,) = made(lake)
        assert (job.operation, job.dataset, job.priority) == ("update", BTC, 4)
        assert made(lake) == []
        after = lake.schedules.get("bars")
        assert (after.next_at, after.last_at, after.last_job) == (parse_time("2024-01-01T09:05"), clock.now, job.id)

    def test_times_that_were_missed_while_nobody_ran_make_one_job(self, opened, clock):
        """Survives a restart: what it knows is in the catalog."""
        opened().schedules.add("bars", "update", every="15m")
        clock.now = parse_time("2024-01-01T11:20")
        lake = opened()
        assert len(made(lake)) == 1
        assert made(lake) == []
        after = lake.schedules.get("bars")
        assert (after.next_at, after.missed) == (parse_time("2024-01-01T11:30"), 12)

    def test_a_job_that_has_not_ended_is_not_made_again(self, opened, clock):
        lake = opened()
        lake.schedules.add("bars", "update", every="15m")
        ids = set()
        for _ in range(4):
            clock.now += 15 * MINUTE
            ids |= {job.id for job in made(lake)}
        assert len(ids) == 1
        assert len(lake.jobs.active()) == 1

    def test_a_paused_schedule_makes_nothing_and_makes_up_for_nothing(self, opened, clock):
        lake = opened()
        lake.schedules.add("bars", "update", every="15m")
        lake.schedules.pause("bars")
        clock.now += DAY
        assert made(lake) == []
        assert lake.schedules.resume("bars").next_at == parse_time("2024-01-02T08:15")
        assert made(lake) == []

    def test_adding_a_name_again_changes_it_and_keeps_its_history(self, opened, clock):
        lake = opened()
        lake.schedules.add("bars", "update", every="15m")
        clock.now += 15 * MINUTE
        (job,) = made(lake)
        changed = lake.schedules.add("bars", "compact", every="1d")
        assert (changed.operation, changed.last_job) == ("compact", job.id)
        assert lake.schedules.list() == [changed]

    def test_two_daemons_make_one_job(self, opened, clock, tmp_path):
        lake = opened()
        lake.schedules.add("bars", "update", every="15m")
        clock.now += 15 * MINUTE
        (due,) = lake.schedules.table.due()
        with open_lake(tmp_path / "lake", settings=Settings(), clock=clock) as other:
            assert len(made(other)) == 1
            other.jobs.cancel(other.jobs.list()[0].id)
        job = lake.jobs.new("update")
        assert lake.schedules.table.fire(due, job, due.next_at + 1, 0) is None
        assert lake.jobs.active() == []

    def test_a_schedule_that_is_removed_is_gone(self, opened, clock):
        lake = opened()
        lake.schedules.add("bars", "update", every="15m")
        lake.schedules.remove("bars")
        clock.now += DAY
        assert made(lake) == lake.schedules.list() == []
        with pytest.raises(BadInput, match="no schedule 'bars'"):
            lake.schedules.remove("bars")

    def test_a_schedule_whose_operation_is_gone_stands_in_nobody_s_way(self, opened, clock):
        lake = opened()
        lake.jobs.operations._found["gone"] = lake.jobs.operations["compact"]
        lake.schedules.add("bad", "gone", every="15m")
        lake.schedules.add("good", "compact", every="15m")
        del lake.jobs.operations._found["gone"]
        clock.now += 15 * MINUTE
        said = []
        jobs = lake.schedules.scheduler(said.append).tick()
        assert [job.operation for job in jobs] == ["compact"]
        assert "schedule 'bad' makes no job: there is no operation 'gone'" in said[0]
        assert lake.schedules.get("bad").next_at > clock.now

    def test_a_schedule_that_makes_no_job_and_was_removed_meanwhile_does_not_come_back(self, opened, clock):
        lake = opened()
        lake.schedules.add("bad", "compact", every="15m")
        seen = lake.schedules.get("bad")
        lake.schedules.remove("bad")
        scheduler = lake.schedules.scheduler()
        scheduler._fire(replace(seen, operation="gone"))
        assert lake.schedules.list() == []

    def test_a_bug_in_one_operation_stops_no_other_schedule(self, opened, clock):
        lake = opened()
        lake.schedules.add("bad", "compact", every="15m")
        lake.schedules.add("good", "repair", every="15m")
        lake.jobs.operations._found["compact"] = None
        clock.now += 15 * MINUTE
        said = []
        assert [job.operation for job in lake.schedules.scheduler(said.append).tick()] == ["repair"]
        assert "AttributeError" in said[0]

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({}, "needs one of cron"),
            ({"cron": "5 * * * *", "every": "1h"}, "needs one of cron"),
            ({"cron": "0 0 30 2 *"}, "Bad day-of-month"),
            ({"every": "soon"}, "not a length of time"),
            ({"every": "99999999999w"}, "too long: say at most 36500d"),
        ],
    )
    def test_what_cannot_be_meant_is_refused(self, opened, options, words):
        with pytest.raises(BadInput, match=words):
            opened().schedules.add("bars", "update", **options)


def test_a_daemon_makes_jobs_and_does_them_until_it_is_told_to_stop(tmp_path):
    threads = threading.active_count()
    with open_lake(tmp_path / "lake", settings=Settings()) as lake:
        lake.schedules.add("tidy", "compact", every="1s")
        command = [sys.executable, "-m", "ticklake", "daemon", "--lake", str(tmp_path / "lake")]
        daemon = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            until = time.monotonic() + 60
            while lake.jobs.counts().get("succeeded", 0) < 2 and time.monotonic() < until:
                time.sleep(0.1)
            daemon.send_signal(signal.SIGTERM)
            _, said = daemon.communicate(timeout=30)
        finally:
            daemon.kill()
        assert (daemon.returncode, lake.jobs.counts().get("succeeded", 0) >= 2) == (0, True), said
        assert "compact all datasets: 0 segments became 0" in said
        assert threading.active_count() <= threads + 1
