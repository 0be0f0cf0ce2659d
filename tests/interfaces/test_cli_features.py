"""The commands about feature sets."""

from __future__ import annotations

import json

import polars as pl
import pytest
from typer.testing import CliRunner

from ticklake.app import open_lake
from ticklake.config import Settings
from ticklake.errors import UnknownDataset
from ticklake.interfaces.cli.main import app

VALUES = """symbol,ts,known_at,ret,n,up,label,due
BTC/USDT,2024-01-01T00:00:00Z,2024-01-01T00:00:05Z,0.5,3,true,a,2024-01-02
BTC/USDT,2024-01-01T00:01:00Z,2024-01-01T00:01:00Z,,,,,
ETH/USDT,2024-01-01T00:01:00.5,2024-01-01T00:01:00.5,nan,4,False,b,
"""
COLUMNS = ("ret:float64:1", "n:int64:count", "up:bool", "label:string", "due:time")
LEFT = "who,at\nBTC/USDT,2024-01-01T00:00:04Z\nBTC/USDT,2024-01-01T00:00:05Z\nX,2024-01-02\nETH/USDT,2024-01-02\n"


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TICKLAKE_LAKE", str(tmp_path / "lake"))
    runner = CliRunner()

    def call(*words):
        return runner.invoke(app, ["features", *words])

    return call


@pytest.fixture
def written(run, tmp_path):
    """Commands on a lake with a feature set that has three rows."""
    columns = [word for column in COLUMNS for word in ("--column", column)]
    assert run("register", "mom@v1", *columns, "--tag", "x", "--description", "a set").exit_code == 0
    (tmp_path / "values.csv").write_text(VALUES)
    assert run("write", "mom@1", "values.csv").stdout == "3 rows: 3 new, 0 changed, 0 there already, 0 refused\n"
    return run


def answer(result):
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_csv_is_read_by_the_declared_types(written):
    rows = answer(written("read", "mom@v1", "--json"))
    assert rows[0] == {
        "exchange": "any",
        "symbol": "BTC/USDT",
        "ts": "2024-01-01T00:00:00Z",
        "known_at": "2024-01-01T00:00:05Z",
        "ret": 0.5,
        "n": 3,
        "up": True,
        "label": "a",
        "due": "2024-01-02T00:00:00Z",
    }
    assert [row["ret"] for row in rows] == [0.5, None, None]
    assert answer(written("read", "mom@v1", "ETH/USDT", "--columns", "n,up", "--json"))[0]["up"] is False


@pytest.mark.parametrize("cell", ["x,3,true", "0.5,3.5,true", "0.5,9223372036854775808,true", "0.5,3,yes"])
def test_a_text_of_another_type_is_refused_with_its_column(written, tmp_path, cell):
    (tmp_path / "bad.csv").write_text(f"symbol,ts,ret,n,up\nA,2024-01-01,{cell}\n")
    refused = written("write", "mom@v1", "bad.csv")
    assert refused.exit_code == 2
    assert "which is no" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_times_of_csv_are_texts_years_or_nanoseconds(written, tmp_path):
    (tmp_path / "times.csv").write_text("symbol,ts\nA,2023\nA,1672531200000000001\n")
    assert written("write", "mom@v1", "times.csv").exit_code == 0
    times = [row["ts"] for row in answer(written("read", "mom@v1", "A", "--json"))]
    assert times == ["2023-01-01T00:00:00Z", "2023-01-01T00:00:00.000000001Z"]


def test_parquet_is_written_and_read(written, tmp_path):
    pl.DataFrame({"symbol": ["A"], "ts": [1704067200_000000000], "ret": [2.5]}).write_parquet(
        tmp_path / "values.parquet"
    )
    assert answer(written("write", "mom@v1", "values.parquet", "--exchange", "binance", "--json"))["new"] == 1
    assert written("read", "mom@v1", "A", "-o", "out.parquet").exit_code == 0
    assert pl.read_parquet(tmp_path / "out.parquet")["ret"].to_list() == [2.5]


