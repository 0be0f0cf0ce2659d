"""The shell: what it prints, what it returns, how it fails."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from ticklake.app import open_lake
from ticklake.core.streams import StreamRequest
from ticklake.interfaces.cli import demo
from ticklake.interfaces.cli.main import app
from ticklake.interfaces.schema import to_json

NOW = "2024-01-06"


@pytest.fixture
def shell(tmp_path, market, serve, monkeypatch):
    """Run commands on an empty folder against a simulated exchange."""
    exchange = serve(market, NOW)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TICKLAKE_EXCHANGE_URL", exchange.url)
    monkeypatch.setenv("TICKLAKE_ARCHIVES", "false")
    for name in ("BINANCE", "KRAKEN"):
        monkeypatch.setenv(f"TICKLAKE_EXCHANGES__{name}__RATE_LIMIT_MS", "1")
    monkeypatch.setenv("TICKLAKE_RETRY__FIRST_WAIT", "0.01")
    monkeypatch.setenv("TICKLAKE_RETRY__LONGEST_WAIT", "0.05")
    runner = CliRunner()

    def run(*arguments: str) -> Result:
        return runner.invoke(app, list(arguments))

    run.exchange = exchange
    return run


DAY = ("--start", "2024-01-02", "--end", "2024-01-03")
BARS = ("binance", "BTC/USDT", "--timeframe", "1m")
QUIET = ("binance", "ETH/USDT", "--timeframe", "1m")


def ingested(shell, *what: str) -> dict:
    result = shell("ingest", *(what or (*BARS, *DAY)), "--json")
    return json.loads(result.stdout)


class TestIngest:
    def test_it_says_what_it_did_and_returns_zero(self, shell):
        result = shell("ingest", "binance", "BTC/USDT", "--timeframe", "1h", *DAY)
        assert result.exit_code == 0
        assert "run 1 succeeded: 24 new, 0 changed, 0 already there; nothing is missing" in result.stdout

    def test_again_it_says_that_nothing_was_new(self, shell):
        ingested(shell)
        again = ingested(shell)
        assert again["state"] == "succeeded"
        assert again["outcome"].startswith("0 new")

    def test_gaps_that_remain_are_exit_code_3(self, shell):
        result = shell("ingest", "kraken", "BTC/USD", "--timeframe", "1m", "--start", "2024-01-02")
        assert result.exit_code == 3
        assert "unavailable" in result.stdout
        assert "ticklake gaps" in result.stdout

    def test_a_failure_is_exit_code_1(self, shell):
        ingested(shell)
        shell.exchange.faults = shell.exchange.faults.changed({"error_every": 1})
        result = shell("ingest", *BARS, "--start", "2024-01-02", "--end", "2024-01-04")
        assert result.exit_code == 1
        assert "503" in result.stdout

    def test_a_dry_run_prints_the_plan_and_makes_no_lake(self, shell, tmp_path):
        shell("init")
        result = shell("ingest", "binance", "BTC/*", "--timeframe", "1m", *DAY, "--dry-run")
        assert result.exit_code == 0
        assert "binance:ohlcv:1m:BTC/USDT: 2 pages" in result.stdout
        assert "fetch 2024-01-02T00:00:00Z .. 2024-01-03T00:00:00Z" in result.stdout
        assert "nothing was fetched" in result.stdout
        assert json.loads(shell("list", "--json").stdout) == []

    def test_symbols_option_and_all_quote_choose_many(self, shell):
        hours = ("--timeframe", "1h", *DAY)
        assert ingested(shell, "binance", "--symbols", "ETH/*", *hours)["new"] == 48
        assert ingested(shell, "binance", "--all-quote", "USDT", *hours)["new"] == 24

    def test_other_kinds_are_fetched(self, shell):
        assert ingested(shell, "binance", "BTC/USDT:USDT", "--kind", "funding", *DAY)["new"] == 3
        assert ingested(shell, "binance", "BTC/USDT", "--kind", "book", "--depth", "5")["new"] == 10

    def test_interrupted_it_returns_130_and_goes_on_later(self, shell, tmp_path):
        shell.exchange.faults = shell.exchange.faults.changed({"timeout_every": 8, "timeout_seconds": 30})
        command = [sys.executable, "-m", "ticklake", "ingest", *BARS, "--start", "2024-01-01", "--end", "2024-01-05"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
        deadline = time.monotonic() + 30
        while not any(r.fault == "timeout" for r in shell.exchange.requests) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 130
        assert "goes on from there" in errors
        assert "Traceback" not in errors
        shell.exchange.faults = shell.exchange.faults.changed({"timeout_every": 0})
        run = json.loads(shell("runs", "--json").stdout)[0]
        assert run["state"] == "cancelled"
        done = ingested(shell, *BARS, "--start", "2024-01-01", "--end", "2024-01-05")
        assert done["state"] == "succeeded"


class TestAnswers:
    def test_list_shows_rows_bytes_and_times(self, shell):
        ingested(shell)
        (row,) = json.loads(shell("list", "--json").stdout)
        assert row["dataset"] == "binance:ohlcv:1m:BTC/USDT"
        assert row["first"] == "2024-01-02T00:00:00Z"
        assert row["rows"] > 1_400
        assert "2024-01-02T00:00:00Z" in shell("list", "--search", "BTC").stdout
        assert "binance" not in shell("list", "--search", "DOGE").stdout

    def test_list_as_json_is_the_inventory(self, shell):
        ingested(shell)
        (row,) = json.loads(shell("list", "--json").stdout)
        with open_lake(json.loads(shell("init", "--json").stdout)["lake"]) as lake:
            assert to_json(lake.inventory()) == [row]
        assert (row["exchange"], row["symbol"], row["kind"], row["timeframe"]) == (
            "binance",
            "BTC/USDT",
            "ohlcv",
            "1m",
        )
        assert json.loads(shell("list", "--json", "--search", "DOGE").stdout) == []

    def test_a_table_says_how_much_it_leaves_out(self, shell):
        rows = ingested(shell)["new"]
        result = shell("read", *BARS, "--format", "table", "--limit", "6")
        assert f"{rows:,} rows, {rows - 6:,} not shown" in result.stdout
        assert "..." in result.stdout
        assert "not shown" not in shell("read", *BARS, "--format", "table", "--limit", "0").stdout

    @pytest.mark.parametrize("form", ["csv", "json", "ndjson", "parquet", "arrow"])
    def test_every_format_holds_every_row(self, form, shell, tmp_path):
        rows = ingested(shell)["new"]
        target = tmp_path / f"out.{form}"
        written = shell("read", *BARS, "--output", str(target))
        readers = {"csv": pl.read_csv, "json": pl.read_json, "ndjson": pl.read_ndjson, "parquet": pl.read_parquet}
        back = readers.get(form, pl.read_ipc)(target)
        piped = shell("read", *BARS, "--format", form)
        assert f"{rows:,} rows written" in written.stdout
        assert back.height == rows
        assert piped.stdout_bytes == target.read_bytes()
        if form in {"csv", "json", "ndjson"}:
            assert back["ts"][0] == "2024-01-02T00:00:00Z"

    def test_output_that_is_piped_is_csv(self, shell):
        ingested(shell)
        first = shell("read", *BARS, "--last", "3", "--columns", "ts,close").stdout
        assert first.splitlines()[0] == "ts,close"
        assert pl.read_csv(io.StringIO(first)).height == 3

    def test_gaps_are_listed_with_their_reason_and_quiet_minutes_are_not_missing(self, shell):
        ingested(shell, *QUIET, *DAY)
        result = shell("gaps", *QUIET)
        assert result.exit_code == 0
        assert "no_trades" in result.stdout
        holes = json.loads(shell("gaps", *QUIET, "--json").stdout)
        assert {hole["reason"] for hole in holes} == {"no_trades"}

    def test_no_gaps_is_said_and_zero(self, shell):
        ingested(shell, "binance", "BTC/USDT", "--timeframe", "1h", *DAY)
        result = shell("gaps")
        assert (result.exit_code, result.stdout.strip()) == (0, "nothing is missing")

    def test_runs_are_kept_with_parameters_and_outcome(self, shell):
        ingested(shell)
        run = json.loads(shell("runs", "1", "--json").stdout)
        assert run["parameters"]["datasets"] == ["binance:ohlcv:1m:BTC/USDT"]
        assert run["progress"]["received"] == run["progress"]["new"]
        assert "succeeded" in shell("runs").stdout
        assert json.loads(shell("runs", "--state", "failed", "--json").stdout) == []

    def test_exchanges_and_symbols_are_listed(self, shell):
        found = json.loads(shell("exchanges", "kraken", "--json").stdout)
        assert "trades" in found["kraken"]
        assert "funding" not in found["kraken"]
        assert found["kraken"]["ohlcv"] == "newest 720 only"
        assert "ohlcv: needs a key (apiKey, secret)" in shell("exchanges", "luno").stdout
        listed = json.loads(shell("symbols", "binance", "--search", "BTC", "--json").stdout)
        assert [row["symbol"] for row in listed] == ["BTC/USDT", "BTC/USDT:USDT"]

    def test_what_proves_the_streams_of_an_exchange_is_listed(self, shell):
        found = json.loads(shell("exchanges", "kraken", "--proof", "--json").stdout)
        assert list(found) == ["kraken", "krakenfutures"]
        assert found["kraken"]["book"]["by"] == "checksum"
        assert "ten best levels" in shell("exchanges", "kraken", "--proof").stdout

    def test_the_past_can_be_read(self, shell):
        ingested(shell)
        version = json.loads(shell("init", "--json").stdout)["version"]
        ingested(shell, *BARS, "--start", "2024-01-03", "--end", "2024-01-04")
        now = json.loads(shell("read", *BARS, "--json").stdout)
        then = json.loads(shell("read", *BARS, "--json", "--at", str(version)).stdout)
        assert len(then) < len(now)


class TestKeeping:
    def test_a_lake_is_compacted_verified_backed_up_rebuilt_and_vacuumed(self, shell, tmp_path):
        rows = ingested(shell)["new"]
        assert "2 -> 1" in shell("compact").stdout
        assert shell("verify", "--deep").exit_code == 0
        assert "1 files copied" in shell("backup", str(tmp_path / "copy")).stdout
        assert "0 files copied" in shell("backup", str(tmp_path / "copy")).stdout
        assert "2 old segments" in shell("vacuum", "--keep-days", "0").stdout
        (tmp_path / "data" / "catalog.db").unlink()
        assert f"{rows:,} rows" in shell("rebuild").stdout
        for lake in ("data", "copy"):
            assert json.loads(shell("list", "--lake", lake, "--json").stdout)[0]["rows"] == rows

    def test_verify_names_a_damaged_file_and_returns_1(self, shell, tmp_path):
        ingested(shell)
        shell("compact")
        (path,) = (tmp_path / "data" / "ohlcv").rglob("*.parquet")
        path.write_bytes(path.read_bytes()[:-100])
        result = shell("verify")
        assert result.exit_code == 1
        assert path.name in result.stdout.replace("\n", "")

    def test_config_never_shows_a_secret(self, shell, monkeypatch):
        monkeypatch.setenv("TICKLAKE_EXCHANGES__BINANCE__API_KEY", "hunter2")
        result = shell("config", "--json")
        assert "hunter2" not in result.stdout
        assert json.loads(result.stdout)["exchanges"]["binance"]["api_key"] == "**********"

    def test_settings_come_from_the_file_then_the_environment_then_the_option(self, shell, tmp_path, monkeypatch):
        Path("ticklake.toml").write_text('lake = "from-file"\n')
        assert json.loads(shell("init", "--json").stdout)["lake"] == "from-file"
        monkeypatch.setenv("TICKLAKE_LAKE", "from-env")
        assert json.loads(shell("init", "--json").stdout)["lake"] == "from-env"
        assert json.loads(shell("init", "from-option", "--json").stdout)["lake"] == "from-option"


class TestRefusals:
    @pytest.mark.parametrize(
        ("command", "words"),
        [
            (("ingest", "binanse", "BTC/USDT", "-t", "1h"), ["binanse", "did you mean binance"]),
            (("ingest", "binance", "BTC/UST", "-t", "1h"), ["BTC/UST", "did you mean"]),
            (("ingest", "binance", "BTC/USDT", "-t", "1y"), ["1y", "1h"]),
            (("ingest", "binance", "BTC/USDT", "-t", "1h", "-s", "2024-02-01", "-e", "2024-01-01"), ["ends after"]),
            (("ingest", "binance", "BTC/USDT", "-t", "1h", "-s", "soon"), ["soon", "2024-01-31"]),
            (("ingest", "binance", "../../etc/passwd", "-t", "1h"), ["../../etc/passwd", "path step"]),
            (("ingest", "binance", "BTC/USDT", "--kind", "candles"), ["candles", "ohlcv"]),
            (("ingest", "binance"), ["no symbol"]),
            (("read", "binance", "../x", "-t", "1h"), ["../x"]),
            (("read", "binance", "DOGE/USDT", "-t", "1h"), ["DOGE/USDT", "ticklake list"]),
            (("read", "binance", "BTC/USDT", "-t", "1h", "--format", "xlsx"), ["no binance:ohlcv:1h:BTC/USDT"]),
            (("runs", "7"), ["no run 7"]),
            (("verify", "nonsense"), ["nonsense", "binance:ohlcv:1h:BTC/USDT"]),
        ],
    )
    def test_bad_input_is_one_line_with_the_cure_and_exit_code_2(self, command, words, shell):
        shell("init")
        result = shell(*command)
        text = " ".join(result.stderr.split())
        assert result.exit_code == 2
        assert text.startswith("error: ")
        assert result.stderr.count("\n") == 1
        assert all(word in text for word in words), text

    def test_reading_never_makes_a_lake(self, shell, tmp_path):
        for command in (("list",), ("read", "binance", "BTC/USDT", "-t", "1h"), ("gaps",), ("verify",), ("compact",)):
            result = shell(*command, "--lake", "nowhere")
            assert result.exit_code == 2
            assert "ticklake init" in result.stderr
        assert not (tmp_path / "nowhere").exists()

    def test_a_newer_catalog_is_refused_and_left_alone(self, shell, tmp_path):
        import sqlite3

        ingested(shell)
        with sqlite3.connect(tmp_path / "data" / "catalog.db") as catalog:
            catalog.execute("update meta set value = '99' where key = 'schema'")
        catalog.close()
        result = shell("list")
        assert result.exit_code == 1
        assert "99" in result.stderr
        assert "upgrade" in result.stderr

    def test_a_broken_pipe_is_no_error(self, shell, tmp_path):
        ingested(shell)
        command = (
            f"{sys.executable} -m ticklake read binance BTC/USDT -t 1m --format ndjson --lake {tmp_path}/data | head -1"
        )
        done = subprocess.run(command, shell=True, capture_output=True, text=True, env={**os.environ})
        assert done.stdout.count("\n") == 1
        assert done.stderr == ""


class TestSimulate:
    def test_it_serves_until_it_is_stopped(self, tmp_path):
        command = [sys.executable, "-m", "ticklake", "simulate", "--port", "0", "--fault", "error_every=1"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
        with process.stdout as lines:
            assert next(lines).startswith("listening on http://127.0.0.1:")
            assert any("export TICKLAKE_EXCHANGE_URL=http://127.0.0.1:" in line for line in lines)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0

    def test_a_live_market_runs_and_the_next_command_is_printed(self, tmp_path):
        command = [sys.executable, "-m", "ticklake", "simulate", "--port", "0", "--live"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
        with process.stdout as lines:
            year = time.strftime("%Y", time.gmtime())
            assert f"where it is {year}-" in next(lines)
            printed = ""
            while "ticklake stream" not in printed:
                printed += next(lines)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0
        assert "/stream.binance.com:9443" in printed
        assert "ticklake stream binance BTC/USDT" in printed

    def test_a_fault_that_is_none_is_refused(self, shell):
        result = shell("simulate", "--fault", "earthquake_every=3")
        assert result.exit_code == 2
        assert "earthquake_every" in result.stderr

    @pytest.mark.slow
    def test_the_demo_ends_with_rows_and_a_gap_report(self, shell, tmp_path, monkeypatch):
        monkeypatch.delenv("TICKLAKE_EXCHANGE_URL")
        # As much of the live market in less time.
        monkeypatch.setattr(demo, "LIVE_SECONDS", 1.5)
        monkeypatch.setattr(demo, "LIVE_SPEED", 100.0)
        result = shell("demo", "--lake", "demo")
        assert result.exit_code == 0, result.output
        assert "verify found 0 problems" in result.stdout
        assert "no_trades" in result.stdout
        assert "unavailable" in result.stdout
        monkeypatch.setattr(demo, "WISHES", {"kraken:ohlcv:1h:BTC/USD": 45})
        again = shell("demo", "--lake", "demo")
        assert again.exit_code == 0
        with open_lake(tmp_path / "demo") as lake:
            live = map(str, StreamRequest.of(*demo.LIVE).datasets_of("ETH/USDT"))
            assert sorted(map(str, lake.datasets())) == sorted([*demo.WISHES, *live])
            assert lake.load("binance:quotes:ETH/USDT").height > 100

    def test_the_demo_never_removes_a_folder_that_is_no_lake(self, shell, tmp_path):
        (tmp_path / "precious").mkdir()
        (tmp_path / "precious" / "thesis.txt").write_text("years of work")
        result = shell("demo", "--lake", "precious")
        assert result.exit_code == 2
        assert (tmp_path / "precious" / "thesis.txt").read_text() == "years of work"

    def test_the_demo_never_removes_a_lake_that_it_did_not_make(self, shell, tmp_path):
        shell("init", "mine")
        result = shell("demo", "--lake", "mine")
        assert result.exit_code == 2
        assert "mine was not made by the demo" in result.stderr
        assert (tmp_path / "mine" / "catalog.db").is_file()


class TestCleanup:
    def test_old_rows_go_after_a_dry_run_said_so(self, shell):
        rows = ingested(shell)["new"]
        said = shell("cleanup", "--days", "30", "--dry-run")
        assert f"would remove {rows:,} rows" in said.stdout
        done = json.loads(shell("cleanup", "--days", "30", "--history", "--json").stdout)
        assert (done["rows"], done["dry_run"]) == (rows, False)
        assert done["bytes"] == done["datasets"][0]["bytes"] > 0
        assert json.loads(shell("gaps", "--json").stdout) == []

    def test_the_setting_says_how_long_each_kind_is_kept(self, shell, monkeypatch):
        rows = ingested(shell)["new"]
        assert shell("cleanup").exit_code == 2
        monkeypatch.setenv("TICKLAKE_KEEP__TRADES", "30")
        assert json.loads(shell("cleanup", "--json").stdout)["rows"] == 0
        monkeypatch.setenv("TICKLAKE_KEEP__OHLCV", "30")
        done = shell("cleanup")
        assert f"removed {rows:,} rows" in done.stdout
        assert "ticklake vacuum" in done.stdout

    def test_what_cannot_be_kept_is_bad_use(self, shell):
        ingested(shell)
        assert shell("cleanup", "--days", "0").exit_code == 2
        result = shell("cleanup", "--days", "3", "--kind", "candles")
        assert result.exit_code == 2
        assert "candles" in result.stderr

    def test_a_disk_that_is_almost_full_is_one_line_and_exit_code_1(self, shell, monkeypatch):
        monkeypatch.setenv("TICKLAKE_MIN_FREE", "1000000 TiB")
        result = shell("ingest", *BARS, *DAY)
        assert result.exit_code == 1
        assert "are to stay free: to free some does not help, set min_free lower" in result.stderr.replace("\n", " ")
        assert "Traceback" not in result.output
