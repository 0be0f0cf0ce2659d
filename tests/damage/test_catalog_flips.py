"""A bit of the catalog's file is another one: answers stay true, or it is said."""

import random
import sqlite3
from contextlib import closing

import polars as pl
import pytest
from damage_lakes import BARS, ETH, FOREIGN, at, flip, lake_in, refused

from ticklake.app import CATALOG_FILE, rebuild_lake
from ticklake.catalog.alerts import AlertRecords
from ticklake.catalog.audit_log import AuditLog
from ticklake.catalog.checksums import TABLES
from ticklake.catalog.feature_sets import FeatureSetTable
from ticklake.catalog.gap_notes import GapNotes
from ticklake.catalog.instruments import Instruments
from ticklake.catalog.jobs import JobQueue
from ticklake.catalog.rules import RuleTable
from ticklake.catalog.tokens import SessionTable, TokenTable
from ticklake.core.access import Role
from ticklake.core.alerts import Alert, AlertRule
from ticklake.core.audit_log import AuditEntry
from ticklake.core.coverage import Covered, Found
from ticklake.core.instrument import Instrument, Rename
from ticklake.core.jobs import NewJob
from ticklake.core.provenance import Provenance
from ticklake.core.runs import RunState
from ticklake.core.span import Span
from ticklake.core.time import DAY
from ticklake.errors import CatalogDamaged, TicklakeError
from ticklake.testing.rows import bars

FLIPS = 120
"""Bits flipped in the whole file: seeded, so that a failure can be repeated."""


def fill(root):
    """Make a lake with a row in every table that answers depend on; its log is empty."""
    with lake_in(root) as lake:
        origin, database = Provenance("file", "a.csv", "test 1"), lake.engine.catalog.database
        lake.save(BARS, bars(0, 300), origin)
        lake.save(ETH, bars(0, 40), "user")
        lake.compact()
        for number in range(6):
            lake.save(BARS, bars(number * 20, number * 20 + 30, bump=number / 8), "user")
        lake.save(BARS, bars(310, 315).with_columns(high=pl.lit(0.5)), "user")
        for number in range(8):
            looked = Covered(Span(at(500 + number * 10), at(505 + number * 10)), Found.LOST, f"reason {number}")
            lake.engine.append(BARS, BARS.spec.empty(), origin, [looked])
        for number in range(5):
            run = lake.runs.create("backfill", str(BARS), {"number": number})
            lake.runs.append_log(run.id, f"line {number}")
            lake.runs.finish(run.id, RunState.SUCCEEDED, {"new": number}, f"{number} new")
        markets = Instruments(database, lambda: 5)
        markets.snapshot("x", [Instrument("x", f"{base}/USDT", tick_size=0.5) for base in ("BTC", "ETH")], 3)
        markets.link(Rename("x", "OLD/USDT", "ETH/USDT", 4))
        notes = GapNotes(database, lambda: 5)
        notes.want(BARS, Span(at(0), at(400)))
        lake.quality(BARS)
        queue = JobQueue(database, lake.engine.now, DAY)  # a lease that ends meanwhile changes the answers
        queue.add([NewJob("compact", str(name), str(name), {"number": 1}) for name in (BARS, ETH)])
        assert queue.claim("me") is not None
        lake.schedules.add("nightly", "compact", every="1d")
        RuleTable(database, lambda: 5).add("hours", {"from": [str(BARS)]}, "hash")
        FeatureSetTable(database, lambda: 5).add("momentum", "v1", {"columns": ["ret"]}, "hash")
        AlertRecords(database).restore([Alert(AlertRule.GAPS, str(BARS), "text", 1, None, is_told=False)])
        token = TokenTable(database, lambda: 5).add("desk", Role.READ, "digest", None)
        SessionTable(database, lambda: 5).add("digest", token.id, 9)
        AuditLog(database).add([AuditEntry(5, "desk", "read", "127.0.0.1", "POST", "/api/v1/sql", 200, "")])
    empty_log(root)