def test_list_and_describe_answer_people_and_programs(written):
    (listed,) = answer(written("list", "--json"))
    assert (listed["name"], listed["version"], listed["rows"], listed["tags"]) == ("mom", "v1", 3, ["x"])
    assert "mom" in written("list").stdout
    described = answer(written("describe", "mom@v1", "--json"))
    assert described["features"]["columns"][0] == {"name": "ret", "dtype": "float64", "unit": "1", "description": ""}
    assert (described["state"], described["rows"], len(described["days"])) == ("active", 3, 5)
    assert "a set" in written("describe", "mom@v1").stdout
    assert "no feature set whose name" in written("list", "other").stdout


def test_a_join_keeps_every_row_of_the_file(written, tmp_path):
    (tmp_path / "left.csv").write_text(LEFT)
    words = ("join", "left.csv", "--feature", "mom@v1:n", "--at", "at", "--by", "who", "--json")
    assert [row["n"] for row in answer(written(*words))] == [None, 3, None, 4]
    assert [row["n"] for row in answer(written(*words, "--max-age", "1h"))] == [None, 3, None, None]
    assert [row["n"] for row in answer(written(*words, "--knowledge", "event"))] == [3, 3, None, 4]
    assert "momentun" in written("join", "left.csv", "--feature", "momentun@v1", "--at", "at", "--by", "who").stderr


FUNCTIONS = """
def moves(frame):
    closes = frame.bars["1m"]["close"]
    return None if len(closes) < 3 else {"move": closes[-1] - closes[-3], "bars": len(closes)}

def others(frame):
    return {"move": 0.0, "bars": 1}

def fails(frame):
    raise ZeroDivisionError("no\\nbars")

number = 3
"""


@pytest.fixture
def computed(run, tmp_path):
    """Commands beside a module, on a lake with bars and a feature set without values."""
    with open_lake(tmp_path / "lake", settings=Settings()) as lake:
        start = 1_706_659_200_000_000_000
        prices = pl.Series(range(100, 130), dtype=pl.Float64)
        columns = dict.fromkeys(("open", "high", "low", "close"), prices)
        times = [start + minute * 60_000_000_000 for minute in range(30)]
        lake.save("binance:ohlcv:1m:BTC/USDT", pl.DataFrame({"ts": times, **columns, "volume": 1.0}))
    (tmp_path / "cli_features_functions.py").write_text(FUNCTIONS)
    assert run("register", "move@v1", "--column", "move", "--column", "bars:int64").exit_code == 0
    return run


MOVES = ("move@v1", "cli_features_functions:moves")
SPAN = ("--start", "2024-01-31", "--end", "2024-01-31T00:30")


def test_a_function_of_a_module_is_materialised_and_verified(computed):
    words = ("materialise", *MOVES, "binance", "BTC/USDT", "--every", "5m", *SPAN, "--option", "window=4m")
    done = answer(computed(*words, "--json"))
    assert (done["instants"], done["new"], done["without_row"]) == (6, 5, 1)
    assert "6 instants: 0 computed, 6 there already" in computed(*words).stdout
    assert [row["bars"] for row in answer(computed("read", "move@v1", "--json"))] == [4] * 5
    assert "5 rows compared: 5 equal, 0 different" in computed("verify", *MOVES, "--day", "2024-01-31").stdout
    different = computed("verify", "move@v1", "cli_features_functions:others", "--json")
    assert (different.exit_code, json.loads(different.stdout)["changed"]) == (3, 5)
    assert "cli_features_functions:moves" in computed("lineage", "move@v1").stdout


def test_what_is_no_function_is_refused(computed):
    refused = computed("verify", "move@v1", "cli_features_functions:number")
    assert (refused.exit_code, "is no function" in refused.stderr) == (2, True)


