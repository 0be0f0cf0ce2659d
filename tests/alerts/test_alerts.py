"""Alerts end to end: a real webhook on loopback, real runs, and processes that share what was told."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from typer.testing import CliRunner

from ticklake.alerts.notify import Notifier
from ticklake.alerts.service import check_alerts
from ticklake.app import open_lake
from ticklake.config import load_settings
from ticklake.core.runs import RunState
from ticklake.core.time import DAY, HOUR, parse_time
from ticklake.errors import AlertNotSent, BadInput, SourceError
from ticklake.interfaces.cli.main import app
from ticklake.testing.clocks import ManualClock

from ..conftest import settings_for

SECRET = "s3cr3t-t0ken"
BARS = "binance:ohlcv:1h:BTC/USDT"
NOW = parse_time("2024-01-06")
ASKED = ("binance", "BTC/USDT", "1h")


class Hook(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.got.append((self.path, body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def webhook():
    """A server that takes what apprise posts; ``got`` is a list of paths and bodies."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    server.got, server.status = [], 200
    server.url = f"json://127.0.0.1:{server.server_port}/{SECRET}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def clock():
    return ManualClock(NOW)


@pytest.fixture
def exchange(market, serve):
    return serve(market, "2024-01-06")


@pytest.fixture
def opened(tmp_path, exchange, webhook, clock):
    """Open the lake with alerts to the webhook, or as *alerts* say."""

    def open_it(**alerts):
        own = load_settings(alerts={"urls": [webhook.url], "cooldown": "1h", **alerts}).alerts
        settings = settings_for(exchange.url).model_copy(update={"alerts": own})
        return open_lake(tmp_path / "lake", settings=settings, clock=clock)

    return open_it


def texts(webhook):
    return [f"{body['title']}\n{body['message']}" for _, body in webhook.got]


def test_a_failed_run_is_told_when_it_ends_and_its_recovery_too(opened, webhook, exchange):
    exchange.faults = exchange.faults.changed({"error_every": 1})
    with opened(on=["run_failed"]) as lake:
        assert lake.backfill(*ASKED, start="2024-01-01").state == "failed"
    (text,) = texts(webhook)
    assert "1 wrong" in text
    assert f"run_failed backfill {BARS}: run 1 failed" in text
    assert webhook.got[0][1]["type"] == "warning"
    exchange.faults = exchange.faults.changed({"error_every": 0})
    with opened(on=["run_failed"]) as lake:
        lake.backfill(*ASKED, start="2024-01-01")
    assert texts(webhook)[1].startswith("ticklake")
    assert "well again: run_failed" in texts(webhook)[1]
    assert webhook.got[1][1]["type"] == "success"


def test_an_exception_that_ends_a_run_is_told(opened, webhook, tmp_path):
    with opened() as lake:
        run = lake.runs.create("backfill", BARS, {"datasets": [BARS]})
        lake.runs.finish(run.id, RunState.FAILED, {}, "the lake cannot be written")
    assert "the lake cannot be written" in texts(webhook)[0]


def test_a_webhook_that_is_down_never_fails_a_run_and_it_is_told_later(opened, webhook, exchange):
    exchange.faults, webhook.status = exchange.faults.changed({"error_every": 1}), 500
    with opened(on=["run_failed"]) as lake:
        run = lake.backfill(*ASKED, start="2024-01-01")
    with opened(on=["run_failed"]) as lake:
        (line,) = [line for line in lake.runs.tail(run.id) if "no alert" in line.message]
        assert "url 1 (json)" in line.message
        assert SECRET not in line.message
        with pytest.raises(AlertNotSent):
            lake.alerts.check()
        webhook.status = 200
        assert [message.rule for message in lake.alerts.check()] == ["run_failed"]
        assert lake.alerts.check() == ()


def test_stale_datasets_are_those_that_were_asked_for_up_to_now(opened, webhook, clock):
    with opened(on=["stale"]) as lake:
        lake.backfill(*ASKED, start="2024-01-01")
        lake.backfill("binance", "ETH/USDT", "1h", start="2024-01-01", end="2024-01-02")
        assert check_alerts(lake, NOW) == ()
        (message,) = check_alerts(lake, NOW + 5 * HOUR)
        assert (message.subject, message.text) == (BARS, "nothing new since 2024-01-05T22:00:00Z")
        assert check_alerts(lake, NOW + 5 * HOUR + 1) == ()
    with opened(on=["stale"]) as again:
        assert check_alerts(again, NOW + 5 * HOUR + 2) == (), "another process knows what was told"
        assert len(check_alerts(again, NOW + 6 * HOUR)) == 1
    assert len(webhook.got) == 2


