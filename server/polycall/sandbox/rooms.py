"""Cgroups of zygotes with guests and of their children: nobody else's until all of a zygote's processes are gone.

Children join through descriptors that their zygote is given. One that strangers' code has taken over could keep them,
and later join the cgroup of whoever has it then: to use up the memory of another project's run.
"""

from __future__ import annotations

from collections.abc import Callable

from polycall.sandbox.cgroup import Group

__all__ = ["Rooms", "Tenancy"]


class Tenancy:
    """The cgroups of one zygote: ``lodging`` is its own, the others are its children's, one after the other.

    ``over`` is to be set when the zygote has ended.
    """

    def __init__(self, find: Callable[[], Group]) -> None:
        """Raises OSError if there is no cgroup to be had."""
        self._find = find
        self.lodging = find()
        self.groups = [self.lodging]
        self._free: list[Group] = []
        self.over = False

    def take(self) -> Group:
        """Return a cgroup for a child. Raises OSError if none can be made."""
        if self._free:
            return self._free.pop()
        group = self._find()
        self.groups.append(group)
        return group

    def give_back(self, group: Group) -> None:
        """Take back the cgroup of a child that has left it."""
        self._free.append(group)

    @property
    def vacated(self) -> bool:
        """Whether nobody is left who could have kept a descriptor. Raises OSError."""
        given_back = len(self._free) + 1 == len(self.groups)
        return self.over and given_back and all(group.empty for group in self.groups)


class Rooms:
    """All tenancies. ``make`` makes a cgroup."""

    def __init__(self, make: Callable[[], Group]) -> None:
        self._make = make
        self._tenancies: list[Tenancy] = []
        self._spare: list[Group] = []

    def open(self) -> Tenancy:
        """Begin a tenancy. Raises OSError if no cgroup can be made."""
        tenancy = Tenancy(self._find)
        self._tenancies.append(tenancy)
        return tenancy

    def _find(self) -> Group:
        if not self._spare:
            for tenancy in [one for one in self._tenancies if one.vacated]:
                self._tenancies.remove(tenancy)
                self._spare += tenancy.groups
        return self._spare.pop() if self._spare else self._make()
