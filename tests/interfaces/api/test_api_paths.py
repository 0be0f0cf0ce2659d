"""What callers are told names no folder of the server's machine."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ticklake.app import open_lake
from ticklake.interfaces.api.hidden_paths import HiddenPaths


def test_folders_are_hidden_in_all_texts():
    paths = HiddenPaths({Path("/srv/lake"): "the lake", Path("/srv/out"): "the exports"})
    assert paths.text("no space for /srv/lake/catalog.db: see /srv/lake, /srv/out") == (
        "no space for catalog.db: see the lake, the exports"
    )
    assert paths.of({"a": ["/srv/lake/x", 1, None], "b": {"c": "/srv/lake"}}) == {
        "a": ["x", 1, None],
        "b": {"c": "the lake"},
    }


def test_a_lake_in_the_working_folder_changes_no_text(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert HiddenPaths({Path(): "the lake"}).text("a. b/c") == "a. b/c"


def test_a_folder_that_is_named_from_the_working_folder_is_hidden_where_one_of_its_files_follows():
    paths = HiddenPaths({Path("lake"): "the lake", Path("../out"): "the exports"}, ("catalog.db", "trades"))
    assert paths.text("lake/catalog.db: the row 1; lake/catalog.db-wal") == "catalog.db: the row 1; catalog.db-wal"
    assert paths.text("see lake/trades/x.parquet, ../out/trades") == "see trades/x.parquet, trades"
    for text in (
        "the lake",
        "lake/warehouse",
        "tick-lake/catalog.db",
        "my/lake/trades",
        "ticklake_names",
        "lake/tradesman",
    ):
        assert paths.text(text) == text


def test_damage_of_a_lake_in_a_folder_below_the_working_one_names_no_folder(monkeypatch, tmp_path, serve):
    monkeypatch.chdir(tmp_path)
    with open_lake("lakeC") as lake:
        job = lake.jobs.create("compact")
        with closing(sqlite3.connect("lakeC/catalog.db")) as connection, connection:
            connection.execute("UPDATE jobs SET expires_at = 1")
        answer = serve(lake).get(f"/jobs/{job.id}")
        assert answer.status_code == 500
        assert answer.json()["detail"].startswith("catalog.db: the row 1 of jobs")


def test_outcomes_and_logs_of_work_name_no_folder(tmp_path, serve):
    with open_lake(tmp_path / "lake") as lake:
        run = lake.runs.create("train", f"in {tmp_path}/lake", {"folder": f"{tmp_path}/out/monday"})
        lake.runs.append_log(run.id, f"reads {tmp_path}/lake/catalog.db")
        client = serve(lake, exports=str(tmp_path / "out"))
        client.post(f"/runs/{run.id}/finish", json={"state": "failed", "outcome": f"no space for {tmp_path}/lake"})
        for path in (f"/runs/{run.id}", "/runs", f"/runs/{run.id}/log"):
            text = client.get(path).text
            assert str(tmp_path) not in text, path
        assert client.get(f"/runs/{run.id}").json()["outcome"] == "no space for the lake"
        with client.stream("GET", "/events?topics=runs", headers={"Last-Event-ID": "0.1"}) as answer:
            for line in answer.iter_lines():
                assert str(tmp_path) not in line
                if line.startswith("data:") and "train" in line:
                    break
            else:
                pytest.fail("there was no event of the run")