def test_a_stale_dataset_is_not_well_because_others_ran_since(opened, webhook, monkeypatch):
    """With thousands of datasets the run of one is soon too long ago to be among the newest."""
    with opened(on=["stale"]) as lake:
        lake.backfill(*ASKED, start="2024-01-01")
        assert [one.subject for one in check_alerts(lake, NOW + 5 * HOUR)] == [BARS]
        monkeypatch.setattr("ticklake.alerts.conditions.NEWEST_RUNS", 1)
        lake.backfill("binance", "ETH/USDT", "1h", start="2024-01-01", end="2024-01-02")
        assert check_alerts(lake, NOW + 5 * HOUR + 1) == ()
        assert [one.subject for one in lake.alerts.known()] == [BARS]


def test_gaps_are_told_until_they_are_filled(opened, webhook):
    with opened(on=["gaps"]) as lake:
        lake.backfill(*ASKED, start="2024-01-03")
        lake.delete(BARS, "2024-01-04T05:00:00Z", "2024-01-04T07:00:00Z")
        (message,) = lake.alerts.check()
        assert message.text.startswith("[2024-01-04T05:00:00Z .. 2024-01-04T07:00:00Z) is not_fetched: ")
        assert [one.subject for one in lake.alerts.known()] == [BARS]
        lake.backfill(*ASKED, start="2024-01-03")
    assert "well again: gaps" in texts(webhook)[1]


def test_what_was_asked_for_before_the_first_row_and_after_the_newest_is_missing_too(opened, clock):
    with opened(on=["gaps"]) as lake:
        lake.backfill(*ASKED, start="2024-01-03")
        lake.delete(BARS, "2024-01-03", "2024-01-03T05:00:00Z")
        (message,) = lake.alerts.check()
        assert message.text.startswith("[2024-01-03T00:00:00Z .. 2024-01-03T05:00:00Z) is not_fetched: ")
        lake.backfill(*ASKED, start="2024-01-03")
        lake.delete(BARS, "2024-01-05T20:00:00Z", "2024-01-06")
        clock.now += 2 * HOUR
        (message,) = [one for one in lake.alerts.check() if not one.is_recovery]
        assert message.text.startswith("[2024-01-05T20:00:00Z .. 2024-01-05T23:00:00Z) is not_fetched: ")


def test_a_dataset_of_which_nothing_came_is_missing_too(opened, exchange):
    exchange.faults = exchange.faults.changed({"error_every": 1})
    with opened(on=["gaps"]) as lake:
        lake.backfill(*ASKED, start="2024-01-03")
        (alert,) = lake.alerts.check() or lake.alerts.known()
    assert (alert.subject, "is not_fetched" in alert.text) == (BARS, True)


def test_what_a_running_run_has_yet_to_fetch_is_not_missing(opened):
    with opened(on=["gaps"]) as lake:
        lake.backfill(*ASKED, start="2024-01-03")
        lake.delete(BARS, "2024-01-05T20:00:00Z", "2024-01-06")
        lake.delete(BARS, "2024-01-03", "2024-01-03T02:00:00Z")
        run = lake.runs.create("backfill", BARS, {"datasets": [BARS]})
        (message,) = lake.alerts.check()
        assert message.text.startswith("[2024-01-03T00:00:00Z .. 2024-01-03T02:00:00Z) is not_fetched: ")
        lake.runs.finish(run.id, RunState.SUCCEEDED)


def test_history_longer_ago_than_the_window_is_left_to_others(opened):
    with opened(on=["gaps"], gap_window="1d") as lake:
        lake.backfill(*ASKED, start="2024-01-03")
        lake.delete(BARS, "2024-01-04T05:00:00Z", "2024-01-04T07:00:00Z")
        assert lake.alerts.check() == ()


def test_a_disk_that_is_nearly_full_is_told_before_collecting_stops(opened, tmp_path, exchange, webhook, clock):
    import shutil

    free = shutil.disk_usage(tmp_path).free
    # Others use the disk, too: the alert comes below twice of what is free now, and collecting would stop below a fifth of it.
    own = load_settings(alerts={"urls": [webhook.url], "disk_free": 10}).alerts
    settings = settings_for(exchange.url).model_copy(update={"alerts": own, "min_free": int(free / 5)})
    with open_lake(tmp_path / "lake", settings=settings, clock=clock) as lake:
        assert lake.backfill(*ASKED, start="2024-01-05").state == "succeeded"
        lake.alerts.close()  # waits for what the run began to tell
        assert [one.rule for one in lake.alerts.known()] == ["disk"]
    assert "are to stay free (min_free)" in texts(webhook)[0]


