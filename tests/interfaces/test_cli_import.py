"""``ticklake import``: what it prints, what it returns."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ticklake.interfaces.cli.main import app

BARS = "date,open,high,low,close,volume\n2024-01-02 00:00,1,3,1,2,10\n2024-01-02 01:00,2,4,2,3,11\n"
DUMP = "1672531436,90.54,1.1\n1672531471,90.45,1.0\n1672531471,90.45,1.0\n"


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """Run commands in an empty folder."""
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()

    def run(*arguments: str) -> Result:
        return runner.invoke(app, ["import", *arguments])

    return run


def test_it_says_how_it_read_a_file_and_what_became_of_its_rows(shell):
    Path("BCHEUR.csv").write_text(DUMP)
    result = shell("BCHEUR.csv")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "BCHEUR.csv",
        "  csv, preset kraken-trades: ts=ts, price=price, amount=amount; unit=s; header=False",
        "  kraken:trades:BCH/EUR: 3 rows: 3 new, 0 changed, 0 already there, 0 quarantined, "
        "2023-01-01T00:03:56Z .. 2023-01-01T00:04:31Z",
        "  note: 1 identical prints without ids: real repeats, all are kept",
        "1 of 1 files are in: 3 of 3 rows are new",
    ]


def test_again_nothing_is_new(shell):
    Path("BCHEUR.csv").write_text(DUMP)
    shell("BCHEUR.csv")
    (again,) = json.loads(shell("BCHEUR.csv", "--json").stdout)
    assert (again["new"], again["duplicate"], again["refused"]) == (0, 3, False)


def test_a_dry_run_makes_no_lake(shell):
    Path("BCHEUR.csv").write_text(DUMP)
    result = shell("BCHEUR.csv", "--dry-run")
    assert "1 of 1 files can be read: nothing was saved" in result.stdout
    assert not Path("data").exists()


def test_naive_times_want_a_zone(shell):
    Path("bars.csv").write_text(BARS)
    refused = shell("bars.csv", "--dataset", "nyse:ohlcv:1h:AAPL/USD")
    assert refused.exit_code == 1
    assert "refused: column 'date' has times like '2024-01-02 00:00' without a zone" in refused.stdout
    done = shell("bars.csv", "--dataset", "nyse:ohlcv:1h:AAPL/USD", "--zone", "America/New_York", "--json")
    assert json.loads(done.stdout)[0]["first"] == "2024-01-02T05:00:00Z"


def test_everything_can_be_overruled(shell):
    text = "x;y\ndd/mm;2;buyers\n02/01/2024 10:00;50000;achat;7\n"
    Path("odd.txt").write_text(text)
    done = shell(
        *("odd.txt", "--dataset", "bourse:trades:AIR/EUR", "--skip", "2", "--no-header", "--zone", "Europe/Paris"),
        *("--columns", "ts=0,price=1,side=2,amount=3", "--time-format", "%d/%m/%Y %H:%M", "--side", "achat=buy"),
        *("--price-scale", "1000", "--json"),
    )
    (row,) = json.loads(done.stdout)
    assert (row["rows"], row["first"], row["problems"]) == (1, "2024-01-02T09:00:00Z", [])


def test_a_folder_is_walked_and_what_cannot_be_read_is_refused_alone(shell):
    folder = Path("dump/q1")
    folder.mkdir(parents=True)
    (folder / "BCHEUR.csv.gz").write_bytes(gzip.compress(DUMP.encode()))
    (folder / "broken.csv").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    (folder / ".hidden").write_text("x")
    result = shell("dump")
    assert result.exit_code == 3
    assert "refused: it is a git-LFS pointer" in result.stdout
    assert "1 of 2 files are in: 3 of 3 rows are new" in result.stdout


def test_a_file_that_does_not_say_what_it_is_is_asked_for(shell):
    Path("bars.csv").write_text(BARS)
    result = shell("bars.csv", "--zone", "UTC")
    assert result.exit_code == 2
    assert (
        "the exchange and the symbol and the timeframe are not known: name the dataset with dataset=" in result.stderr
    )


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--preset", "nobody"), "there is no preset 'nobody'"),
        (("--columns", "ts"), "is no pair"),
        (("--columns", "tz=Date"), "no kind has a column 'tz'"),
        (("--unit", "h"), "unit 'h' is not a unit"),
        (("--dataset", "nonsense"), "is not a dataset"),
    ],
)
def test_bad_use_is_exit_code_two(shell, arguments, reason):
    Path("BCHEUR.csv").write_text(DUMP)
    result = shell("BCHEUR.csv", *arguments)
    assert result.exit_code == 2, result.stdout
    assert reason in result.stderr


def test_a_file_that_is_not_there_is_refused(shell):
    result = shell("nowhere.csv")
    assert result.exit_code == 1
    assert "refused: there is no such file" in result.stdout


def test_it_is_a_run_with_its_notes(shell):
    Path("BCHEUR.csv").write_text(DUMP)
    shell("BCHEUR.csv")
    shown = CliRunner().invoke(app, ["runs", "1"]).stdout
    assert "import" in shown
    assert "identical prints" in shown


def test_the_exchange_of_a_folder_of_symbols_is_said_once(shell):
    Path("old").mkdir()
    for symbol in ("BTC_USDT", "ETH_USDT"):
        Path(f"old/{symbol}-1h.json").write_text("[[1704153600000, 1, 3, 1, 2, 10.5]]")
    nameless = shell("old")
    assert nameless.exit_code == 2
    assert "the exchange is not known" in nameless.stderr
    done = json.loads(shell("old", "--exchange", "okx", "--json").stdout)
    assert [one["dataset"] for one in done] == ["okx:ohlcv:1h:BTC/USDT", "okx:ohlcv:1h:ETH/USDT"]


@pytest.mark.parametrize("dry", [("--dry-run",), ()])
def test_the_lake_in_a_folder_that_is_imported_is_passed_over(shell, dry):
    """What a first import made lies in ./data: importing '.' again took catalog and segments for files of others."""
    Path("BCHEUR.csv").write_text(DUMP)
    assert shell(".").exit_code == 0
    again = shell(".", "--json", *dry)
    assert again.exit_code == 0
    assert [one["path"] for one in json.loads(again.stdout)] == ["BCHEUR.csv"]
