"""Rebuilding keeps what the old catalog still holds, refuses a sound one, and loses nothing that others commit meanwhile."""

import json
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from engine_lakes import BARS, MANY, TRADES, at, full, lake_in, span, tree

import ticklake
from ticklake.app import CATALOG_FILE, memory_lake, rebuild_lake
from ticklake.audit.gaps import missing_intervals
from ticklake.catalog import schema
from ticklake.catalog.removal import known_paths
from ticklake.config import Settings
from ticklake.core.coverage import Covered, Found
from ticklake.core.provenance import Provenance
from ticklake.core.runs import RunState
from ticklake.errors import BadInput, CatalogDamaged, CatalogTooNew, NoLake
from ticklake.testing.rows import bars, trades

SOURCES = Path(ticklake.__file__).parents[1]
ONE = Provenance("ccxt", "fetch_ohlcv", "t 1")
PAGE = 4096


def content(root):
    """Every row of every table, by table; what a rebuild itself writes left out."""
    with closing(sqlite3.connect(root / CATALOG_FILE)) as connection:
        connection.row_factory = sqlite3.Row
        tables = {
            table.name: [dict(row) for row in connection.execute(f"select * from {table.name}")]
            for table in schema.metadata.sorted_tables
        }
    tables["commits"] = [row for row in tables["commits"] if row["operation"] != "rebuild"]
    for row in tables["datasets"]:
        del row["changed_in"]
        del row["row_check"]
    return {name: sorted(map(repr, rows)) for name, rows in tables.items()}


def furnished(root):
    """A lake with something in most tables."""
    with lake_in(root) as lake:
        lake.engine.append(
            BARS, bars(0, MANY), ONE, [Covered(span(0, MANY)), Covered(span(-100, 0), Found.EXPIRED, "old")]
        )
        lake.engine.append(BARS, bars(MANY, MANY + 50), ONE, [Covered(span(MANY, MANY + 60), Found.LOST, "why")])
        lake.save(BARS, bars(10, 20, bump=1.0))
        lake.save(BARS, bars(30, 31).with_columns(high=-5.0))
        lake.save(TRADES, trades(0, 100))
        run = lake.runs.create("backfill", "a run", {"some": 1})
        lake.runs.append_log(run.id, "a line")
        lake.runs.finish(run.id, RunState.SUCCEEDED, {}, "done")
        lake.jobs.create("compact")
        lake.schedules.add("nightly", "compact", every="1d")
        lake.quality(BARS)
    return root


def overwrite(path, pages, seed=7):
    data = bytearray(path.read_bytes())
    for page in pages:
        data[page * PAGE : page * PAGE + PAGE] = random.Random(seed).randbytes(PAGE)
    path.write_bytes(data)


def pages_of(path, name, kind=0x0D):
    """The leaf pages of a table, from its root page down."""
    data = path.read_bytes()
    with closing(sqlite3.connect(path)) as connection:
        (first,) = connection.execute("select rootpage from sqlite_master where name = ?", (name,)).fetchone()
    found, todo = [], [first]
    while todo:
        page = todo.pop() - 1
        start = page * PAGE
        if data[start] == kind:
            found.append(page)
            continue
        count = int.from_bytes(data[start + 3 : start + 5])
        cells = [int.from_bytes(data[start + 12 + 2 * i : start + 14 + 2 * i]) for i in range(count)]
        todo += [int.from_bytes(data[start + cell : start + cell + 4]) for cell in cells]
        todo.append(int.from_bytes(data[start + 8 : start + 12]))
    return sorted(found)


def test_a_sound_catalog_is_refused_in_one_line_and_left_alone(root):
    furnished(root)
    before = (root / CATALOG_FILE).read_bytes()
    with pytest.raises(BadInput, match=r"is sound.*--force") as caught:
        rebuild_lake(root)
    assert "\n" not in str(caught.value)
    assert (root / CATALOG_FILE).read_bytes() == before
    assert [path.name for path in root.glob(f"{CATALOG_FILE}.*")] == [f"{CATALOG_FILE}.reserve"]


def test_a_forced_rebuild_keeps_every_row_of_every_table(root):
    before = content(furnished(root))
    assert rebuild_lake(root, force=True).lost == ()
    assert content(root) == before
    with lake_in(root) as lake:
        assert lake.verify(deep=True) == []
        assert lake.load(BARS).height == MANY + 50