def test_two_processes_tell_it_once(opened, webhook):
    with opened(on=["gaps"]) as first, opened(on=["gaps"]) as second:
        first.backfill(*ASKED, start="2024-01-03")
        first.delete(BARS, "2024-01-04T05:00:00Z", "2024-01-04T07:00:00Z")
        threads = [threading.Thread(target=lake.alerts.check) for lake in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(webhook.got) == 1


def test_one_address_that_is_wrong_does_not_keep_the_others_from_it_nor_repeats_them(opened, webhook):
    with opened(on=["gaps"], urls=[f"nonsense://{SECRET}", webhook.url]) as lake:
        lake.backfill(*ASKED, start="2024-01-03")
        lake.delete(BARS, "2024-01-04T05:00:00Z", "2024-01-04T07:00:00Z")
        with pytest.raises(AlertNotSent, match=r"url 1 \(nonsense\)") as caught:
            lake.alerts.check()
        assert SECRET not in str(caught.value)
        lake.alerts.check()
    assert len(webhook.got) == 1


@pytest.mark.parametrize("url", [f"hooks.example.com/services/{SECRET}", f"{SECRET}:x@mail.example.com", SECRET])
def test_an_address_without_a_scheme_is_not_shown_either(url):
    with pytest.raises(AlertNotSent, match=r"url 1 \(without a scheme") as caught:
        Notifier([url]).send("title", "text")
    assert SECRET not in str(caught.value)


def test_a_slow_address_holds_up_no_run_and_is_waited_for_at_the_end(opened, exchange, monkeypatch):
    exchange.faults = exchange.faults.changed({"error_every": 1})
    let_go, sent = threading.Event(), []
    monkeypatch.setattr(Notifier, "send", lambda _self, title, *_, **__: let_go.wait(60) and sent.append(title))
    lake = opened()
    assert lake.backfill(*ASKED, start="2024-01-01").state == "failed"
    assert sent == []
    let_go.set()
    lake.close()
    assert len(sent) == 1


class TestShell:
    @pytest.fixture
    def shell(self, opened, tmp_path, webhook, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("TICKLAKE_LAKE", str(tmp_path / "lake"))
        monkeypatch.setenv("TICKLAKE_ALERTS__URLS", json.dumps([webhook.url]))
        opened().close()
        return lambda *words: CliRunner().invoke(app, ["alerts", *words])

    def test_a_test_arrives(self, shell, webhook):
        result = shell("test", "--json")
        assert (result.exit_code, json.loads(result.stdout)) == (0, {"sent": True})
        assert webhook.got[0][0] == f"/{SECRET}"

    def test_without_addresses_a_test_is_bad_use_and_a_check_still_says_what_is_wrong(self, shell, monkeypatch):
        monkeypatch.delenv("TICKLAKE_ALERTS__URLS")
        assert shell("test").exit_code == 2
        assert shell("check").exit_code == 0
        monkeypatch.setenv("TICKLAKE_MIN_FREE", "1000000 TiB")
        result = shell("check")
        assert result.exit_code == 3
        assert "nobody is told" in result.stdout

    def test_a_check_tells_what_is_wrong_and_returns_3(self, shell, monkeypatch, webhook):
        monkeypatch.setenv("TICKLAKE_MIN_FREE", "1000000 TiB")
        done = shell("check", "--json")
        answer = json.loads(done.stdout)
        assert done.exit_code == 3
        assert [one["rule"] for one in answer["wrong"]] == [one["rule"] for one in answer["told"]] == ["disk"]
        assert json.loads(shell("check", "--json").stdout)["told"] == []
        assert len(webhook.got) == 1
        monkeypatch.setenv("TICKLAKE_MIN_FREE", "0")
        assert shell("check").exit_code == 0
        assert "well again: disk" in texts(webhook)[1]

    def test_secrets_are_never_shown(self, shell, webhook, caplog, capfd):
        webhook.status = 500
        outputs = [shell("test"), shell("check"), CliRunner().invoke(app, ["config", "--json"])]
        shown = "".join(one.output for one in outputs) + caplog.text + "".join(capfd.readouterr())
        assert outputs[0].exit_code == 1
        assert "url 1 (json)" in shown
        assert SECRET not in shown

    def test_a_rule_that_is_none_is_refused(self, shell, monkeypatch):
        monkeypatch.setenv("TICKLAKE_ALERTS__ON", '["stael"]')
        result = shell("check")
        assert result.exit_code == 2
        assert "alerts.on" in result.output


def test_the_disk_may_be_well_and_time_goes_on_without_runs(opened):
    with opened() as lake:
        assert lake.alerts.check(NOW + 30 * DAY) == ()
        assert lake.alerts.known() == []
        with pytest.raises((BadInput, SourceError)):
            lake.backfill("binance", "NO/SUCH", "1h")


def test_a_job_looks_for_those_who_leave_it_to_a_daemon(opened, webhook):
    with opened(on=["gaps"]) as lake:
        lake.backfill(*ASKED, start="2024-01-03")
        lake.delete(BARS, "2024-01-04T05:00:00Z", "2024-01-04T07:00:00Z")
        job = lake.jobs.start(lake.jobs.create("alerts").id)
        assert (job.state, job.outcome) == ("succeeded", "messages sent: 1")
    assert len(webhook.got) == 1
    with opened(urls=[]) as lake:
        assert lake.jobs.start(lake.jobs.create("alerts").id).outcome == "nobody is to be told"
