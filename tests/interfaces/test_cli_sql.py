"""The command sql: what it prints, what it refuses, and how it ends."""

from __future__ import annotations

import json

import polars as pl
import pytest
from typer.testing import CliRunner

from ticklake.app import open_lake
from ticklake.core.time import HOUR
from ticklake.interfaces.cli.main import app
from ticklake.testing.rows import bars

runner = CliRunner()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "lake"
    with open_lake(path, create=True) as lake:
        lake.save("x:ohlcv:1h:BTC/USDT", bars(0, 30, interval=HOUR))
        lake.save("x:ohlcv:1h:ETH/USDT", bars(0, 10, interval=HOUR))
    return path


def run(path, *words, code=0, text=None, **environment):
    done = runner.invoke(app, ["sql", "--lake", str(path), *words], input=text, env=environment)
    assert done.exit_code == code, done.output
    return done


COUNT = "select symbol, count(*) as n from ohlcv group by symbol order by symbol"


def test_an_answer_is_printed_like_rows(path, tmp_path):
    assert run(path, COUNT).stdout == "symbol,n\nBTC/USDT,30\nETH/USDT,10\n"
    rows = run(path, "--file", "-", "--json", text=COUNT).stdout
    assert json.loads(rows) == [{"symbol": "BTC/USDT", "n": 30}, {"symbol": "ETH/USDT", "n": 10}]
    file = tmp_path / "query.sql"
    file.write_text(COUNT)
    out = tmp_path / "out.parquet"
    run(path, "--file", str(file), "--trusted", "--output", str(out))
    assert pl.read_parquet(out)["n"].to_list() == [30, 10]


def test_a_version_is_named(path):
    with open_lake(path) as lake:
        before = lake.engine.catalog.version()
        lake.save("x:ohlcv:1h:NEW/USDT", bars(0, 5, interval=HOUR))
    count = "select count(*) as n from ohlcv"
    assert run(path, count, "--at", str(before), "--trusted").stdout == "n\n40\n"
    assert run(path, count, "--trusted").stdout == "n\n45\n"


def test_an_answer_that_is_cut_ends_with_3_and_says_so(path):
    done = run(path, "select ts from ohlcv", code=3, TICKLAKE_SQL__ROWS="7")
    assert len(done.stdout.splitlines()) == 8
    assert "cut after 7 rows" in done.stderr


def test_what_writes_is_refused_unless_it_is_trusted(path, tmp_path):
    out = tmp_path / "out.csv"
    done = run(path, f"copy ohlcv to '{out}'", code=2)
    assert "only SELECT and EXPLAIN" in done.stderr
    assert not out.exists()
    run(path, f"copy ohlcv to '{out}'", "--trusted")
    assert out.exists()


def test_mistakes_end_with_2_and_the_cure(path):
    assert "did you mean 'ohlcv'" in run(path, "select * from ohlc", "--trusted", code=2).stderr
    assert "one query is needed" in run(path, code=2).stderr
    assert "one query is needed" in run(path, "select 1", "--file", "-", code=2).stderr
    assert "at least" in run(path, "select 1", code=2, TICKLAKE_SQL__MEMORY="1MB").stderr


def test_a_query_that_takes_too_long_ends_with_1(path):
    endless = "with recursive t as (select 1 a union all select a + 1 from t) select count(*) from t where a < 0"
    assert "longer than 0.5 s" in run(path, endless, code=1, TICKLAKE_SQL__SECONDS="0.5").stderr
