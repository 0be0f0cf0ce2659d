"""What callers are told names no folder of the server's machine."""

from __future__ import annotations

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


def test_a_folder_with_a_usual_name_is_hidden_before_its_files_alone():
    hidden = HiddenPaths({Path("lake"): "the lake"})
    assert hidden.text("lake/catalog.db: the views of the lake, ticklake_names, lake.sql() and a lake/x") == (
        "catalog.db: the views of the lake, ticklake_names, lake.sql() and a x"
    )
    assert hidden.text("outlake/x my-lake/x") == "outlake/x my-lake/x"
