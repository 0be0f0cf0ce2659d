"""The sandbox: what a query of a stranger may read, and that it can do nothing else."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path

import polars as pl
import pytest
from sql_lakes import BTC, ETH, filled

from ticklake.app import memory_lake
from ticklake.core.sql import OF_QUERIES, SqlLimits
from ticklake.errors import BadInput, Cancelled, QueryTooLarge, StorageError, TicklakeError
from ticklake.query import sql_sandbox
from ticklake.query.sql_sandbox import Sandbox

MIB = 1024**2
FEW = SqlLimits(memory=1024 * MIB, seconds=5.0, rows=1_000, bytes=8 * MIB)


def run_sandboxed(engine, query, limits=OF_QUERIES):
    """Answer one query in a process of its own."""
    with Sandbox(limits) as sandbox:
        return sandbox.query(engine, query).run()


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    with filled(tmp_path_factory.mktemp("sandbox")) as lake:
        yield lake


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(FEW, spare=2) as sandbox:
        yield sandbox


def digest(folder: Path) -> str:
    """Digest every file below a folder: its name and its bytes."""
    whole = hashlib.blake2b()
    for path in sorted(folder.rglob("*")):
        whole.update(str(path.relative_to(folder)).encode())
        # The index of SQLite's log is memory that all of its readers write.
        if path.is_file() and not path.name.endswith("-shm"):
            whole.update(path.read_bytes())
    return whole.hexdigest()


ANSWERS = [
    "select symbol, timeframe, count(*) n, max(high) h, sum(trades) t from ohlcv group by all order by all",
    f"select * from ohlcv where symbol = '{BTC}' and timeframe = '1h' and ts >= '2024-01-05' order by ts",
    "select count(*) from trades",
    "select t from trades t order by ts limit 1",
    "select #1 from trades order by all limit 3",
    "from trades order by exchange, ts limit 3",
    "select a.* exclude (id) from trades a natural join trades b order by ts, exchange limit 3",
    "select columns('p.*|s.*') from trades order by all limit 3",
    "summarize quotes",
    "describe funding",
    "show tables",
    "select * from datasets order by dataset",
    'select variant, count(*) from "ohlcv@from_trades" group by 1',
    'select ts, "interval" from funding order by ts',
    "with recursive n as (select 1 a union all select a + 1 from n where a < 5) select sum(a) from n",
    "values (1, 'a'), (2, null)",
    "select /* ; copy */ 1 -- drop table trades",
    "select [1, 2] l, {'a': 1} s, 1.5::decimal(5, 2) d, '2024-01-01'::date t, true b, null n",
    "select t.id, q.bid_price from trades t asof join quotes q using (exchange, symbol, ts) where symbol = 'BTC/USDT' order by t.ts limit 9",
]


FEW_ANSWERS = 5
"""So many are tried each time; a process takes a fifth of a second to start."""


@pytest.mark.parametrize(
    "query", [*ANSWERS[:FEW_ANSWERS], *(pytest.param(each, marks=pytest.mark.trials) for each in ANSWERS[FEW_ANSWERS:])]
)
def test_the_sandbox_answers_as_the_lake_does(lake, sandbox, query):
    answer = sandbox.query(lake.engine, query).run()
    expected = lake.sql(query)
    assert answer.pl().equals(expected.pl())
    assert answer.pl().schema == expected.pl().schema
    assert (answer.complete, answer.note, answer.version) == (True, "", lake.engine.catalog.version())


def test_an_explanation_is_a_plan(lake, sandbox):
    plan = sandbox.query(lake.engine, "/* a */ explain select count(*) from trades").run()
    assert "ggregate" in str(plan.fetchall())


def test_parameters_reach_the_query(lake, sandbox):
    query = "select count(*) from trades where symbol = $s and ts >= $t and price > $p"
    values = {"s": BTC, "t": pl.Series([0]).cast(pl.Date)[0], "p": 1.5}
    assert sandbox.query(lake.engine, query, values).run().fetchall() == lake.sql(query, values).fetchall()
    assert sandbox.query(lake.engine, "select ?::int + 1", [41]).run().fetchone() == (42,)
    with pytest.raises(BadInput, match="params"):
        sandbox.query(lake.engine, "select ?", [object()])


def test_a_snapshot_is_queried_at_its_version(tmp_path):
    with filled(tmp_path) as lake:
        before = lake.engine.catalog.version()
        lake.drop(f"x:trades:{BTC}")
        answer = run_sandboxed(lake.at(before).engine, "select count(*) from trades", limits=FEW)
        assert (answer.fetchone(), answer.version) == ((800,), before)


REFUSED = [
    "copy trades to '{out}'",
    "with x as (copy (select 1) to '{out}') select * from x",
    "with x as materialized (with y as (copy (select 1) to '{out}') select 1) select * from x",
    "select * from (with x as (copy (select 1) to '{out}') select 1)",
    "select 1; copy (select 1) to '{out}'",
    "select 1;;select 2",
    "explain copy trades to '{out}'",
    "explain analyze copy trades to '{out}'",
    "explain /* a */ analyze with x as (copy (select 1) to '{out}') select * from x",
    "attach '{out}' as other",
    "export database '{out}'",
    "import database '{lake}'",
    "create table t as select 1",
    "create temp macro f() as 1",
    "insert into trades select * from trades",
    "update trades set price = 0",
    "delete from trades",
    "drop view trades",
    "truncate trades",
    "vacuum",
    "checkpoint",
    "set memory_limit = '100GB'",
    "reset memory_limit",
    "pragma memory_limit = '100GB'",
    "pragma enable_progress_bar",
    "install httpfs",
    "load httpfs",
    "load '{out}'",
    "call pragma_version()",
    "prepare p as select 1",
    "use other",
    "begin",
    "select * from read_csv('{file}')",
    "select * from read_parquet('{file}')",
    "select * from read_text('{file}')",
    "select * from read_blob('{file}')",
    "select * from read_json('{file}')",
    "select * from sniff_csv('{file}')",
    "select * from parquet_metadata('{file}')",
    "select * from parquet_scan('{file}')",
    "select * from '{file}'",
    'select * from "{file}"',
    "select * from glob('{lake}/*')",
    "select * from read_csv(['/etc/passwd', '/proc/self/environ'])",
    "select content from read_text('/proc/self/environ')",
    "select * from read_parquet('https://127.0.0.1:1/x.parquet')",
    "select * from query('select 1')",
    "select * from query_table('trades')",
    "select * from json_execute_serialized_sql(json_serialize_sql('select 1'))",
    "select getenv('HOME')",
    "from sqlite_scan('{lake}/catalog.sqlite', 'segments')",
    "from postgres_scan('', '', '')",
    "select * from duckdb_secrets() where which_secret('a', 'b')",
    "set lock_configuration = false",
    "",
    ";",
    "-- nothing",
    "select count(*) from trades where ts > '2024-01-01T00:00:00+02:00'",
    "selct",
    "select \x00",
    "select '\ud800'",
]


STEP = 10


def test_what_is_no_select_is_refused_and_changes_nothing(lake, sandbox, tmp_path):
    refused(lake, sandbox, tmp_path, REFUSED[1::STEP])


@pytest.mark.trials
@pytest.mark.parametrize("first", range(STEP))
def test_all_that_is_no_select_is_refused_and_changes_nothing(lake, sandbox, tmp_path, first):
    refused(lake, sandbox, tmp_path, REFUSED[first::STEP])


def refused(lake, sandbox, folder, texts):
    file = next(lake.root.rglob("*.parquet"))
    # Also nobody could write there.
    folder.chmod(0o777)
    before = digest(lake.root)
    for text in texts:
        names = {"out": folder / "out", "lake": lake.root, "file": file}
        query = text.format(**{name: str(path).replace("'", "''") for name, path in names.items()})
        with pytest.raises(BadInput) as caught:
            sandbox.query(lake.engine, query).run()
        assert "\n" not in str(caught.value), query
    assert list(folder.iterdir()) == []
    assert digest(lake.root) == before


def test_statements_are_refused_before_they_run(tmp_path):
    """The first of the walls, by itself: what DuckDB parses is looked into before anything of it runs."""
    import duckdb

    from ticklake.query.sql_child import Refused, _checked

    # A bare connection would run all of it.
    connection = duckdb.connect()
    for text in REFUSED[:32]:
        with pytest.raises((Refused, duckdb.Error)):
            _checked(connection, text.format(out=tmp_path / "out", lake=tmp_path, file=tmp_path / "file"))
    assert list(tmp_path.iterdir()) == []


GREEDY = [
    "select repeat('x', 1000000000)",
    "select repeat('x', 10000000) from range(10000)",
    "select list(i) from range(10000000000) t(i)",
    "select string_agg(repeat(i::varchar, 1000), '') from range(1000000000) t(i)",
    "select a.i from range(100000000) a(i) order by hash(a.i)",
]
ENDLESS = [
    "with recursive t as (select 1 a union all select a + 1 from t) select count(*) from t where a < 0",
    "select count(*) from trades a, trades b, trades c, trades d",
    "select sum(i * 2 % 7) from range(1000000000000) t(i)",
]


def watched(run, lake, query):
    """Run a query and return the largest memory that its process had, as seen from outside."""
    largest = [0]
    done = threading.Event()

    def watch():
        while not done.wait(0.005):
            process = run._process
            if process is None:
                continue
            try:
                text = Path(f"/proc/{process.pid}/status").read_text()
            except OSError:
                continue
            found = [int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmHWM:")]
            largest[0] = max(largest[0], *found, 0)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with pytest.raises(QueryTooLarge) as caught:
            run.run()
    finally:
        done.set()
        watcher.join()
    return largest[0], str(caught.value)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is measured in /proc")
def test_memory_is_never_above_its_limit(lake):
    limits = SqlLimits(memory=768 * MIB, seconds=4.0)
    with Sandbox(limits, spare=1) as sandbox:
        for query in GREEDY[2:3]:
            largest, text = watched(sandbox.query(lake.engine, query), lake, query)
            assert 0 < largest <= limits.memory
            assert "memory" in text or "longer" in text
            assert "narrow it" in text


def test_a_query_ends_at_its_deadline(lake, sandbox):
    limits = SqlLimits(memory=FEW.memory, seconds=0.4)
    for query in ENDLESS[1:2]:
        begun = time.monotonic()
        with pytest.raises(QueryTooLarge, match=r"longer than 0\.4 s"):
            sandbox.query(lake.engine, query, limits=limits).run()
        assert time.monotonic() - begun < 3


def test_an_answer_that_is_cut_says_so(lake):
    rows = SqlLimits(memory=FEW.memory, rows=10)
    answer = run_sandboxed(lake.engine, "select id from trades order by ts, id", limits=rows)
    assert (answer.rows, answer.complete) == (10, False)
    assert "10 rows" in answer.note
    assert answer["id"].to_list() == lake.sql("select id from trades order by ts, id limit 10")["id"].to_list()
    exact = run_sandboxed(lake.engine, "select id from trades limit 10", limits=rows)
    assert (exact.rows, exact.complete, exact.note) == (10, True, "")
    small = SqlLimits(memory=FEW.memory, bytes=4096)
    answer = run_sandboxed(lake.engine, "select id, price from trades", limits=small)
    assert not answer.complete
    assert 100 < answer.rows < 400
    assert "4,096 bytes" in answer.note


def test_rows_that_do_not_fit_are_refused_with_the_cure(lake, sandbox, monkeypatch):
    monkeypatch.setattr(sql_sandbox, "_LEAST_ROWS", 4096)
    monkeypatch.setattr(sql_sandbox, "_SHARE_OF_ROWS", 0.0)
    with pytest.raises(QueryTooLarge, match="narrow it by symbol and time"):
        sandbox.query(lake.engine, "select * from trades").run()
    narrow = f"select count(*) from trades where symbol = '{ETH}' and ts < '2024-01-01T00:02:00'"
    assert sandbox.query(lake.engine, narrow).run().fetchone() == (20,)


def test_a_query_can_be_cancelled_before_and_while_it_runs(lake, sandbox):
    run = sandbox.query(lake.engine, ENDLESS[2])
    threading.Timer(0.3, run.cancel).start()
    begun = time.monotonic()
    with pytest.raises(Cancelled):
        run.run()
    assert time.monotonic() - begun < 2
    run = sandbox.query(lake.engine, "select 1")
    run.cancel()
    with pytest.raises(Cancelled):
        run.run()


def test_a_process_that_was_killed_is_an_error_and_the_next_query_has_another(lake):
    with Sandbox(FEW, spare=1) as sandbox:
        process = sandbox._waiting[0]
        process.kill()
        process.wait()
        assert sandbox.query(lake.engine, "select 1").run().fetchone() == (1,)


NOISY = """
import os
from ticklake.query import sql_child
readable = sql_child.readable
def noisy(answer):
    print('{"rows": true}', flush=True)
    os.write(1, b"18 seconds remaining")
    return readable(answer)