def test_versions_are_compared_and_differences_are_exit_code_3(written, tmp_path):
    written("register", "mom@v2", "--column", "ret")
    (tmp_path / "more.csv").write_text("symbol,ts,ret\nBTC/USDT,2024-01-01,0.75\n")
    written("write", "mom@v2", "more.csv")
    compared = written("diff", "mom@v1", "mom@v2", "--json")
    assert (compared.exit_code, json.loads(compared.stdout)["columns"]) == (3, {"ret": 1})
    assert "0 rows equal, 0 added, 2 removed, 1 changed" in written("diff", "mom@v1", "mom@v2").stdout
    assert written("diff", "mom@v1", "--at", "1", "--at", "1", "--json").exit_code == 0
    assert written("diff", "mom@v1").exit_code == 2


def test_lineage_says_who_wrote(written):
    assert [row["source"] for row in answer(written("lineage", "mom@v1", "--json"))] == ["user", "user"]
    assert "any:mom@v1:BTC/USDT" in written("lineage", "mom@v1").stdout


def test_use_of_a_deprecated_set_is_a_warning_in_one_line(written):
    assert answer(written("deprecate", "mom@v1", "--json")) == {"features": "mom@v1", "state": "deprecated"}
    read = written("read", "mom@v1", "--json")
    assert (read.exit_code, len(json.loads(read.stdout))) == (0, 3)
    assert read.stderr == "warning: mom@v1 is deprecated: use another version\n"


def test_a_set_is_deleted_after_a_question(written):
    assert written("delete", "mom@v1").exit_code == 2
    assert answer(written("delete", "mom@v1", "--dry-run", "--json")) == {
        "features": "mom@v1",
        "rows": 3,
        "dry_run": True,
    }
    assert "removed mom@v1 with 3 rows" in written("delete", "mom@v1", "--yes").stdout
    assert answer(written("list", "--json")) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("read", "../x"), "has no version"),
        (("read", "../x@v1"), "cannot name features"),
        (("read", "mom@v9"), "did you mean 'mom@v1'"),
        (("write", "mom@v1", "nowhere.csv"), "cannot be read"),
        (("verify", "mom@v1", "os:nope"), "cannot be found"),
        (("verify", "mom@v1", "nope"), "names no function"),
        (("verify", "mom@v1", "..nope:x"), "cannot be found"),
        (("register", "mom@v1", "--column", "x"), "registered with other"),
        (("materialise", "mom@v1", "math:sqrt", "x", "A", "--every", "1m", "--option", "x"), "has no value"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(written, words, message):
    refused = written(*words)
    assert refused.exit_code == 2
    assert message in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_an_error_of_the_function_is_one_line_that_names_it_and_the_instant(computed):
    words = ("materialise", "move@v1", "cli_features_functions:fails", "binance", "BTC/USDT", "--every", "5m", *SPAN)
    for more in ((), ("--json",)):
        failed = computed(*words, *more)
        assert (failed.exit_code, failed.stdout) == (1, "")
        (line,) = failed.stderr.splitlines()
        assert line == (
            "error: cli_features_functions:fails raised ZeroDivisionError for move@v1 of BTC/USDT at 2024-01-31T00:00:00Z: "
            "no bars; what was committed before is kept"
        )


def test_a_module_that_cannot_be_imported_is_one_line(computed, tmp_path):
    (tmp_path / "cli_features_broken.py").write_text("1 / 0\n")
    refused = computed("verify", "move@v1", "cli_features_broken:f")
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert "cannot be imported (ZeroDivisionError: division by zero)" in refused.stderr


def test_materialising_says_what_to_type(computed):
    words = ("materialise", "moves@v7", "cli_features_functions:moves", "binance", "BTC/USDT", "--every", "5m")
    assert "did you mean 'move@v1'" in computed(*words).stderr
    refused = computed("materialise", *MOVES, "binance", "BTC/USDT", "--every", "5m")
    assert refused.stderr.endswith("no values of BTC/USDT yet, from where it could go on: say --start\n")
    computed("delete", "move@v1", "--yes")
    refused = computed(*words)
    assert "'ticklake features register NAME@VERSION --column ...' makes one" in refused.stderr


def test_other_options_are_refused_in_the_words_of_the_shell(computed):
    words = ("materialise", *MOVES, "binance", "BTC/USDT", "--every", "5m", *SPAN, "--option")
    answer(computed(*words, "window=4m", "--json"))
    refused = computed(*words, "window=10m")
    assert refused.exit_code == 2
    assert (
        "made with frames of window=4m, not of window=10m: register another version, or compute all of them anew with --again"
        in refused.stderr
    )
    assert answer(computed(*words, "window=4m", "--option", "book_depth=5", "--again", "--json"))["new"] == 5
    for option, message in (("windw=4m", "no option 'windw'"), ("window=5m", "is given twice")):
        refused = computed(*words, "window=4m", "--option", option)
        assert (refused.exit_code, message in refused.stderr) == (2, True)


def test_lineage_shows_the_datasets_that_were_read(computed):
    answer(computed("materialise", *MOVES, "binance", "BTC/USDT", "--every", "5m", *SPAN, "--json"))
    assert "binance:ohlcv:1m:BTC/USDT" in computed("lineage", "move@v1").stdout


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("mom@v2",), "note: mom@v2 has no values: 'ticklake features write' and"),
        (("mom@v1", "--exchange", "kraken"), "note: mom@v1 has no values of kraken: it has some of any"),
        (
            ("mom@v1", "--start", "2024-02-01"),
            "note: mom@v1 has no such values in this span: its 3 rows are from 2024-01-01T00:00:00Z to 2024-01-01T00:01:00.5Z",
        ),
    ],
)
def test_an_empty_answer_says_why(written, words, reason):
    written("register", "mom@v2", "--column", "x")
    read = written("read", *words, "--json")
    assert (read.exit_code, json.loads(read.stdout)) == (0, [])
    assert read.stderr.startswith(reason)
    assert read.stderr.count("\n") == 1


