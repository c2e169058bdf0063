"""What the operator tells this face in a file (TOML), by project: aliases of apps, people, the instance."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from polycall.domain import EgressPolicy, EgressRule
from polycall.engine.egress import egress_violations
from polycall.errors import FailedPrecondition

__all__ = ["Alias", "DomoSettings", "ProjectSettings", "domo_settings", "egress_of", "read_settings"]


class AliasParameter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An input of a function, and what an app calls it."""

    alias: str
    name: str


class AliasOutput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an app calls the result; nothing is sent under it."""

    alias: str


class Alias(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A function of a released version, under the name that an app has for it."""

    package_id: str
    version: str
    function_name: str
    parameters: tuple[AliasParameter, ...] = ()
    output: AliasOutput | None = None

    def real_name(self, given: str) -> str:
        """Return the input that an app means by a name; one that is not mapped is the input's own."""
        return next((each.name for each in self.parameters if each.alias == given), given)


class ProjectSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One project's. ``people``: display names by id. ``instance``: where paths that code asks for are."""

    aliases: dict[str, Alias] = {}
    people: dict[str, str] = {}
    instance: str = ""


class DomoSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    projects: dict[str, ProjectSettings] = {}

    def of(self, project_id: str) -> ProjectSettings:
        """Return what holds for a project."""
        return self.projects.get(project_id, _NOTHING)


_NOTHING = ProjectSettings()


def domo_settings(path: str, hosts: str) -> tuple[DomoSettings, EgressPolicy | None]:
    """Return what the file says, and what code reaches whose versions name no hosts; None: nothing.

    Raises FailedPrecondition, which says what is wrong and where.
    """
    try:
        return read_settings(path), egress_of(hosts.replace(",", " ").split())
    except ValueError as error:
        raise FailedPrecondition(f"The settings of the Domo face are wrong: {error}.", subject="domo") from None


def read_settings(path: str) -> DomoSettings:
    """Read the file; "" is none. Raises ValueError, which says what is wrong and where."""
    if not path:
        return DomoSettings()
    try:
        with Path(path).open("rb") as stream:
            told = tomllib.load(stream)
        return msgspec.convert(told, DomoSettings)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise ValueError(f"{path}: {error}") from None


def egress_of(hosts: Iterable[str]) -> EgressPolicy | None:
    """Return the policy of code whose versions name no hosts; None: it reaches none. Raises ValueError."""
    rules = tuple(EgressRule(host=host) for host in hosts)
    if not rules:
        return None
    policy = EgressPolicy(rules=rules)
    for violation in egress_violations(policy, "hosts"):
        raise ValueError(f"{violation.field}: {violation.description}")
    return policy
