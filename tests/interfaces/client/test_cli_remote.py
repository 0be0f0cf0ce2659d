"""Every command of the shell, with the address of a server as its lake: it works, or one line says what to do instead."""

import logging
from pathlib import Path

import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from tests.interfaces.api.conftest import running
from ticklake.app import open_lake
from ticklake.config import ServerSettings
from ticklake.errors import TicklakeWarning
from ticklake.interfaces.cli.main import app
from ticklake.interfaces.cli.remote import SERVED
from ticklake.testing.rows import bars

ROOT = Path(__file__).parents[3]
BARS = "x:ohlcv:1m:BTC/USDT"
WORDS = {
    "backfill": ["x", "BTC/USDT", "-t", "1m"],
    "ingest": ["x", "BTC/USDT", "-t", "1m"],
    "instruments": ["x"],
    "stream": ["binance", "BTC/USDT"],
    "replay": ["capture.zst"],
    "import": ["bars.csv", "-d", BARS],
    "import-lake": ["."],
    "export": ["out", "--layout", "hive"],
    "read": [BARS],
    "frame": ["x", "BTC/USDT", "-t", "1m"],
    "panel": ["x", "BTC/USDT", "-t", "1m"],
    "sql": ["select 1"],
    "resample": [BARS, "--to", "1h"],
    "book": ["x", "BTC/USDT"],
    "estimate": [BARS],
    "backup": ["copy"],
    "delete": ["x:trades:A/B", "--yes"],
    "drop": ["x:trades:A/B", "--yes"],
    "rename": ["x:trades:A/B", "x:trades:B/C"],
    "repair": [BARS],
    "derive add": ["hours", "--from", "x:trades:*", "--to", "1h"],
    "derive drop": ["hours"],
    "features describe": ["momentum@v1"],
    "features register": ["momentum@v2", "--column", "ret"],
    "features read": ["momentum@v1"],
    "features write": ["momentum@v1", "values.csv"],
    "features materialise": ["momentum@v1", "math:fsum", "x", "BTC/USDT", "--every", "1h"],
    "features verify": ["momentum@v1", "math:fsum"],
    "features diff": ["momentum@v1", "momentum@v1"],
    "features join": ["values.csv", "--feature", "momentum@v1"],
    "features lineage": ["momentum@v1"],
    "features deprecate": ["momentum@v1"],
    "features delete": ["momentum@v1", "--yes"],
    "jobs show": ["1"],
    "jobs create": ["compact"],
    "jobs start": ["1"],
    "jobs cancel": ["1"],
    "schedule add": ["tidy", "compact", "--every", "1h"],
    "schedule pause": ["tidy"],
    "schedule resume": ["tidy"],
    "schedule remove": ["tidy"],
    "runs show": ["1"],
    "runs tail": ["1"],
    "token create": ["anna", "--role", "read"],
    "token revoke": ["anna"],
}
"""What a command needs beside the lake."""


def commands(command, path=()):
    if hasattr(command, "commands"):
        for name, part in command.commands.items():
            yield from commands(part, (*path, name))
    elif path == ("init",) or any("--lake" in option.opts for option in command.params):
        yield " ".join(path)


ALL = list(commands(typer.main.get_command(app)))


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with open_lake(tmp_path_factory.mktemp("served") / "lake") as lake:
        lake.save(BARS, bars(0, 3))
        with pytest.warns(TicklakeWarning):
            lake.save(BARS, bars(3, 4).with_columns(high=pl.lit(-1.0)))
        lake.features.register("momentum", "v1", ["ret"])
        with running(lake, ServerSettings(port=0)) as url:
            yield url


@pytest.fixture
def shell(tmp_path, monkeypatch):
    (tmp_path / "bars.csv").write_text("ts,open,high,low,close,volume\n2024-01-02T00:00:00Z,1,2,0.5,1.5,10\n")
    (tmp_path / "values.csv").write_text("ts,symbol,exchange,ret\n2024-01-02T00:00:00Z,BTC/USDT,x,1\n")
    monkeypatch.chdir(tmp_path)
    # The server is in this process: another test may have told it to log to standard error.
    for name in ("ticklake", "uvicorn.error", "py.warnings"):
        monkeypatch.setattr(logging.getLogger(name), "handlers", [])
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
    return lambda *words: CliRunner().invoke(app, list(words))


@pytest.mark.parametrize("command", ALL)
def test_works_or_says_in_one_line_what_to_do(shell, url, tmp_path, command):
    place = [url] if command == "init" else ["--lake", url]
    done = shell(*command.split(), *WORDS.get(command, []), *place)
    lines = done.stderr.splitlines()
    assert isinstance(done.exception, SystemExit | None), done.exception
    assert done.exit_code in (0, 2)
    if done.exit_code:
        assert len(lines) == 1
        assert "has no engine" not in lines[0]
    assert (f"'ticklake {command}' does not work on a lake that is served elsewhere: " in done.stderr) == (
        command not in SERVED
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bars.csv", "values.csv"]


def test_each_command_that_is_said_to_work_is_there():
    assert set(ALL) >= SERVED


def test_the_commands_that_work_are_documented():
    page = (ROOT / "docs" / "how-to" / "share-a-lake.md").read_text()
    # The other name of backfill is for older scripts alone.
    assert {name for name in SERVED if f"`{name}`" not in page} == {"ingest"}


def test_the_lake_of_the_settings_counts(shell, monkeypatch):
    monkeypatch.setenv("TICKLAKE_LAKE", "http://127.0.0.1:9")
    refused = shell("daemon")
    assert refused.exit_code == 2
    assert "'ticklake serve --collect' does it, where the lake is" in refused.stderr


def test_refused_rows_are_counted(shell, url):
    counted = shell("quarantine", "--lake", url)
    assert "1 row refused" in counted.stdout


def test_what_was_saved_is_not_updated_by_name(shell, url):
    named = shell("update", BARS, "--lake", url)
    assert (named.exit_code, "was never asked for" in named.stdout) == (1, True)
    everything = shell("update", "--lake", url)
    assert "there was nothing to bring up to now" in everything.stdout


def test_code_of_features_is_not_sent(shell, url):
    refused = shell("features", "register", "other@v1", "--column", "ret", "--code", "math:fsum", "--lake", url)
    assert refused.exit_code == 2
    assert "is never sent to a server" in refused.stderr
