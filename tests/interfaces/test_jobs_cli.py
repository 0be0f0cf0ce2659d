"""The shell's commands about jobs and runs."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from ticklake.app import open_lake
from ticklake.catalog.runs import LOG_TAIL, Runs
from ticklake.interfaces.cli import runs as cli_runs
from ticklake.interfaces.cli.main import app

BTC = "binance:ohlcv:1h:BTC/USDT"


@pytest.fixture
def shell(market, serve, tmp_path, monkeypatch):
    exchange = serve(market, "2024-01-05")
    monkeypatch.setenv("TICKLAKE_LAKE", str(tmp_path / "lake"))
    monkeypatch.setenv("TICKLAKE_EXCHANGE_URL", exchange.url)
    monkeypatch.setenv("TICKLAKE_ARCHIVES", "false")
    monkeypatch.setenv("TICKLAKE_EXCHANGES__BINANCE__RATE_LIMIT_MS", "1")
    runner = CliRunner()

    def run(*arguments):
        return runner.invoke(app, list(arguments))

    return run


def answer(result, code=0):
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def create(shell, *more):
    days = ("--timeframe", "1h", "--start", "2024-01-02", "--end", "2024-01-03")
    return answer(shell("jobs", "create", "backfill", "binance", "BTC/USDT", *days, *more, "--json"))


def test_a_job_is_created_done_by_a_worker_and_shown_with_its_run(shell):
    job = create(shell, "--priority", "3", "--set", "archives=false")
    assert (job["state"], job["subject"], job["priority"], job["parameters"]["archives"]) == ("queued", BTC, 3, False)
    assert "1 queued" in shell("jobs", "list").stdout
    worked = shell("worker", "--once")
    assert worked.exit_code == 0
    assert f"job 1 running: backfill {BTC}" in worked.stderr
    shown = answer(shell("jobs", "show", "1", "--json"))
    assert (shown["state"], shown["done"], shown["attempts"], shown["runs"]) == ("succeeded", 1.0, 1, [1])
    assert "24 new" in shell("jobs", "show", "1").stdout
    assert answer(shell("runs", "list", "--job", "1", "--dataset", BTC, "--json"))[0]["job"] == 1
    assert answer(shell("runs", "list", "--dataset", "binance:trades:BTC/USDT", "--json")) == []


def test_runs_alone_lists_and_a_number_alone_shows(shell):
    create(shell)
    shell("worker", "--once")
    assert [run["id"] for run in answer(shell("runs", "--json"))] == [1]
    assert answer(shell("runs", "1", "--json")) == answer(shell("runs", "show", "1", "--json"))
    assert "succeeded" in shell("runs", "--state", "succeeded").stdout
    assert answer(shell("runs", "tail", "1", "--json")) == []
    assert shell("runs", "tail", "1", "--follow").exit_code == 0
    assert "list" in shell("runs", "--help").stdout


def test_a_followed_run_shows_each_line_once_though_its_log_is_full(shell, tmp_path, monkeypatch):
    """Its log keeps the last lines only, and the last ones are written just before it ends."""
    with open_lake(tmp_path / "lake") as lake:
        run = lake.runs.create("noted").id
        for number in range(LOG_TAIL):
            lake.runs.append_log(run, f"line {number}")
        tail, looks = Runs.tail, []

        def write_after_the_look(runs, run_id):
            lines = tail(runs, run_id)
            looks.append(len(lines))
            if len(looks) < 3:
                lake.runs.append_log(run, f"after look {len(looks)}")
            if len(looks) == 2:
                lake.runs.finish(run)
            return lines

        monkeypatch.setattr(Runs, "tail", write_after_the_look)
        monkeypatch.setattr(cli_runs, "LOOK_EVERY", 0)
        said = shell("runs", "tail", str(run), "--follow", "--json").stdout.splitlines()
    expected = [f"line {number}" for number in range(LOG_TAIL)] + ["after look 1", "after look 2"]
    assert [json.loads(line)[2] for line in said] == expected
    assert looks == [LOG_TAIL] * 3


@pytest.mark.parametrize("option", [("--limit", "1"), ("--job", "1"), ("--json", "--limit", "1")])
def test_the_number_of_an_option_of_runs_is_no_run(shell, option):
    shell("init")
    result = shell("runs", *option)
    assert result.exit_code == 0, result.output


def test_every_answer_about_schedules_is_json_if_asked(shell):
    added = answer(shell("schedule", "add", "tidy", "compact", "--every", "1h", "--json"))
    assert answer(shell("schedule", "pause", "tidy", "--json")) == {**added, "paused": True, "next": None}
    resumed = answer(shell("schedule", "resume", "tidy", "--json"))
    assert (resumed["paused"], resumed["next"] is None) == (False, False)
    assert answer(shell("schedule", "remove", "tidy", "--json")) == {"removed": "tidy"}
    assert answer(shell("schedule", "list", "--json")) == []


def test_a_job_is_started_here_and_now(shell):
    create(shell)
    assert answer(shell("jobs", "start", "1", "--json"))["state"] == "succeeded"
    again = shell("jobs", "start", "1")
    assert (again.exit_code, "job 1 is succeeded" in again.stderr) == (2, True)


def test_several_workers_give_one_answer(shell):
    create(shell)
    assert answer(shell("worker", "--once", "--processes", "2", "--json")) == {"taken": 1, "succeeded": 1}
    assert answer(shell("jobs", "show", "1", "--json"))["state"] == "succeeded"


def test_jobs_are_cancelled_and_forgotten(shell):
    create(shell)
    assert "job 1 is cancelled" in shell("jobs", "cancel", "1").stdout
    assert answer(shell("jobs", "list", "--state", "active", "--json")) == []
    assert answer(shell("jobs", "cleanup", "--json")) == {"forgotten": 0}
    assert answer(shell("jobs", "cleanup", "--days", "0", "--json")) == {"forgotten": 1}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("jobs", "create", "trade", "binance"), "no operation 'trade'"),
        (("jobs", "create", "compact", "nonsense"), "'nonsense' is not a dataset"),
        (("jobs", "create", "compact", "--set", "depth"), "'depth' is not NAME=VALUE"),
        (("jobs", "show", "7"), "no job 7"),
        (("jobs", "list", "--state", "odd"), "'odd' is not a job state"),
        (("runs", "show", "7"), "no run 7"),
    ],
)
def test_bad_use_is_one_line_and_exit_code_2(shell, words, says):
    shell("init")
    result = shell(*words)
    assert result.exit_code == 2
    assert says in result.stderr


def test_the_exit_code_of_one_round_says_whether_a_job_failed(shell):
    shell("jobs", "create", "update", BTC)
    result = shell("worker", "--once", "--json")
    assert answer(result, code=1) == {"taken": 1, "failed": 1}
