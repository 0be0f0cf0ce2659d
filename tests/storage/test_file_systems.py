from __future__ import annotations

from pathlib import Path

from ticklake.storage.file_systems import FileSystem, file_system_of, sync_seconds


def test_the_innermost_mount_counts_and_of_two_at_one_place_the_later(tmp_path):
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/sda1 / ext4 rw,relatime 0 0\n"
        f"//host/share {tmp_path} cifs rw 0 0\n"
        f"host:/vol {tmp_path} nfs4 rw,hard 0 0\n"
        f"/dev/sdb1 {tmp_path}/with\\040blank xfs rw,nobarrier 0 0\n"
        f"tmpfs {tmp_path}x tmpfs rw 0 0\n"
    )
    (tmp_path / "with blank").mkdir()
    assert file_system_of(tmp_path / "lake", mounts) == FileSystem("nfs4", str(tmp_path), frozenset({"rw", "hard"}))
    found = file_system_of(tmp_path / "with blank" / "lake", mounts)
    assert found is not None
    assert (found.kind, "nobarrier" in found.options) == ("xfs", True)
    assert file_system_of(Path("/usr"), mounts) == FileSystem("ext4", "/", frozenset({"rw", "relatime"}))


def test_where_the_system_does_not_say_nothing_is_known(tmp_path):
    assert file_system_of(tmp_path, tmp_path / "no-such-file") is None


def test_a_trial_of_durability_leaves_nothing(tmp_path):
    assert sync_seconds(tmp_path) > 0
    assert list(tmp_path.iterdir()) == []
