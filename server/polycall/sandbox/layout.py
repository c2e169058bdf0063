"""Where things are inside a sandbox. Standard library only: zygotes load it."""

from __future__ import annotations

import os
from dataclasses import dataclass

__all__ = ["NAMESPACED", "PACKAGES", "SHARED_MEMORY", "TRUSTED", "Layout"]


@dataclass(frozen=True, slots=True)
class Layout:
    """The directories of one run."""

    code: str  # root of the bundle, sys.path[0]
    work: str  # where input files are; the working directory
    temporary: str  # HOME and TMPDIR

    @classmethod
    def below(cls, root: str) -> Layout:
        """Lay a run out under one directory."""
        return cls(os.path.join(root, "code"), os.path.join(root, "req"), os.path.join(root, "tmp"))

    def create(self) -> None:
        """Make the directories."""
        for path in (self.code, self.work, self.temporary):
            os.mkdir(path, 0o700)


# With a mount namespace: one tmpfs a run, on /mnt, so that one quota holds for all of it. /mnt/req is where the Riza
# contract promises input files.
NAMESPACED = Layout.below("/mnt")
SHARED_MEMORY = "/mnt/shm"  # what /dev/shm leads to
PACKAGES = "/packages"  # the built environment of the image
TRUSTED = "/etc/ssl/egress.pem"  # the certificates that runs with a way out trust
