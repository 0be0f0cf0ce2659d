"""No space is left, or files may not grow: refused in one line, nothing acknowledged is lost, and later it goes on."""

import contextlib
import json
import shutil
import subprocess
import sys

import pytest
from damage_lakes import BARS, CURE, ETH, FOREIGN, MANY, at, child, full, lake_in, mounted, refused, tree

from ticklake.app import CATALOG_FILE, rebuild_lake
from ticklake.catalog.removal import known_paths
from ticklake.engine import delete
from ticklake.errors import DiskFull, TicklakeError
from ticklake.storage.space import RESERVE
from ticklake.testing.clocks import OffsetClock
from ticklake.testing.rows import bars

_LIMITED = """
import json, resource, sys
from damage_lakes import BARS, MANY, lake_in
from ticklake.testing.rows import bars

def limited(size, act):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        act()
        told = ["done", ""]
    except BaseException as error:
        told = [type(error).__name__, str(error)]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(json.dumps(told))

lake = lake_in(sys.argv[1])
lake.save(BARS, bars(0, 2 * MANY))
lake.save(BARS, bars(2 * MANY, 2 * MANY + 100))
limited(50_000, lambda: lake.save(BARS, bars(3 * MANY, 5 * MANY)))
limited(20_000, lambda: [lake.save(BARS, bars(n * MANY, n * MANY + 3_000)) for n in range(10, 30)])
limited(50_000, lake.compact)
limited(50_000, lambda: lake.backup(sys.argv[1] + "-copy"))
limited(1_000, lambda: lake.delete(BARS))
print(lake.load(BARS).height, lake.verify(deep=True), lake.save(BARS, bars(3 * MANY, 5 * MANY)).new)
lake.compact()
lake.backup(sys.argv[1] + "-copy")
lake.close()
"""


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    """The lake; what was told of an append of a file, of inline rows, a compaction, a backup, a deletion; the end."""
    root = tmp_path_factory.mktemp("limited") / "lake"
    *told, end = child(_LIMITED, root)
    return root, [json.loads(line) for line in told], end


def clear(name, text):
    assert name in {"DiskFull", "CatalogError", "StorageError"}, (name, text)
    assert CURE.search(text), text
    assert not FOREIGN.search(text), text


def test_a_file_that_may_not_grow_is_a_full_disk_in_one_clear_line(limited):
    _, (file, inline, compaction, _, deletion), _ = limited
    assert (file[0], compaction[0]) == ("DiskFull", "DiskFull")
    for told in (file, inline, compaction, deletion):
        clear(*told)


def test_a_backup_that_may_not_grow_is_told_with_a_cure(limited):
    _, (_, _, _, backup, _), _ = limited
    clear(*backup)


def test_after_the_limit_everything_acknowledged_is_there_and_all_works(limited):
    root, _, end = limited
    assert end == f"{2 * MANY + 100} [] {2 * MANY}"
    for folder in (root, root.with_name(f"{root.name}-copy")):
        with lake_in(folder) as lake:
            assert lake.load(BARS).equals(full(bars(0, 2 * MANY + 100), bars(3 * MANY, 5 * MANY)))
            assert lake.verify(deep=True) == []


@pytest.fixture
def small(tmp_path):
    """A place of two megabytes, part of it taken by a file that can go."""
    place = tmp_path / "small"
    place.mkdir()
    with mounted(place, "-t", "tmpfs", "-o", "size=2m", "tmpfs"):
        (place / "ballast").write_bytes(bytes(400_000))
        yield place