def test_expired_and_all_other_coverage_survives(root):
    furnished(root)
    with lake_in(root) as lake:
        before = lake.coverage(BARS)
        lake.cleanup(1, datasets=[TRADES])
        expired = lake.coverage(TRADES)
    assert expired.spans(Found.EXPIRED)
    rebuild_lake(root, force=True)
    with lake_in(root) as lake:
        assert (lake.coverage(BARS), lake.coverage(TRADES)) == (before, expired)
        assert lake.load(TRADES).height == 0


def test_a_file_that_no_commit_names_is_reason_enough(root):
    furnished(root)
    with closing(sqlite3.connect(root / CATALOG_FILE)) as connection:
        connection.execute("delete from segments where path is not null")
        connection.commit()
    rebuild_lake(root)
    with lake_in(root) as lake:
        assert lake.load(BARS).height == MANY + 50


def test_a_folder_that_holds_no_lake_is_left_alone(root):
    root.mkdir(exist_ok=True)
    (root / "letter.txt").write_text("mine")
    with pytest.raises(NoLake):
        rebuild_lake(root)
    assert [path.name for path in root.iterdir()] == ["letter.txt"]


def test_a_catalog_of_a_newer_ticklake_is_left_alone(root):
    furnished(root)
    with closing(sqlite3.connect(root / CATALOG_FILE)) as connection:
        connection.execute("update meta set value = '999' where key = 'schema'")
        connection.commit()
    with pytest.raises(CatalogTooNew):
        rebuild_lake(root, force=True)
    with pytest.raises(CatalogTooNew):
        lake_in(root)


@pytest.mark.parametrize("name", ["runs", "run_log", "revisions", "quarantine", "coverage", "provenance", "jobs"])
def test_a_damaged_table_costs_no_other_one_anything(root, name):
    before = content(furnished(root))
    path = root / CATALOG_FILE
    kind = 0x0A if name == "coverage" else 0x0D
    overwrite(path, pages_of(path, name, kind))
    found = rebuild_lake(root)
    assert [line.partition(":")[0] for line in found.lost][:1] == [name]
    after = content(root)
    follows = {"runs": {"run_log"}, "coverage": {"meta"}}  # its lines; the log by which coverage is taken back
    gone = {name} | follows.get(name, set())
    assert {table: rows for table, rows in after.items() if table not in gone} == {
        table: rows for table, rows in before.items() if table not in gone
    }


