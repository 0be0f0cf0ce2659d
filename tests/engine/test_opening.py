"""Where a lake may be made."""

import pytest

import ticklake
from ticklake.app import rebuild_lake
from ticklake.config import Settings
from ticklake.errors import BadInput, NoLake, TicklakeError


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


@pytest.mark.parametrize("form", ["{}", "sqlite:///{}", "sqlite:///{}/catalog.db"])
def test_a_lake_is_named_by_its_folder_or_the_url_of_its_catalog(tmp_path, form):
    with ticklake.open(form.format(tmp_path / "lake"), settings=Settings()) as lake:
        assert lake.root == tmp_path / "lake"
    assert (tmp_path / "lake" / "catalog.db").is_file()


def test_a_url_with_three_slashes_is_of_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ticklake.open("sqlite:///mine", settings=Settings()).close()
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    "url", ["postgresql://me:secret@host/db", "postgresql+psycopg://host/db", "postgres://host/db"]
)
@pytest.mark.parametrize(
    "open_it", [lambda url: ticklake.open(url, settings=Settings()), rebuild_lake], ids=["open", "rebuild"]
)
def test_a_catalog_in_postgresql_is_refused_and_nothing_is_made(tmp_path, monkeypatch, url, open_it):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="PostgreSQL come with a later version; name a folder") as refused:
        open_it(url)
    assert "secret" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url",
    ["s3://bucket/lake", "mysql://host/db", "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///mine?mode=ro"],
)
def test_a_url_that_names_no_place_for_a_catalog_is_refused(tmp_path, monkeypatch, url):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput):
        ticklake.open(url, settings=Settings())
    assert list(tmp_path.iterdir()) == []
