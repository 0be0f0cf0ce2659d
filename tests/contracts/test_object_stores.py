"""What every object store promises; each implementation passes this one suite."""

import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ticklake.errors import InvalidName, MissingSegment, StorageError, TicklakeError
from ticklake.storage.local import LocalStore
from ticklake.storage.memory import MemoryStore

OUTSIDE = ["../x", "a/../../x", "/x", "/etc/passwd", "a/..", "..", ".", "./x", ""]


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path):
    return LocalStore(tmp_path / "root") if request.param == "local" else MemoryStore()


def keys(store, prefix=""):
    return sorted(item.key for item in store.list(prefix))


def content(store, key):
    source = store.source(key)
    return source.read_bytes() if isinstance(source, Path) else source


@given(data=st.binary(max_size=2_000))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_put_comes_back(store, data):
    store.delete("a/b.bin")
    store.put("a/b.bin", data)
    assert store.get("a/b.bin") == data
    assert content(store, "a/b.bin") == data


@given(data=st.binary(max_size=200), start=st.integers(0, 250), length=st.integers(0, 250))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_range_is_that_part_of_the_bytes(store, data, start, length):
    store.delete("a/b.bin")
    store.put("a/b.bin", data)
    assert store.get_range("a/b.bin", start, length) == data[start : start + length]


def test_a_range_of_a_missing_object_is_a_missing_segment(store):
    with pytest.raises(MissingSegment, match="a/none"):
        store.get_range("a/none", 0, 1)


def test_an_empty_store_lists_nothing(store):
    assert keys(store) == []
    assert keys(store, "ohlcv") == []


def test_an_object_exists_once_it_was_put(store):
    assert not store.exists("a/b")
    store.put("a/b", b"1")
    assert store.exists("a/b")


def test_a_folder_is_not_an_object(store):
    store.put("a/b", b"1")
    assert not store.exists("a")
    with pytest.raises(StorageError):
        store.get("a")
    with pytest.raises(MissingSegment):
        store.source("a")


def test_listing_tells_key_and_size_of_every_object(store):
    store.put("a/b/c", b"123")
    store.put("d", b"")
    assert sorted((item.key, item.size) for item in store.list()) == [("a/b/c", 3), ("d", 0)]


def test_listing_tells_when_an_object_was_written(store):
    before = time.time_ns()
    store.put("a", b"1")
    (item,) = store.list()
    assert before - 2 * 10**9 <= item.modified <= time.time_ns() + 2 * 10**9


def test_a_prefix_is_a_folder_not_the_beginning_of_a_name(store):
    for key in ("trades/a", "trades/b/c", "trades2/d"):
        store.put(key, b"1")
    assert keys(store, "trades") == ["trades/a", "trades/b/c"]


def test_objects_may_go_while_they_are_listed(store):
    for number in range(20):
        store.put(f"a/{number}", b"1")
    seen = []
    for item in store.list("a"):
        seen.append(item.key)
        for number in range(20):
            store.delete(f"a/{number}")
    assert seen[0].startswith("a/")
    assert keys(store) == []


def test_a_missing_object_is_a_missing_segment_that_is_named(store):
    for read in (store.get, store.source):
        with pytest.raises(MissingSegment, match=r"a/gone\.parquet"):
            read("a/gone.parquet")


def test_a_moved_object_has_only_its_new_key(store):
    store.put("a/b", b"1")
    store.move("a/b", "retired/a/b")
    assert keys(store) == ["retired/a/b"]
    assert store.get("retired/a/b") == b"1"


def test_moving_what_is_gone_does_nothing(store):
    store.put("there", b"1")
    store.move("a/b", "c/d")
    assert keys(store) == ["there"]


def test_a_deleted_object_is_gone_and_deleting_it_again_does_nothing(store):
    store.put("a/b", b"1")
    store.delete("a/b")
    store.delete("a/b")
    assert keys(store) == []
    assert not store.exists("a/b")


def test_an_object_is_never_modified(store):
    store.put("a/b", b"first")
    with pytest.raises(StorageError):
        store.put("a/b", b"second")
    assert store.get("a/b") == b"first"


@pytest.mark.parametrize("key", OUTSIDE)
def test_no_key_that_leaves_the_root_is_written(store, key):
    store.put("there", b"1")
    with pytest.raises(InvalidName):
        store.put(key, b"2")
    with pytest.raises(InvalidName):
        store.move("there", key)
    assert keys(store) == ["there"]


@pytest.mark.parametrize("key", OUTSIDE)
def test_no_key_that_leaves_the_root_is_read_or_removed(store, key):
    for use in (store.get, store.source, store.delete, store.exists, lambda key: store.move(key, "a")):
        with pytest.raises(InvalidName):
            use(key)


@given(key=st.text(alphabet="ab./\\~%*? é=-", max_size=12))
@settings(max_examples=60, deadline=None)
def test_an_accepted_key_lies_inside_the_root(tmp_path_factory, key):
    outer = tmp_path_factory.mktemp("outer")
    store = LocalStore(outer / "root")
    try:
        store.put(key, b"1")
    except TicklakeError:
        pass
    else:
        assert store.get(key) == b"1"
    assert [path for path in outer.rglob("*") if path.is_file() and outer / "root" not in path.parents] == []


def test_threads_may_put_side_by_side(store):
    def put(worker):
        for number in range(10):
            store.put(f"deep/er/{number}/{worker}", b"1")

    threads = [threading.Thread(target=put, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys(store)) == 40
