"""How much a run may have on its file system. Standard library only: zygotes load it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Disk"]

# One inode for 16 KiB: ext4's usual ratio; at least some hundreds, so that small disks can hold a package.
_BYTES_PER_INODE = 16384
_LEAST_INODES = 1024


@dataclass(frozen=True, slots=True)
class Disk:
    """Bytes, and files and folders; as a bound, or as what there is."""

    bytes: int
    files: int

    @classmethod
    def of(cls, size: int, given: int = 0) -> Disk:
        """Return the disk of so many bytes, with room for so many files that it is given beside the usual."""
        return cls(size, max(_LEAST_INODES, size // _BYTES_PER_INODE) + given)