def empty_log(root):
    with closing(sqlite3.connect(root / CATALOG_FILE)) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")


def answers(root):
    """Everything that the lake answers."""
    with lake_in(root) as lake:
        markets = lake.engine.catalog
        told = [
            lake.datasets(),
            lake.inventory(),
            lake.runs.list(),
            [lake.runs.tail(run.id) for run in lake.runs.list()],
        ]
        told += [markets.provenances(), lake.instruments("x"), Instruments(markets.database, lambda: 5).links("x")]
        for dataset in (BARS, ETH):
            told += [lake.load(dataset, provenance=True).rows(), lake.load(dataset, last=3).rows()]
            told += [lake.coverage(dataset), lake.gaps(dataset), lake.quarantine(dataset), lake.revisions(dataset)]
            told += [lake.continuity(dataset).rows(), lake.last_timestamp(dataset), lake.missing_intervals(dataset)]
        told.append(lake.at(2).load(BARS).rows())
        told += [lake.at(3).coverage(BARS), lake.engine.catalog.oldest_version(), lake.runs.kept_up()]
        told += [lake.jobs.list(), lake.schedules.list(), AlertRecords(markets.database).all()]
        told += [lake.tokens.list(), AuditLog(markets.database).newest(9)]
        told.append(SessionTable(markets.database, lambda: 5).token_of("digest"))
        return repr(told)


def problems(root):
    with lake_in(root) as lake:
        return lake.verify()


def answer_or_error(action, root):
    """What an action returns, or ``None`` if it ends in one clear error of ours."""
    try:
        return action(root)
    except TicklakeError as error:
        text = str(error)
    assert "\n" not in text
    assert not FOREIGN.search(text), text
    return None


@pytest.mark.parametrize("count", [FLIPS, pytest.param(3_000, marks=pytest.mark.soak)])
def test_answers_stay_true_or_it_is_said(root, count):
    fill(root)
    path, chance = root / CATALOG_FILE, random.Random(11)
    sound, truth = path.read_bytes(), answers(root)
    assert problems(root) == []
    empty_log(root)
    wrong = []
    for _ in range(count):
        place, bit = chance.randrange(len(sound)), chance.randrange(8)
        flip(path, place, bit)
        if answer_or_error(answers, root) not in {truth, None} and answer_or_error(problems, root) == []:
            wrong.append((place, bit))
        for name in (CATALOG_FILE, f"{CATALOG_FILE}-wal", f"{CATALOG_FILE}-shm"):
            (root / name).unlink(missing_ok=True)
        path.write_bytes(sound)
    assert wrong == []


@pytest.mark.parametrize(
    ("table", "change"),
    {
        "revisions": "after = replace(after, '1', '2')",
        "quarantine": "reason = reason || '!'",
        "coverage": "reason = reason || '!'",
        "runs": "outcome = outcome || '!'",
        "run_log": "message = message || '!'",
        "provenance": "note = note || '!'",
        "datasets": "rows = rows + 1",
        "commits": "created_at = created_at + 1",
        "batches": "duplicate = duplicate + 1",
        "instruments": "tick_size = 0.25",
        "renames": '"at" = "at" + 1',
        "jobs": "priority = priority + 1",
        "schedules": "every = every * 2",
        "alerts": "text = text || '!'",
        "tokens": "role = 'admin'",
        "sessions": "token_id = token_id + 1",
        "audit_log": "caller = caller || '!'",
        "meta": "value = '1' where key = 'coverage_since'",
    }.items(),
)
def test_a_row_that_is_not_what_was_written_is_no_answer(root, table, change):
    fill(root)
    with closing(sqlite3.connect(root / CATALOG_FILE)) as connection, connection:
        connection.execute(f"update {table} set {change}")
    with refused(table, kind=CatalogDamaged):
        answers(root)
        with lake_in(root) as lake:
            lake.engine.catalog.version_at(2**62)
    assert any(table in problem.problem for problem in problems(root))


