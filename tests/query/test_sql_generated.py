"""Generated SQL: whatever a stranger writes, the lake stays as it is, nothing else is read, and memory has its limit."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from sql_generator import Generator
from sql_lakes import filled
from test_sql_sandbox import MIB, digest

from ticklake.core.sql import SqlLimits, SqlResult
from ticklake.errors import InvalidQuery, QueryTooLarge
from ticklake.query.sql_sandbox import Sandbox

SECRET = "a-secret-that-no-query-reads"
LIMITS = SqlLimits(memory=768 * MIB, seconds=1.0, rows=500, bytes=4 * MIB)


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    with filled(tmp_path_factory.mktemp("generated")) as lake:
        yield lake


class Memory:
    """Watches from outside how much memory the processes of a sandbox have."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.largest = 0
        self._seen: set[int] = set()
        self._done = threading.Event()
        take = sandbox.take

        def noted():
            process = take()
            self._seen = {process.pid}
            return process

        sandbox.take = noted
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_error):
        self._done.set()
        self._thread.join()

    def _watch(self):
        while not self._done.wait(0.01):
            for pid in self._seen:
                try:
                    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
                except OSError:
                    continue
                found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")]
                self.largest = max([self.largest, *found])


def attack(lake, folder, seed, *, queries=None, seconds=None):
    """Run generated queries; return how many were answered and how many refused."""
    folder.chmod(0o777)
    secret = folder / "secret.txt"
    secret.write_text(SECRET)
    secret.chmod(0o666)
    (lake.root / "readable.csv").write_text(SECRET)
    before, beside = digest(lake.root), digest(folder)
    segment = next(lake.root.rglob("*.parquet"))
    paths = {"file": str(secret), "out": str(folder / "out"), "lake": str(lake.root), "segment": str(segment)}
    generator = Generator(seed, **paths)
    counts = {SqlResult: 0, InvalidQuery: 0, QueryTooLarge: 0}
    lines: list[str] = []
    end = time.monotonic() + (seconds or 10**9)
    with Sandbox(LIMITS, spare=1) as sandbox, Memory(sandbox) as memory:
        while sum(counts.values()) < (queries or 10**9) and time.monotonic() < end:
            query = generator.query()
            try:
                answer = sandbox.query(lake.engine, query).run()
            except (InvalidQuery, QueryTooLarge) as error:
                counts[type(error)] += 1
                lines.append(str(error))
                continue
            counts[SqlResult] += 1
            assert answer.rows <= LIMITS.rows
            # A query that has the secret's path in its own text may show that: what it may not show is what stands in the file.
            assert SECRET not in str(answer.frame.rows()), query
            assert digest(folder) == beside, query
    assert (digest(lake.root), digest(folder)) == (before, beside)
    assert memory.largest <= LIMITS.memory
    assert [line for line in lines if "\n" in line] == []
    return counts


def test_some_generated_queries_change_and_read_nothing(lake, tmp_path):
    counts = attack(lake, tmp_path, 7, queries=8)
    assert counts[SqlResult]
    assert counts[InvalidQuery]


@pytest.mark.trials
def test_a_minute_of_generated_queries_changes_and_reads_nothing(lake, tmp_path):
    counts = attack(lake, tmp_path, 1, seconds=60)
    assert sum(counts.values()) > 30


@pytest.mark.soak
def test_ten_minutes_of_generated_queries_change_and_read_nothing(lake, tmp_path):
    counts = attack(lake, tmp_path, time.time_ns(), seconds=600)
    assert sum(counts.values()) > 300
