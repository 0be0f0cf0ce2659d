"""The doctor: each thing that can be wrong is said in one line, with what helps."""

from __future__ import annotations

import json
import platform
import re
import time
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ticklake.app import LIMITS_FILE, open_lake
from ticklake.config import Settings, load_settings
from ticklake.core.time import DAY, HOUR, SECOND
from ticklake.interfaces.cli.main import app
from ticklake.interfaces.doctor import contents, exchanges, machine
from ticklake.interfaces.doctor.findings import State
from ticklake.storage.file_systems import FileSystem
from ticklake.testing.rows import bars

BTC = "binance:ohlcv:1m:BTC/USDT"


@pytest.fixture
def lake(lake_at, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lake = lake_at()
    lake.save(BTC, bars(0, 3))
    return lake


def examined(*arguments):
    """What the command finds by check, and its exit code."""
    done = CliRunner().invoke(app, ["doctor", "--json", "--lake", "lake", *arguments])
    found = {}
    for finding in json.loads(done.stdout):
        found.setdefault(finding["check"], []).append(finding)
    return found, done.exit_code


def states(findings):
    return [(finding.check, finding.state) for finding in findings]


def test_a_sound_lake_has_nothing_wrong(lake, tmp_path):
    lake.backup(tmp_path / "copy")
    done = CliRunner().invoke(app, ["doctor", "--offline", "--lake", "lake"])
    assert done.exit_code == 0, done.output
    *lines, last = done.stdout.splitlines()
    assert last.startswith("0 wrong")
    assert {line.split()[1] for line in lines} >= {
        "versions",
        "settings",
        "extras",
        "disk",
        "catalog",
        "backup",
        "jobs",
    }
    assert sorted(path.name for path in (tmp_path / "lake").iterdir() if path.name.startswith(".")) == []


def test_a_lake_that_is_not_there_is_wrong_and_is_not_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found, code = examined("--offline")
    assert code == 1
    assert found["lake"][0]["state"] == "wrong"
    assert "ticklake init" in found["lake"][0]["cure"]
    assert not (tmp_path / "lake").exists()


def test_each_setting_that_does_not_exist_is_named(lake, tmp_path, monkeypatch):
    (tmp_path / "ticklake.toml").write_text("lakes = 'x'\n[jobs]\nleese = 3\n")
    monkeypatch.setenv("TICKLAKE_OLD_NAME", "1")
    found, code = examined("--offline")
    assert code == 1
    texts = [finding["text"] for finding in found["settings"]]
    assert any(text.startswith("lakes: there is no such key") for text in texts)
    assert any(text.startswith("jobs.leese: there is no such key") for text in texts)
    assert any(text.startswith("TICKLAKE_OLD_NAME is set") for text in texts)


def test_a_file_with_secrets_that_others_may_read_is_wrong(lake, tmp_path):
    config = tmp_path / "ticklake.toml"
    config.write_text('[exchanges.binance]\napi_key = "S3cr3t"\n')
    config.chmod(0o644)
    found, code = examined("--offline")
    assert code == 1
    assert found["permissions"][0]["cure"] == f"chmod 600 {config}"
    assert "S3cr3t" not in json.dumps(found)
    config.chmod(0o600)
    assert examined("--offline")[1] == 0


def test_a_catalog_that_anybody_may_write_is_a_warning(lake):
    (lake.root / "catalog.db").chmod(0o666)
    [finding] = machine.permissions(lake.root, "catalog.db", Path("none"), Settings())
    assert (finding.state, finding.cure) == (State.WARNING, f"chmod o-w {lake.root / 'catalog.db'}")


@pytest.mark.parametrize(
    ("kind", "options", "state"),
    [
        ("nfs4", (), State.WRONG),
        ("fuse.sshfs", (), State.WRONG),
        ("overlay", (), State.WARNING),
        ("tmpfs", (), State.WARNING),
        ("ext4", ("nobarrier",), State.WRONG),
    ],
)
def test_a_file_system_on_which_a_lake_is_not_safe_is_said(tmp_path, kind, options, state):
    findings = list(machine.durability(tmp_path, FileSystem(kind, "/mnt", frozenset(options))))
    assert findings[0].check == "file system"
    assert findings[0].state == state
    assert findings[0].cure


def test_too_little_space_is_wrong(tmp_path):
    [finding] = machine.disk(tmp_path, Settings(min_free="100000 GiB"))
    assert finding.state == State.WRONG
    assert "min_free" in finding.text


def test_a_file_system_with_another_time_is_wrong(tmp_path):
    [finding] = machine.clock_of_files(tmp_path, time.time_ns() - 60 * SECOND)
    assert finding.state == State.WRONG
    assert list(tmp_path.iterdir()) == []


def test_an_extra_that_the_settings_need_is_missed(monkeypatch):
    monkeypatch.setattr(machine, "find_spec", lambda name: None)
    settings = Settings(alerts={"urls": ["json://localhost"]}, exchanges={"nyse": {"calendar": "XNYS"}})
    found = list(machine.extras(settings))
    assert [finding.cure for finding in found if finding.state is State.WRONG] == [
        "pip install 'ticklake[alerts]'",
        "pip install 'ticklake[equities]'",
    ]


def test_a_package_that_is_too_old_is_named(monkeypatch):
    monkeypatch.setattr(machine, "requires", lambda _name: ["polars>=999.0", "no-such>=1", "x>=2; extra == 'y'"])
    [finding] = machine.versions()
    assert finding.state == State.WRONG
    assert re.fullmatch(
        r"too old: polars .* \(999.0 is needed\), no-such is not installed \(1 is needed\)", finding.text
    )


def test_every_extra_of_users_is_looked_for():
    declared = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert set(machine.EXTRAS) == set(declared["optional-dependencies"]) - {"test", "coverage", "docs", "lint"}


def test_an_old_backup_and_none_are_warnings(lake, tmp_path):
    assert states(contents.backups(lake)) == [("backup", State.WARNING)]
    lake.backup(tmp_path / "copy")
    assert states(contents.backups(lake)) == [("backup", State.OK)]
    with open_lake(lake.root, clock=lambda: time.time_ns() + 8 * DAY) as later:
        [finding] = contents.backups(later)
        assert (finding.state, finding.text) == (State.WARNING, "the last one was 8 days ago")


def test_stale_datasets_are_named(lake):
    run = lake.runs.create("stream", "", {"datasets": [BTC]})
    lake.runs.finish(run.id)
    [finding] = contents.freshness(lake)
    assert (finding.state, finding.text) == (State.WARNING, f"1 stale of 1 dataset: {BTC}")


def test_a_job_without_a_worker_is_a_warning(lake):
    lake.jobs.create("compact")
    assert states(contents.jobs(lake)) == [("jobs", State.OK)]
    with open_lake(lake.root, clock=lambda: time.time_ns() + HOUR) as later:
        [finding] = contents.jobs(later)
        assert "due for 60 minutes" in finding.text
        assert "ticklake daemon" in finding.cure


def test_a_job_whose_worker_died_is_named(lake):
    lake.jobs.create("compact")
    job = lake.jobs.queue.claim("elsewhere/1/x")
    with open_lake(lake.root, clock=lambda: time.time_ns() + 5 * 60 * SECOND) as later:
        [finding] = contents.jobs(later)
    assert finding.text == f"1 job lost the worker: {job.id} (compact all datasets)"


def test_a_run_of_a_dead_process_is_a_warning(lake, monkeypatch):
    monkeypatch.setattr("ticklake.catalog.runs.this_process", lambda: f"{platform.node()}/{2**22 + 1}/x")
    run = lake.runs.create("backtest", "BTC/USDT")
    monkeypatch.undo()
    [finding] = contents.runs(lake)
    assert finding.text == "1 run ended with a process that died: marked as killed now"
    assert lake.runs.get(run.id).state == "killed"
    assert states(contents.runs(lake)) == [("runs", State.OK)]


def test_a_clock_behind_the_newest_commit_is_wrong(lake):
    with open_lake(lake.root, clock=lambda: time.time_ns() - DAY) as earlier:
        findings = list(contents.catalog(earlier))
    assert (findings[0].check, findings[0].state) == ("clock", State.WRONG)
    assert "23 hours in the future" in findings[0].text


def test_exchanges_are_asked_for_their_time(market, serve, lake_at, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    exchange = serve(market, "2024-01-05")
    lake = lake_at(exchange)
    lake.backfill("binance", "BTC/USDT", "1h", start="2024-01-01", end="2024-01-02")
    assert exchanges.used_by(lake) == ["binance"]
    monkeypatch.setenv("TICKLAKE_EXCHANGE_URL", exchange.url)
    found, code = examined()
    # The simulated exchange lives in 2024: this machine's clock is far ahead of it.
    assert code == 1
    [finding] = found["binance"]
    assert finding["state"] == "wrong"
    assert "this clock is +" in finding["text"]
    assert "binance" not in examined("--offline")[0]


def test_an_exchange_that_does_not_answer_is_wrong(monkeypatch):
    monkeypatch.setenv("TICKLAKE_EXCHANGE_URL", "http://127.0.0.1:9")
    [finding] = exchanges.reached(["binance"], load_settings())
    assert finding.state == State.WRONG
    assert "no answer" in finding.text


def test_a_pause_that_an_exchange_asked_for_is_said(tmp_path):
    settings = Settings(state=str(tmp_path))
    from ticklake.sources.pacing.ledger import Ledger

    ledger = Ledger(tmp_path / LIMITS_FILE)
    ledger.pause("binance", 60_000, time.time_ns() // 1_000_000, is_ban=True)
    ledger.close()
    [finding] = exchanges.reached([], settings)
    assert (finding.check, finding.state) == ("rate limits", State.WARNING)
    assert finding.text.startswith("binance has banned this address until ")