def fill(path):
    """Take all the space that is left."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4_096))


def save_until_full(lake, batch):
    """Save batches of *batch* bars until the disk is full; return how many bars were acknowledged."""
    done = 0
    with refused("no space", kind=TicklakeError) as caught:
        while done < 100 * MANY:
            lake.save(BARS, bars(done, done + batch))
            done += batch
    assert isinstance(caught.value, DiskFull)
    return done


@pytest.mark.parametrize("batch", [500, MANY])
def test_a_full_disk_keeps_what_was_acknowledged_and_is_still_read(small, batch):
    with lake_in(small / "lake") as lake:
        done = save_until_full(lake, batch)
        assert lake.load(BARS).equals(full(bars(0, done)))
        assert lake.verify(deep=True) == []


@pytest.mark.parametrize("batch", [500, MANY])
def test_a_full_disk_is_opened_again_and_goes_on_once_there_is_space(small, batch):
    with lake_in(small / "lake") as lake:
        done = save_until_full(lake, batch)
    with lake_in(small / "lake") as lake:
        assert lake.load(BARS).height == done
        (small / "ballast").unlink()
        lake.save(BARS, bars(done, done + batch))
        assert lake.load(BARS).equals(full(bars(0, done + batch)))
        assert lake.verify(deep=True) == []


@pytest.mark.parametrize("batch", [500, MANY])
def test_a_full_disk_leaves_no_half_written_file(small, batch):
    with lake_in(small / "lake") as lake:
        save_until_full(lake, batch)
        assert set(tree(small / "lake")) == known_paths(lake.engine.catalog.database)


def test_a_compaction_without_space_changes_nothing(small):
    with lake_in(small / "lake") as lake:
        done = save_until_full(lake, MANY)
        before = tree(small / "lake")
        with refused("no space"):
            lake.compact()
        assert tree(small / "lake") == before
        assert lake.load(BARS).equals(full(bars(0, done)))


def test_a_backup_to_a_full_disk_is_refused_and_leaves_the_lake_alone(small, root):
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, 40 * MANY))
        (small / "more").write_bytes(bytes(1_400_000))
        with refused(small):
            lake.backup(small / "copy")
        (small / "more").unlink()
        (small / "ballast").unlink()
        lake.delete(BARS, None, None)
        lake.save(BARS, bars(0, MANY))
        lake.backup(small / "copy")
    with lake_in(small / "copy") as copy:
        assert copy.load(BARS).height == MANY


def test_a_new_lake_on_a_full_disk_is_refused(small):
    fill(small / "rest")
    with refused("lake"), lake_in(small / "lake") as lake:
        lake.save(BARS, bars(0, 10))


# what frees space works without any


DAY = 86_400 * 10**9


@pytest.fixture
def packed(small):
    """A lake with replaced files of nine days ago, on a disk that something else has filled up since."""
    clock = OffsetClock()
    with lake_in(small / "lake", clock) as lake:
        lake.save(BARS, bars(0, MANY))
        lake.save(BARS, bars(MANY, MANY + 100))
        lake.compact()
        lake.save(BARS, bars(MANY + 100, MANY + 300))
    clock.ahead = 9 * DAY
    fill(small / "rest")
    assert shutil.disk_usage(small).free == 0
    return small / "lake", clock


def test_a_full_disk_is_read_vacuumed_and_cleaned(packed):
    root, clock = packed
    with lake_in(root, clock) as lake:
        assert lake.load(BARS).height == MANY + 300
        done = lake.vacuum()
        assert (done.segments, done.bytes > 0) == (2, True)
    fill(root.parent / "more")
    with lake_in(root, clock) as lake:
        assert lake.cleanup(10).rows == MANY + 300
        assert lake.verify() == []
        lake.vacuum(keep=0)
        assert tree(root) == []


@pytest.mark.parametrize("accident", ["sound", "damaged", "lost"])
def test_a_catalog_is_rebuilt_on_a_full_disk(packed, accident):
    root, clock = packed
    catalog = root / CATALOG_FILE
    if accident == "damaged":
        data = catalog.read_bytes()
        catalog.write_bytes(b"garbage!" * (len(data) // 8))
    if accident == "lost":
        catalog.unlink()
        fill(root.parent / "more")
    assert shutil.disk_usage(root).free == 0
    rebuild_lake(root, clock, force=accident == "sound")
    with lake_in(root, clock) as lake:
        assert lake.load(BARS).height == (MANY + 300 if accident == "sound" else MANY + 100)
        assert lake.verify(deep=True) == []


def test_without_a_reserve_a_full_disk_is_told_and_nothing_is_replaced(packed):
    """The lake of an earlier version has none before its first vacuum."""
    root, clock = packed
    (root / f"{CATALOG_FILE}.reserve").unlink()
    fill(root.parent / "more")
    before = (root / CATALOG_FILE).read_bytes()
    with refused(root, kind=TicklakeError):
        rebuild_lake(root, clock, force=True)
    assert (root / CATALOG_FILE).read_bytes() == before


def test_the_reserve_is_filled_again_once_there_is_space(packed):
    root, clock = packed
    reserve = root / f"{CATALOG_FILE}.reserve"
    with lake_in(root, clock) as lake:
        lake.vacuum()
        (root.parent / "rest").unlink()
        assert reserve.stat().st_size < RESERVE
        lake.vacuum()
    assert reserve.stat().st_size == RESERVE


_LIMITED_SHELL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
from ticklake.interfaces.cli.main import main
sys.argv = ["ticklake", *sys.argv[2:]]
main()
"""


@pytest.mark.parametrize(
    "verb", [["compact"], ["backup", "COPY"], ["vacuum"], ["cleanup", "--days", "3"], ["rebuild", "--force"]]
)
@pytest.mark.parametrize("size", [0, 3_000, 40_000])
def test_files_that_may_not_grow_are_one_line_in_the_shell(filled, verb, size, tmp_path):
    words = [str(tmp_path / "there") if word == "COPY" else word for word in verb]
    command = [sys.executable, "-c", _LIMITED_SHELL, str(size), *words, "--lake", str(filled)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in {0, 1}, (done.returncode, done.stderr)
    assert not FOREIGN.search(done.stdout + done.stderr), done.stderr
    if done.returncode:
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    with lake_in(filled) as lake:
        assert lake.verify(deep=True) == []


def test_what_is_too_old_as_a_whole_leaves_although_there_is_no_space_to_cut(root, monkeypatch):
    clock = OffsetClock()
    with lake_in(root, clock) as lake:
        for first in (0, MANY, 2 * MANY):
            lake.save(BARS, bars(first, first + MANY))
        lake.save(ETH, bars(0, MANY))
        clock.ahead = at(2 * MANY + 1440 * 11) - clock()

        def no_space(*_values, **_named):
            raise DiskFull("no space for a file: free some")

        with monkeypatch.context() as full:
            full.setattr(delete, "write_file", no_space)
            with refused("no space", "vacuum --keep 0", kind=DiskFull):
                lake.cleanup(10)
        assert (lake.load(BARS).height, lake.load(ETH).height) == (MANY, 0)
        lake.vacuum(0)
        assert len(tree(root)) == 1
        lake.cleanup(10)
        assert 0 < lake.load(BARS).height < MANY
        assert lake.verify() == []
