"""``polycall keys`` and ``polycall projects``: who may do what, where."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from polycall.cli.client import Client, with_client
from polycall.cli.options import DURATION, json_option
from polycall.domain import Scope

if TYPE_CHECKING:
    from polycall.v1.tenancy_service_pb2 import ApiKey, Project

__all__ = ["keys", "projects"]

_SCOPES = click.Choice([scope.value for scope in Scope])
_project_option = click.option("--project", metavar="ID", default="", help="Another project than your key's.")


@click.group("keys")
def keys() -> None:
    """Create, see and revoke API keys."""


@keys.command("create")
@click.option("--name", metavar="TEXT", default="", help="For people: what the key is for.")
@click.option("--scope", "scopes", type=_SCOPES, multiple=True, help="What it may do; repeatable. Default: run, read.")
@click.option("--expires", type=DURATION, metavar="DURATION", help="Ends after so long, such as 30d. Default: never.")
@_project_option
@json_option
@with_client
def create_command(
    client: Client, name: str, scopes: tuple[str, ...], expires: float | None, project: str, as_json: bool
) -> None:
    """Create an API key. Its text is printed on standard output, now and never again."""
    from polycall.cli.show import print_json, words
    from polycall.cli.terminal import say, tell
    from polycall.v1 import tenancy_service_pb2 as pb

    request = pb.CreateApiKeyRequest(
        project=_project_name(project),
        display_name=name,
        scopes=[f"SCOPE_{scope.upper()}" for scope in scopes],
    )
    if expires is not None:
        request.expire_time.FromDatetime(datetime.now(UTC) + timedelta(seconds=expires))
    answer = client.call(client.keys.CreateApiKey, request)
    if as_json:
        print_json(answer)
        return
    say(answer.key)
    made = answer.api_key
    scope_words = words(made, "scopes", made.scopes).lower()
    tell(f"{made.name} of {made.project} may {scope_words}. Keep its text: it is not stored.")


@keys.command("list")
@_project_option
@json_option
@with_client
def list_command(client: Client, project: str, as_json: bool) -> None:
    """List API keys, revoked ones too."""
    from polycall.cli.show import moment, print_json, words
    from polycall.cli.table import print_table
    from polycall.v1 import tenancy_service_pb2 as pb

    answer = client.call(client.keys.ListApiKeys, pb.ListApiKeysRequest(project=_project_name(project)))
    if as_json:
        print_json(answer)
        return
    rows = [
        [
            key.name.removeprefix("apiKeys/"),
            key.display_name,
            _state(key),
            words(key, "scopes", key.scopes).lower(),
            moment(key.create_time),
            moment(key.expire_time),
            moment(key.last_used_time),
        ]
        for key in answer.api_keys
    ]
    print_table(["KEY", "NAME", "STATE", "SCOPES", "CREATED", "EXPIRES", "LAST USED"], rows)


@keys.command("get")
@click.argument("key_id")
@_project_option
@json_option
@with_client
def get_command(client: Client, key_id: str, project: str, as_json: bool) -> None:
    """Show what is known of an API key; its text is not."""
    from polycall.cli.show import moment, print_json, words
    from polycall.cli.table import print_facts
    from polycall.v1 import key_service_pb2 as pb

    request = pb.GetApiKeyRequest(name=_key_name(key_id), project=_project_name(project))
    key = client.call(client.keys.GetApiKey, request)
    if as_json:
        print_json(key)
        return
    print_facts(
        [
            ("key", key.name),
            ("project", key.project),
            ("name", key.display_name),
            ("state", _state(key)),
            ("scopes", words(key, "scopes", key.scopes).lower()),
            ("created", moment(key.create_time)),
            ("expires", moment(key.expire_time)),
            ("revoked", moment(key.revoke_time)),
            ("last used", moment(key.last_used_time)),
        ]
    )


@keys.command("revoke")
@click.argument("key_id")
@_project_option
@json_option
@with_client
def revoke_command(client: Client, key_id: str, project: str, as_json: bool) -> None:
    """Revoke an API key, by its id, at once."""
    from polycall.cli.show import print_json
    from polycall.cli.terminal import say
    from polycall.v1 import tenancy_service_pb2 as pb

    request = pb.RevokeApiKeyRequest(name=_key_name(key_id), project=_project_name(project))
    revoked = client.call(client.keys.RevokeApiKey, request)
    if as_json:
        print_json(revoked)
    else:
        say(f"{revoked.name} is revoked.")


@click.group("projects")
def projects() -> None:
    """Create, see and limit projects."""


@projects.command("create")
@click.argument("project_id")
@click.option("--display-name", metavar="TEXT", default="", help="For people.")
@json_option
@with_client
def create_project_command(client: Client, project_id: str, display_name: str, as_json: bool) -> None:
    """Create a project."""
    from polycall.cli.show import print_json
    from polycall.cli.terminal import say
    from polycall.v1 import tenancy_service_pb2 as pb

    request = pb.CreateProjectRequest(project_id=project_id, project=pb.Project(display_name=display_name))
    project = client.call(client.tenancy.CreateProject, request)
    if as_json:
        print_json(project)
    else:
        say(project.name)


@projects.command("list")
@json_option
@with_client
def list_projects_command(client: Client, as_json: bool) -> None:
    """List all projects."""
    from polycall.cli.show import moment, print_json
    from polycall.cli.table import print_table
    from polycall.v1 import tenancy_service_pb2 as pb

    answer = client.call(client.tenancy.ListProjects, pb.ListProjectsRequest())
    if as_json:
        print_json(answer)
        return
    rows = [
        [p.name.removeprefix("projects/"), p.display_name, moment(p.create_time), _limit(p)] for p in answer.projects
    ]
    print_table(["PROJECT", "DISPLAY NAME", "CREATED", "AT ONCE"], rows)


@projects.command("get")
@click.argument("project_id")
@json_option
@with_client
def get_project_command(client: Client, project_id: str, as_json: bool) -> None:
    """Show a project: your key's, or with the scope operator any."""
    from polycall.v1 import tenancy_service_pb2 as pb

    request = pb.GetProjectRequest(name=_project_name(project_id))
    _print_project(client.call(client.tenancy.GetProject, request), as_json)