def test_around_damaged_pages_every_other_row_is_kept(root):
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, 3_000))
        lake.save(BARS, bars(0, 3_000, bump=1.0))
    path = root / CATALOG_FILE
    pages = pages_of(path, "revisions")
    hurt = [pages[len(pages) // 3], pages[2 * len(pages) // 3], pages[-1]]
    overwrite(path, hurt)
    rebuild_lake(root)
    with lake_in(root) as lake:
        kept = len(lake.revisions(BARS))
        assert lake.load(BARS).equals(full(bars(0, 3_000, bump=1.0)))
    assert 3_000 - 4 * 3_000 / len(pages) < kept < 3_000


def test_inline_rows_around_a_damaged_page_are_kept_and_the_rest_is_not_called_complete(root):
    with lake_in(root) as lake:
        for block in range(40):
            covered = [Covered(span(block * 100, block * 100 + 100))]
            lake.engine.append(BARS, bars(block * 100, block * 100 + 100), ONE, covered)
    path = root / CATALOG_FILE
    pages = pages_of(path, "segments")
    overwrite(path, [pages[len(pages) // 2]])
    found = rebuild_lake(root)
    assert found.lost
    with lake_in(root) as lake:
        rows = lake.load(BARS)
        assert 2_000 < rows.height < 4_000
        assert lake.datasets()[0] == BARS
        missing = missing_intervals(lake.engine, BARS, span(0, 4_000))
        assert sum(part.length for part in missing) == (4_000 - rows.height) * 60 * 10**9
        looked_at = sum(part.length for part in lake.coverage(BARS).spans())
        assert looked_at == rows.height * 60 * 10**9
        assert lake.engine.inventory()[0].rows == rows.height
        assert lake.save(BARS, bars(0, 4_000)).new == 4_000 - rows.height


def test_a_damaged_page_of_names_loses_no_dataset(root):
    furnished(root)
    path = root / CATALOG_FILE
    overwrite(path, pages_of(path, "datasets"))
    rebuild_lake(root)
    with lake_in(root) as lake:
        assert lake.load(BARS).height == MANY + 50
        assert lake.load(TRADES).equals(full(trades(0, 100), TRADES))
        assert lake.save(TRADES, trades(0, 110)).new == 10
        assert lake.engine.inventory()[0].rows == MANY + 50


def test_lakes_that_are_open_in_the_same_process_go_on_in_the_new_catalog(root):
    furnished(root)
    with lake_in(root) as lake, lake_in(root) as other:
        lake.save(BARS, bars(MANY + 50, MANY + 60))
        rebuild_lake(root, force=True)
        assert lake.save(BARS, bars(MANY + 60, MANY + 70)).new == 10
        assert other.load(BARS).height == MANY + 70
    with lake_in(root) as lake:
        assert lake.load(BARS).height == MANY + 70


def test_an_open_lake_rebuilds_its_own_catalog_and_goes_on_in_it(root):
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, MANY))
        with closing(sqlite3.connect(root / CATALOG_FILE)) as connection:
            connection.execute("delete from segments where path is not null")
            connection.commit()
        assert lake.admin.rebuild().rows == MANY
        lake.save(BARS, bars(MANY, MANY + 5))
        assert lake.load(BARS).equals(full(bars(0, MANY + 5)))
    with lake_in(root) as lake:
        assert lake.load(BARS).equals(full(bars(0, MANY + 5)))
        assert lake.admin.verify(deep=True) == []


def test_an_open_lake_with_a_sound_catalog_is_rebuilt_only_by_force(root):
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, 20))
        with pytest.raises(BadInput, match="is sound"):
            lake.admin.rebuild()
        assert lake.admin.rebuild(force=True).rows == 20


def test_a_lake_in_memory_has_nothing_to_be_rebuilt_from():
    with memory_lake(Settings()) as lake, pytest.raises(BadInput, match="in memory"):
        lake.admin.rebuild()


def test_a_writer_that_computed_its_rows_before_the_rebuild_commits_after_it(root, monkeypatch):
    """It waits for the lock with what it knows of the old catalog, even with a file that the rebuild takes in."""
    furnished(root)
    with lake_in(root) as lake:
        commit = lake.engine.catalog.commit

        def rebuilt_meanwhile(operation, changes, *args, **named):
            if operation == "append" and lake.engine.catalog.commit is not commit:
                lake.engine.catalog.commit = commit
                rebuild_lake(root, force=True)
            return commit(operation, changes, *args, **named)

        lake.engine.catalog.commit = rebuilt_meanwhile
        lake.save(BARS, bars(2 * MANY, 4 * MANY))
        assert lake.load(BARS, at(2 * MANY)).equals(full(bars(2 * MANY, 4 * MANY)))
        assert lake.verify(deep=True) == []
        assert set(tree(root)) == known_paths(lake.engine.catalog.database)


def test_a_second_rebuild_at_the_same_time_waits_for_the_first(root):
    before = content(furnished(root))
    threads = [threading.Thread(target=rebuild_lake, args=(root,), kwargs={"force": True}) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert content(root) == before
    assert [path.name for path in root.glob("*.rebuilt*")] == []


def test_where_a_rebuild_was_killed_the_next_one_finishes_without_being_forced(root):
    furnished(root)
    (root / f"{CATALOG_FILE}.rebuilt.999999999").write_bytes(b"half")
    rebuild_lake(root)
    assert [path.name for path in root.glob("*.rebuilt*")] == []


def test_a_catalog_that_is_open_and_was_overwritten_refuses_and_is_rebuilt(root):
    furnished(root)
    with lake_in(root) as lake:
        lake.load(BARS)
        (root / CATALOG_FILE).write_bytes(b"garbage" * 5_000)
        rebuild_lake(root)
        with pytest.raises(CatalogDamaged):
            lake.save(BARS, bars(5 * MANY, 5 * MANY + 5))
    with lake_in(root) as lake:
        assert lake.load(BARS, at(0), at(MANY)).height == MANY


_WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from engine_lakes import BARS, MANY, lake_in
from ticklake.testing.rows import bars

number, first = int(sys.argv[3]), -500_000 * int(sys.argv[3])
with lake_in(Path(sys.argv[1])) as lake:
    print("ready", flush=True)
    for count in range(10**6):
        length = MANY if count % 15 == 14 else 40
        lake.save(BARS, bars(first, first + length))
        first += length
        print(first, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("trial", range(4))
def test_what_writers_in_other_processes_were_told_is_done_is_there_after_rebuilds(root, trial):
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, 100))
    command = [sys.executable, "-c", _WRITER, str(root), str(Path(__file__).parent)]
    environment = {**os.environ, "PYTHONPATH": str(SOURCES), "POLARS_MAX_THREADS": "1"}
    writers = [
        subprocess.Popen(
            [*command, str(number)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for number in (1, 2, 3)
    ]
    try:
        for writer in writers:
            assert writer.stdout.readline() == "ready\n"
        found = []
        for _ in range(3):
            time.sleep(0.2 + 0.1 * trial)
            found.append(rebuild_lake(root, force=True))
        assert all(writer.poll() is None for writer in writers), [writer.stderr.read() for writer in writers]
    finally:
        for writer in writers:
            writer.kill()
    # By itself, communicate() does not return what was read ahead with the first line.
    told = [writer.stdout.read().split() for writer in writers]
    for writer in writers:
        writer.communicate(timeout=30)
    assert [one.unreadable for one in found] == [()] * 3
    with lake_in(root) as lake:
        for number, lines in zip((1, 2, 3), told, strict=True):
            first, last = -500_000 * number, int(lines[-1])
            assert lake.load(BARS, at(first), at(last)).equals(full(bars(first, last))), (
                number,
                json.dumps(lines[-3:]),
            )
        assert [one for one in lake.verify(deep=True) if one.dataset] == []


@pytest.mark.parametrize("verb", [lambda lake: lake.save(BARS, bars(0, MANY)), lambda lake: lake.compact(BARS)])
def test_a_commit_whose_file_a_rebuild_took_in_before_is_computed_anew(root, verb):
    with lake_in(root) as lake:
        lake.save(BARS, bars(MANY, MANY + 50))
        lake.save(BARS, bars(MANY + 50, MANY + 90))
        commit, rebuilt = lake.engine.catalog.commit, []

        def commit_late(operation, changes):
            if not rebuilt:
                rebuilt.append(rebuild_lake(root, force=True))
            return commit(operation, changes)

        lake.engine.catalog.commit = commit_late
        verb(lake)
        assert lake.load(BARS).tail(90).equals(full(bars(MANY, MANY + 90)))
        assert lake.verify(deep=True) == []
    assert rebuilt[0].files


def test_origins_on_a_damaged_page_come_from_files_and_are_never_those_of_other_rows(root):
    first, second, new = (Provenance(name, "call", "t 1") for name in ("first", "second", "new"))
    with lake_in(root) as lake:
        lake.engine.append(BARS, bars(0, 50), first)
        lake.engine.append(TRADES, trades(0, MANY), first)
        lake.engine.append(BARS, bars(50, 60), second)
    overwrite(root / CATALOG_FILE, pages_of(root / CATALOG_FILE, "provenance"))
    assert any("provenance" in lost for lost in rebuild_lake(root).lost)
    with lake_in(root) as lake:
        lake.engine.append(BARS, bars(60, 70), new)
        origins = [lake.provenance(BARS, at(minute)) for minute in (3, 53, 63)]
    assert [origin.source for (origin,) in origins] == ["first", "unknown", "new"]


@pytest.mark.parametrize("folder", ["ohlcv", BARS.path])
def test_a_foreign_file_in_the_tree_is_no_reason_to_rebuild_a_sound_catalog(root, folder):
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, MANY))
    (root / folder).mkdir(parents=True, exist_ok=True)
    bars(0, 5).write_parquet(root / folder / "theirs.parquet")
    (root / folder / "notes.parquet").write_text("no Parquet at all")
    with pytest.raises(BadInput, match="is sound"):
        rebuild_lake(root)
    with lake_in(root) as lake:
        assert lake.load(BARS).height == MANY