sql_child.readable = noisy
sql_child.main()
"""


def test_what_a_library_prints_is_no_part_of_an_answer(lake, monkeypatch):
    monkeypatch.setattr(sql_sandbox, "_PROGRAM", sql_sandbox._PROGRAM.replace("main()\n", "") + NOISY)
    assert run_sandboxed(lake.engine, "select count(*) from trades", limits=FEW).fetchone() == (800,)


def test_a_query_shows_no_progress_however_long_it_takes(lake, sandbox):
    assert sandbox.query(lake.engine, "select current_setting('enable_progress_bar')").run().fetchone() == (False,)


@pytest.mark.trials
def test_a_query_of_some_seconds_is_answered(lake):
    query = "select count(*) from range(1200000000) t(x) where hash(x) <> 1"
    limits = SqlLimits(memory=FEW.memory, seconds=30)
    assert run_sandboxed(lake.engine, query, limits=limits).fetchone() == (1_200_000_000,)


def test_a_process_that_says_what_is_no_answer_is_not_called_one_without_memory(lake, monkeypatch):
    monkeypatch.setattr(sql_sandbox, "_PROGRAM", "import time; print('12345678', flush=True); time.sleep(9)")
    with pytest.raises(StorageError, match="no answer"):
        run_sandboxed(lake.engine, "select 1", limits=FEW)


def test_no_process_and_no_pipe_is_left(lake):
    open_files = _open_files()
    with Sandbox(FEW, spare=1) as sandbox:
        for query in ("select 1", "select foo", "select * from range(10000000)"):
            try:
                sandbox.query(lake.engine, query).run()
            except TicklakeError:
                continue
        processes = [process.pid for process in sandbox._waiting]
    for pid in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert _open_files() == open_files


def _open_files() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="rights are shown in /proc")
def test_a_waiting_process_has_given_up_its_rights(monkeypatch):
    monkeypatch.setenv("TICKLAKE_SECRET", "a secret")
    with Sandbox(FEW, spare=1) as sandbox, memory_lake() as lake:
        sandbox.query(lake.engine, "select 1").run()
        process = sandbox._waiting[0]
        deadline = time.monotonic() + 5
        text = ""
        while "NoNewPrivs:\t1" not in text and time.monotonic() < deadline:
            time.sleep(0.01)
            text = Path(f"/proc/{process.pid}/status").read_text()
        assert "NoNewPrivs:\t1" in text
        assert "Seccomp:\t2" in text
        if os.geteuid() == 0:
            assert "Uid:\t65534\t65534" in text
            names = Path(f"/proc/{process.pid}/environ").read_bytes()
            assert b"a secret" not in names
            limits = Path(f"/proc/{process.pid}/limits").read_text()
            assert [line.split()[4] for line in limits.splitlines() if line.startswith("Max file size")] == ["0"]
        assert os.getsid(process.pid) == process.pid


@pytest.mark.skipif(os.uname().machine not in ("x86_64", "aarch64"), reason="calls are refused on these processors")
def test_the_kernel_refuses_what_duckdb_should_have_refused(tmp_path):
    """Even code that runs in the process opens no file, starts no program and reaches no network."""
    import subprocess
    import sys

    program = """
