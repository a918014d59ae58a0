"""Where the file of a store lies: on which file system, by how many names, and if it still does.

SQLite finds the log and the journal of a database by its name. A file with two names has two logs,
and a file that has lost its name loses what is written to it when the process ends.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import Self

__all__ = ["Place", "check_single_name", "is_shared"]

_NETWORK = {"9p", "afs", "beegfs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs", "gpfs", "lustre"}
_NETWORK |= {"nfs", "nfs4", "pvfs2", "smb3"}


def is_shared(path: Path) -> bool:
    """Whether a write-ahead log must not be used for a file; Linux tells, others do not.

    It must not on a network, where another machine may have the file open, nor for a file that is
    mounted by itself (as into a container): its log would lie where no other mount shows it.
    """
    mounts = _mounts()
    return str(path) in mounts or _is_on_network(path, mounts)


def check_single_name(path: Path) -> None:
    """Refuses a file with hard links.

    Raises:
        ValueError: saying how to copy it instead.
    """
    if path.exists() and (names := path.stat().st_nlink) > 1:
        raise ValueError(
            f"the file has {names} names (hard links), and writing to it by one of them can damage "
            "it for the others; make a copy: python -m proxyhpo copy"
        )


@dataclass(frozen=True)
class Place:
    """A file as it was when it was opened.

    Args:
        path: of the file.
        device: number of the file system; None where inodes may change, as on a network.
        inode: number of the file there.
    """

    path: Path
    device: int | None = None
    inode: int | None = None

    @classmethod
    def of(cls, path: Path) -> Self:
        """Of a file that is there."""
        if _is_on_network(path, _mounts()):
            return cls(path)
        status = path.stat()
        return cls(path, status.st_dev, status.st_ino)

    @property
    def is_kept(self) -> bool:
        """Whether the path still leads to this file."""
        try:
            status = os.stat(self.path)  # noqa: PTH116 - pathlib's takes three times as long
        except (FileNotFoundError, NotADirectoryError):
            return False
        return self.inode is None or (status.st_dev, status.st_ino) == (self.device, self.inode)


def _mounts() -> dict[str, str]:
    """Mount point → kind of file system; empty where the system does not tell."""
    table = Path("/proc/self/mountinfo")
    if not table.exists():
        return {}
    kinds: dict[str, str] = {}
    for line in table.read_text().splitlines():
        before, _, after = line.partition(" - ")
        kinds[before.split()[4]] = after.split()[0]
    return kinds


def _is_on_network(path: Path, mounts: dict[str, str]) -> bool:
    around = (mounts[str(folder)] for folder in [path, *path.parents] if str(folder) in mounts)
    return next(around, None) in _NETWORK
