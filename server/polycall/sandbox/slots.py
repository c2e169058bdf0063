"""What each process tree has for itself on the host: a uid and a cgroup. Reused once its last occupant is gone."""

from __future__ import annotations

from polycall.quick import dataclass
from polycall.sandbox.cgroup import Cgroups, Group

__all__ = ["FIRST_UID", "Slot", "Slots"]

# Below are the system's own users, as everywhere (login.defs).
FIRST_UID = 1000


@dataclass(frozen=True, slots=True)
class Slot:
    """``uid`` is the one to take, None to keep the server's own."""

    index: int
    uid: int | None
    group: Group | None


class Slots:
    """Makes slots as they are needed, at most ``most``."""

    def __init__(self, most: int, uids: range | None, cgroups: Cgroups | None) -> None:
        self._most = most
        self._uids = uids
        self._cgroups = cgroups
        self._free: list[Slot] = []
        self._made: list[Slot] = []

    @property
    def left(self) -> int:
        """How many there are to give."""
        return len(self._free) + self._most - len(self._made)

    @property
    def exhausted(self) -> bool:
        """Whether there is none to give."""
        return self.left == 0

    def take(self) -> Slot:
        """Return a slot nobody is in. Raises IndexError when exhausted, OSError if its cgroup cannot be made."""
        if self._free:
            return self._free.pop()
        if self.exhausted:
            raise IndexError("all slots are taken")
        group = self._cgroups.make_group() if self._cgroups is not None else None
        index = len(self._made)
        slot = Slot(index, self._uids[index] if self._uids is not None else None, group)
        self._made.append(slot)
        return slot

    def give_back(self, slot: Slot) -> None:
        """Take a slot back, whatever cgroup its last occupant had."""
        self._free.append(self._made[slot.index])
