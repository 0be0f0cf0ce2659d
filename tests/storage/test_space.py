"""The disk-space guard: how much is to stay free, and what is said when less is."""

import pytest

from ticklake.config import Settings, load_settings
from ticklake.errors import BadInput, DiskAlmostFull, DiskTooSmall
from ticklake.storage.space import Space

GIB = 1024**3


@pytest.mark.parametrize(
    ("min_free", "total", "needed"),
    [(GIB, 10 * GIB, GIB), ("2 %", 10 * GIB, GIB // 5), ("12.5%", 800, 100), (0, 10, 0)],
)
def test_a_size_or_a_share_of_the_disk(tmp_path, min_free, total, needed):
    assert Space(tmp_path, min_free).needed(total) == needed


def test_it_asks_the_disk_every_time_and_lets_go_on_once_there_is_space(tmp_path):
    free = [99, 100]
    space = Space(tmp_path, 100, usage=lambda _folder: (1_000, 1_000 - free[0], free.pop(0)))
    with pytest.raises(DiskAlmostFull, match="free some") as caught:
        space.check()
    assert str(tmp_path) in str(caught.value)
    assert not caught.value.retriable
    space.check()


def test_bytes_that_are_about_to_come_count(tmp_path):
    space = Space(tmp_path, 100, usage=lambda _folder: (1_000, 850, 150))
    space.check(50)
    with pytest.raises(DiskAlmostFull):
        space.check(51)


def test_a_disk_that_is_smaller_than_what_is_to_stay_free_is_told_so(tmp_path):
    space = Space(tmp_path, 256 * 2**20, usage=lambda _folder: (12 * 2**20, 0, 12 * 2**20))
    said = r"has 12\.0 MiB in all, and 256\.0 MiB are to stay free: to free some does not help, set min_free lower"
    with pytest.raises(DiskTooSmall, match=said):
        space.check()


def test_the_real_disk_is_asked(tmp_path):
    Space(tmp_path, 1).check()
    with pytest.raises(DiskAlmostFull):
        Space(tmp_path, 10**18).check()


@pytest.mark.parametrize(
    ("text", "meant"), [("1 GiB", GIB), ("500MB", 500 * 10**6), ("2 %", "2 %"), ("0.5%", "0.5%"), ("0", 0), (7, 7)]
)
def test_the_setting_reads_sizes_and_shares(text, meant):
    assert Settings(min_free=text).min_free == meant


@pytest.mark.parametrize("text", ["lots", "-1 GiB", "% 2", "200 %"])
def test_what_is_neither_is_refused(text):
    with pytest.raises(BadInput, match="min_free"):
        load_settings(min_free=text)
