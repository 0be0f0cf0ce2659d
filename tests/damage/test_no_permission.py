"""The place cannot be written, or not even be read: it says so and names the place; it is not called damaged."""

import json
import os
import subprocess

import pytest
from damage_lakes import BARS, CURE, FOREIGN, MANY, child, file_of, full, lake_in, mounted, refused, tree

from ticklake.catalog.removal import known_paths
from ticklake.errors import ReadOnlyLake
from ticklake.testing.rows import bars

WRITES = {
    "append a file": lambda lake: lake.save(BARS, bars(5 * MANY, 6 * MANY)),
    "append inline": lambda lake: lake.save(BARS, bars(5 * MANY, 5 * MANY + 5)),
    "compact": lambda lake: lake.compact(),
    "delete": lambda lake: lake.delete(BARS),
}


@pytest.fixture
def read_only(filled, tmp_path):
    """The lake seen through a mount that cannot be written."""
    view = tmp_path / "view"
    view.mkdir()
    with mounted(view, "--bind", filled):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(view)], check=True)
        yield view


def test_a_read_only_place_is_read_and_verified_and_backed_up(read_only, tmp_path):
    with lake_in(read_only) as lake:
        assert lake.load(BARS).equals(full(bars(0, MANY), bars(2 * MANY, 2 * MANY + 500)))
        assert lake.verify(deep=True) == []
        lake.backup(tmp_path / "elsewhere")
    with lake_in(tmp_path / "elsewhere") as copy:
        assert copy.load(BARS).height == MANY + 500


@pytest.mark.parametrize("write", WRITES)
def test_a_read_only_place_refuses_writes_and_names_itself(read_only, filled, write):
    before = tree(filled), (filled / "catalog.db").read_bytes()
    with lake_in(read_only) as lake, refused(read_only, kind=ReadOnlyLake):
        WRITES[write](lake)
    assert (tree(filled), (filled / "catalog.db").read_bytes()) == before


def test_no_lake_is_made_in_a_read_only_place(read_only):
    with refused(read_only), lake_in(read_only / "new") as lake:
        lake.save(BARS, bars(0, 5))


_NOBODY = """
import json, os, sys, tempfile
from damage_lakes import BARS, MANY, lake_in, at
from ticklake.testing.rows import bars
acts = {
    "load": lambda lake: lake.load(BARS).height,
    "near": lambda lake: lake.load(BARS, at(2 * MANY)).height,
    "scan": lambda lake: lake.scan(BARS).collect().height,
    "verify": lambda lake: [problem.problem for problem in lake.verify()],
    "file": lambda lake: lake.save(BARS, bars(5 * MANY, 6 * MANY)).new,
    "inline": lambda lake: lake.save(BARS, bars(5 * MANY, 5 * MANY + 5)).new,
    "compact": lambda lake: len(lake.compact()),
    "backup": lambda lake: lake.backup(sys.argv[1] + "/../copy").copied,
}
with tempfile.TemporaryDirectory() as scratch, lake_in(scratch + "/lake") as lake:
    lake.save(BARS, bars(0, 5))  # imports everything while it may
    lake.save(BARS, bars(5, 2 * MANY))
    lake.compact()
    lake.scan(BARS).collect()
    lake.load(BARS)
    lake.verify(deep=True)
    lake.backup(scratch + "/copy")
os.setuid(65534)
for name in sys.argv[2:]:
    try:
        with lake_in(sys.argv[1]) as lake:
            print(json.dumps(["done", acts[name](lake)]))
    except BaseException as error:
        print(json.dumps([type(error).__name__, str(error)]))
"""


@pytest.fixture
def foreign(open_folder):
    """A lake that belongs to nobody; what a process of nobody's is told, act by act."""
    if os.getuid():
        pytest.skip("NOT TESTED: only root can become somebody else")
    root = open_folder / "lake"
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, MANY))
        lake.save(BARS, bars(2 * MANY, 2 * MANY + 500))
    for path in [open_folder, root, *root.rglob("*")]:
        os.chown(path, 65534, 65534)

    def told(*acts):
        return [json.loads(line) for line in child(_NOBODY, root, *acts)]

    return root, told


def locked(path):
    """Take a file or a folder away from everybody but root."""
    os.chown(path, 0, 0)
    path.chmod(0)


def clear(told, *words):
    name, text = told
    assert name.isidentifier(), told
    assert name not in {"PermissionError", "OSError", "ComputeError", "OperationalError", "done"}, told
    assert all(str(word) in text for word in words), told
    assert CURE.search(text), told
    assert not FOREIGN.search(text), told
    assert "permission" in text.lower(), told


def test_a_file_that_may_not_be_read_is_named_and_not_called_damaged(foreign):
    root, told = foreign
    path = file_of(root)
    locked(path)
    for answer in told("load", "scan", "compact"):
        clear(answer, path.name)
        assert "damaged" not in answer[1]


def test_a_backup_of_a_file_that_may_not_be_read_names_it(foreign):
    root, told = foreign
    path = file_of(root)
    locked(path)
    (answer,) = told("backup")
    clear(answer, path.name)


def test_rows_beside_a_file_that_may_not_be_read_are_read(foreign):
    root, told = foreign
    locked(file_of(root))
    assert told("near") == [["done", 500]]


def test_verify_tells_of_a_file_that_may_not_be_read(foreign):
    root, told = foreign
    locked(file_of(root))
    ((name, problems),) = told("verify")
    assert name == "done"
    assert "ermission" in problems[0]


def test_a_catalog_that_may_not_be_read_is_named(foreign):
    root, told = foreign
    locked(root / "catalog.db")
    for answer in told("load", "inline"):
        clear(answer, root / "catalog.db")


def test_a_folder_that_may_not_be_entered_is_named(foreign):
    root, told = foreign
    locked(root)
    answers = told("load", "inline")
    root.chmod(0o755)
    for answer in answers:
        clear(answer, root)


def test_a_folder_of_files_that_may_not_be_written_refuses_files_and_takes_inline_rows(foreign):
    root, told = foreign
    folder = file_of(root).parent
    os.chown(folder, 0, 0)
    folder.chmod(0o555)
    refusal, taken = told("file", "inline")
    clear(refusal, folder)
    assert taken == ["done", 5]


def test_what_was_refused_for_permission_left_nothing_and_works_afterwards(foreign):
    root, told = foreign
    folder = file_of(root).parent
    os.chown(folder, 0, 0)
    folder.chmod(0o555)
    told("file", "compact")
    folder.chmod(0o755)
    with lake_in(root) as lake:
        assert set(tree(root)) == known_paths(lake.engine.catalog.database)
        assert lake.verify(deep=True) == []
        assert lake.save(BARS, bars(5 * MANY, 6 * MANY)).new == MANY
        lake.compact()
        assert lake.load(BARS).height == 2 * MANY + 500