import os, socket, subprocess, sys, threading
from ticklake.query.sql_confine import confine
held = threading.Thread(target=lambda: (gate.wait(), out.append(tried(lambda: open("/etc/passwd")))))
gate, out = threading.Event(), []
def tried(call):
    try:
        call()
    except OSError as error:
        return type(error).__name__
    return "done"
held.start()
confine()
gate.set(); held.join()
out.append(tried(lambda: open("/etc/passwd")))
out.append(tried(lambda: os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)))
out.append(tried(lambda: socket.socket()))
out.append(tried(lambda: os.fork()))
out.append(tried(lambda: os.execv("/bin/true", ["true"])))
out.append(tried(lambda: os.unlink(sys.argv[2])))
out.append(tried(lambda: os.rename(sys.argv[2], sys.argv[1])))
out.append(tried(lambda: os.listdir("/")))
thread = threading.Thread(target=lambda: out.append("thread"))
thread.start(); thread.join()
print(out)
"""
    victim = tmp_path / "victim"
    victim.write_text("here")
    tmp_path.chmod(0o777)
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "new"), str(victim)], capture_output=True, text=True, timeout=20
    )
    assert done.stdout.strip() == str(["PermissionError"] * 9 + ["thread"]), done.stderr
    assert victim.read_text() == "here"


def test_an_answer_that_is_no_arrow_is_an_error(lake, monkeypatch):
    """The process runs what a stranger wrote: it is not believed."""
    lies = """
import sys
from ticklake.storage.arrow_stream import read_message, read_table, write_message
source, sink = sys.stdin.buffer, sys.stdout.buffer
read_message(source); read_table(source)
write_message(sink, {"needs": %s})
sink.write(b"x" * 1000); sink.flush()
"""
    for needs in (
        '{"nothing": {"parts": [], "columns": []}}',
        '{"trades": {"parts": [[9999, None, None]], "columns": []}}',
        '{"trades": 3}',
        "[]",
    ):
        monkeypatch.setattr(sql_sandbox, "_PROGRAM", lies % needs)
        with pytest.raises(QueryTooLarge, match="ended its process"):
            run_sandboxed(lake.engine, "select 1", limits=FEW)


def test_without_duckdb_the_error_names_the_extra(lake, monkeypatch):
    monkeypatch.setattr(sql_sandbox, "find_spec", lambda _name: None)
    with pytest.raises(TicklakeError, match=r"ticklake\[sql\]"):
        run_sandboxed(lake.engine, "select 1")
