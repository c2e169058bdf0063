"""What is needed of the store for secrets, and for sealing anew what is sealed."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import field
from typing import Protocol, TypeAlias

from polycall.domain import EgressPolicy, Secret
from polycall.quick import dataclass
from polycall.store.protocol.pages import Page

__all__ = [
    "Sealed",
    "SealedRequest",
    "SealedSecret",
    "SealedSigning",
    "SealedStore",
    "SealedVersion",
    "SecretStore",
]


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """A secret as it is kept."""

    project_id: str
    id: str
    sealed: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SealedVersion:
    """What is sealed of a version, and ``kept``, the very texts that it was read from; ``seq`` tells versions apart."""

    seq: int
    project_id: str
    package_id: str
    egress: EgressPolicy | None = field(repr=False)
    secrets: Mapping[str, str] = field(repr=False)
    kept: tuple[str | None, str | None] = field(repr=False)


@dataclass(frozen=True, slots=True)
class SealedSigning:
    """A secret that signs notifications, as it is kept."""

    project_id: str
    id: str
    sealed: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SealedRequest:
    """What a face sealed beside an execution."""

    id: uuid.UUID
    project_id: str
    face: str
    sealed: str = field(repr=False)


Sealed: TypeAlias = SealedSecret | SealedVersion | SealedSigning | SealedRequest


class SecretStore(Protocol):
    """Secrets: what is known of them, and their values as they were sealed."""

    async def create_secret(self, secret: Secret, sealed: str, *, most: int, unique_name: bool = False) -> Secret:
        """Insert; raise AlreadyExists (id; ``unique_name``: name), QuotaExceeded beyond ``most``, NotFound (project).

        Of those who create at once, nobody gets beyond ``most``, nor the same unique name.
        """

    async def get_secret(self, project_id: str, secret_id: str) -> Secret:
        """Return; raise NotFound."""

    async def find_secret(self, project_id: str, name: str) -> Secret | None:
        """Return the newest of a name; None if there is none."""

    async def list_secrets(
        self,
        project_id: str,
        page_size: int,
        page_token: str = "",
        *,
        face: str | None = None,
        after: tuple[int, str] | None = None,
    ) -> Page[Secret]:
        """Return a page (of those of a face), newest first; raise InvalidArgument for a token that is not ours.

        ``after``: creation and id of what the first page begins after; it need not exist.
        """

    async def update_secret(
        self, project_id: str, secret_id: str, *, name: str | None = None, value: tuple[str, int] | None = None
    ) -> Secret:
        """Write a name, a value (sealed, and when it came), or both; raise NotFound."""

    async def delete_secret(self, project_id: str, secret_id: str) -> None:
        """Delete; raise NotFound."""

    async def sealed_secrets(self, project_id: str, ids: Collection[str]) -> Mapping[str, str]:
        """Return the sealed values of those that exist, by their ids."""


class SealedStore(Protocol):
    """What is sealed, of all projects: for who seals it anew. Never for who asks on behalf of a caller."""

    async def all_sealed_secrets(self, after: SealedSecret | None, rows: int) -> Sequence[SealedSecret]:
        """Return secrets in the order of project and id, those behind ``after``."""

    async def all_sealed_versions(self, after: SealedVersion | None, rows: int) -> Sequence[SealedVersion]:
        """Return versions with an egress policy or secrets of their own, in the order in which they were made."""

    async def all_sealed_signing(self, after: SealedSigning | None, rows: int) -> Sequence[SealedSigning]:
        """Return secrets that sign notifications in the order of project and id, those behind ``after``."""

    async def request_marks(self) -> Sequence[str]:
        """Return the marks (``polycall.sealing.mark_of``) that there are of what is sealed beside executions."""

    async def all_sealed_requests(self, mark: str, after: uuid.UUID | None, rows: int) -> Sequence[SealedRequest]:
        """Return what is sealed beside executions, of one mark, in the order of their ids, those behind ``after``."""

    async def reseal(self, changes: Sequence[tuple[Sealed, Sealed]]) -> int:
        """Put the second of each pair in the place of the first, unless that is not what is there any more.

        Returns how many were; all in one transaction.
        """
