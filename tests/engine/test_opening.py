"""Where a lake may be made."""

import pytest

import ticklake
from ticklake.config import Settings
from ticklake.errors import NoLake, TicklakeError


@pytest.mark.parametrize("name", ["passwd", "notes.txt", ".git", "src/code.py"])
def test_a_folder_with_other_things_does_not_become_a_lake(tmp_path, name):
    """open("/etc") made a lake there."""
    folder = tmp_path / "mine"
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text("mine")
    before = sorted(folder.rglob("*"))
    with pytest.raises(NoLake, match="not a lake, and not empty"):
        ticklake.open(folder, settings=Settings())
    assert sorted(folder.rglob("*")) == before


def test_a_file_is_not_a_lake(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(TicklakeError):
        ticklake.open(tmp_path / "file", settings=Settings())
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("there", [[], ["ticklake.toml"], ["lost+found"], ["catalog.db", "catalog.db-shm"]])
def test_an_empty_folder_or_one_where_making_a_lake_was_cut_short_becomes_one(tmp_path, there):
    for name in there:
        (tmp_path / name).touch()
    ticklake.open(tmp_path, settings=Settings()).close()
    (tmp_path / "later.txt").write_text("a lake stays one whatever lies in it")
    with ticklake.open(tmp_path, settings=Settings()) as lake:
        assert lake.datasets() == []