def test_names_may_be_repeated_or_separated_by_commas(written, tmp_path):
    (tmp_path / "left.csv").write_text(LEFT)
    names = list(answer(written("read", "mom@v1", "--columns", "n", "--columns", "up,ret", "--json"))[0])
    assert names[-3:] == ["n", "up", "ret"]
    words = ("join", "left.csv", "--at", "at", "--by", "who", "--json")
    assert list(answer(written(*words, "--feature", "mom@v1:n,mom@v1:up"))[0]) == ["who", "at", "n", "up"]
    twice = written("register", "mom@v3", "--column", "x", "--column", "x:int64")
    assert (twice.exit_code, "'x' is named twice" in twice.stderr) == (2, True)


def test_collected_data_is_proposed_before_features(computed):
    answer(computed("materialise", *MOVES, "binance", "BTC/USDT", "--every", "5m", *SPAN, "--json"))
    refused = CliRunner().invoke(app, ["book", "binance", "BTC/USDT"])
    assert "did you mean binance:ohlcv:1m:BTC/USDT?" in refused.stderr
    with open_lake("lake") as lake, pytest.raises(UnknownDataset, match="did you mean binance:ohlcv:1m:BTC/USDT"):
        lake.load("binance:ohlcv:5s:BTC/USDT")


def test_refused_rows_are_a_warning_that_says_what_to_type(written, tmp_path):
    (tmp_path / "bad.csv").write_text("symbol,ts,ret\nA,,1\n")
    done = written("write", "mom@v1", "bad.csv")
    assert (done.exit_code, "1 refused" in done.stdout) == (0, True)
    assert done.stderr.startswith("warning: mom@v1: 1 of 1 rows were refused")
    assert done.stderr.endswith("'ticklake quarantine' has them\n")
