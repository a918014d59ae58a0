from pathlib import Path

import pytest

from proxyhpo._store.place import Place, check_single_name, is_shared

MOUNTS = [
    "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw",
    "40 22 0:40 / /home rw - nfs4 server:/home rw",
    "41 40 0:41 / /home/me/scratch rw shared:2 master:3 - xfs /dev/vdb rw",
    "42 22 254:0 /srv/study.db /data/study.db rw - ext4 /dev/vda rw",
]


@pytest.fixture
def mounts(monkeypatch):
    if not Path("/proc/self/mountinfo").exists():
        pytest.skip("only Linux tells")
    monkeypatch.setattr(Path, "read_text", lambda self: "\n".join(MOUNTS))


def test_network_file_systems_are_recognized_by_their_mounts(mounts):
    assert not is_shared(Path("/study.db"))
    assert is_shared(Path("/home/me/study.db"))
    assert not is_shared(Path("/home/me/scratch/study.db"))


def test_a_file_that_is_mounted_by_itself_gets_no_log(mounts):
    assert is_shared(Path("/data/study.db"))
    assert not is_shared(Path("/data/other.db"))


def test_inodes_do_not_count_on_a_network(mounts):
    assert Place.of(Path("/home/me/study.db")).inode is None


def test_a_place_is_kept_until_its_file_is_gone_or_another(tmp_path):
    path = tmp_path / "study.db"
    path.touch()
    place = Place.of(path)
    assert place.is_kept
    path.rename(tmp_path / "moved.db")
    assert not place.is_kept
    path.touch()
    assert not place.is_kept
    (tmp_path / "moved.db").replace(path)
    assert place.is_kept


def test_hard_links_are_refused(tmp_path):
    path = tmp_path / "study.db"
    check_single_name(path)
    path.touch()
    check_single_name(path)
    (tmp_path / "link.db").hardlink_to(path)
    with pytest.raises(ValueError, match=r"2 names \(hard links\).*python -m proxyhpo copy"):
        check_single_name(path)