@projects.command("set")
@click.argument("project_id")
@click.option("--display-name", metavar="TEXT", help="For people.")
@click.option("--max-running", type=int, help="So many of its Calls run at once, over all servers: 1 to 10000.")
@click.option("--no-limit", is_flag=True, help="Any number of its Calls run at once.")
@json_option
@with_client
def set_project_command(
    client: Client,
    project_id: str,
    display_name: str | None,
    max_running: int | None,
    no_limit: bool,
    as_json: bool,
) -> None:
    """Set what is given of a project; the rest stays. What waits already follows a limit."""
    from polycall.v1 import tenancy_service_pb2 as pb

    if no_limit and max_running is not None:
        raise click.UsageError("that is given and taken away at once.")
    project = pb.Project(name=_project_name(project_id), display_name=display_name or "", max_running=max_running)
    request = pb.UpdateProjectRequest(project=project)
    if display_name is not None:
        request.update_mask.paths.append("display_name")
    if no_limit or max_running is not None:
        request.update_mask.paths.append("max_running")
    if not request.update_mask.paths:
        raise click.UsageError("say what to set: --display-name, --max-running or --no-limit.")
    _print_project(client.call(client.tenancy.UpdateProject, request), as_json)


def _print_project(project: Project, as_json: bool) -> None:
    from polycall.cli.show import moment, print_json
    from polycall.cli.table import print_facts

    if as_json:
        print_json(project)
        return
    print_facts(
        [
            ("project", project.name),
            ("display name", project.display_name),
            ("created", moment(project.create_time)),
            ("at once", _limit(project)),
        ]
    )


def _limit(project: Project) -> str:
    return str(project.max_running) if project.HasField("max_running") else "any number"


def _key_name(key_id: str) -> str:
    return key_id if key_id.startswith("apiKeys/") else f"apiKeys/{key_id}"


def _project_name(project: str) -> str:
    return f"projects/{project}" if project and not project.startswith("projects/") else project


def _state(key: ApiKey) -> str:
    if key.HasField("revoke_time"):
        return "revoked"
    if key.HasField("expire_time") and key.expire_time.ToDatetime(UTC) <= datetime.now(UTC):
        return "expired"
    return "active"