@pytest.mark.parametrize("table", [table.name for table in TABLES])
def test_verify_reads_every_checked_row(root, table):
    fill(root)
    with closing(sqlite3.connect(root / CATALOG_FILE)) as connection, connection:
        but = "where key not in ('schema', 'lake')" if table == "meta" else ""  # without these nothing is opened
        changed = connection.execute(f"update {table} set row_check = row_check + 1 {but}").rowcount
    assert changed or table == "unclosable"
    assert len([problem for problem in problems(root) if table in problem.problem]) == changed


@pytest.mark.parametrize("key", ["schema", "lake"])
def test_a_lake_without_a_sound_name_or_schema_is_not_opened(root, key):
    fill(root)
    with closing(sqlite3.connect(root / CATALOG_FILE)) as connection, connection:
        connection.execute("update meta set value = '1' where key = ?", [key])
    with refused(CATALOG_FILE if key == "lake" else "schema version is '1'", kind=CatalogDamaged):
        lake_in(root)
    rebuild_lake(root)
    assert problems(root) == []


def test_a_schema_version_that_became_bytes_is_told_in_one_line(root):
    # One bit of a record's header is the difference between text and bytes.
    fill(root)
    with closing(sqlite3.connect(root / CATALOG_FILE)) as connection, connection:
        connection.execute("update meta set value = cast(value as blob) where key = 'schema'")
    with refused("schema version is", kind=CatalogDamaged):
        lake_in(root)
    rebuild_lake(root)
    assert problems(root) == []


@pytest.mark.parametrize("change", ["operation = 'compact'", "parameters = replace(parameters, 'x:', 'y:')"])
def test_what_is_kept_up_is_not_told_from_a_damaged_run(root, change):
    with lake_in(root) as lake:
        lake.runs.finish(lake.runs.create("backfill", str(BARS), {"datasets": [str(BARS)]}).id)
        assert lake.runs.kept_up() == {str(BARS)}
    with closing(sqlite3.connect(root / CATALOG_FILE)) as connection, connection:
        connection.execute(f"update runs set {change}")
    with lake_in(root) as lake, refused("runs", kind=CatalogDamaged):
        lake.runs.kept_up()


def test_a_damaged_job_is_not_begun(root):
    with lake_in(root) as lake:
        queue = JobQueue(lake.engine.catalog.database, lake.engine.now, 60 * 10**9)
        queue.add([NewJob("compact", "all", None, {"number": 1})])
        with closing(sqlite3.connect(root / CATALOG_FILE)) as connection, connection:
            connection.execute("update jobs set parameters = replace(parameters, '1', '2')")
        with refused("jobs", kind=CatalogDamaged):
            queue.claim("me")


def test_a_damaged_row_that_is_written_again_does_not_become_sound(root):
    fill(root)
    with closing(sqlite3.connect(root / CATALOG_FILE)) as connection, connection:
        connection.execute("update runs set subject = 'another' where id = 1")
    with lake_in(root) as lake:
        lake.runs.update_progress(1, 0.5, {"new": 1})
        with refused("runs", kind=CatalogDamaged):
            lake.runs.get(1)


def test_a_damaged_statement_of_the_schema_is_told_in_one_line(root):
    fill(root)
    path = root / CATALOG_FILE
    flip(path, path.read_bytes().index(b" TABLE revisions"), 6)
    with refused(CATALOG_FILE, kind=CatalogDamaged):
        answers(root)
    with refused(CATALOG_FILE, kind=CatalogDamaged):
        problems(root)


def test_damaged_schema_text_that_is_not_utf8_is_one_clear_error(root):
    fill(root)
    path = root / CATALOG_FILE
    flip(path, path.read_bytes().index(b" TABLE revisions"), 7)
    with refused(CATALOG_FILE, kind=CatalogDamaged):
        answers(root)
    with refused(CATALOG_FILE, kind=CatalogDamaged):
        problems(root)
    rebuild_lake(root)
    assert problems(root) == []
