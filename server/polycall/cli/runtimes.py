"""``polycall runtimes``: packages that code runs with."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from polycall.cli.client import Client, with_client
from polycall.cli.exits import Exit
from polycall.cli.failures import Failure
from polycall.cli.options import confirm_deletion, json_option, limit_option, read_bytes, runtime_name, shown_id
from polycall.domain import Language

if TYPE_CHECKING:
    from polycall.v1.runtime_pb2 import RuntimeRevision

__all__ = ["runtimes"]

_PAGE = 1000  # the largest page the server gives
_NEWEST = "-"
_LOOK_S = 1.0  # how often the log of a build is looked at
_LANGUAGES = click.Choice([Language.PYTHON.value, Language.JAVASCRIPT.value])

_revision_option = click.option("--revision", metavar="ID", default=_NEWEST, help="Default: the newest.")


@click.group("runtimes")
def runtimes() -> None:
    """Build, see and delete runtimes: a language with packages of your own."""


@runtimes.command("build")
@click.argument("runtime", type=runtime_name)
@click.argument("manifest")
@click.option("--import", "imports", multiple=True, metavar="MODULE", help="Preload this module too; repeatable.")
@click.option("--language", type=_LANGUAGES, help="Default: javascript for a .json file, else python.")
@click.option("--display-name", metavar="TEXT", default="", help="Name of a new runtime, for people.")
@click.option("--no-wait", is_flag=True, help="Do not wait for the build.")
@json_option
@with_client
def build_command(
    client: Client,
    runtime: str,
    manifest: str,
    imports: tuple[str, ...],
    language: str | None,
    display_name: str,
    no_wait: bool,
    as_json: bool,
) -> None:
    """Build a revision of RUNTIME from MANIFEST: a requirements.txt or package.json, or - for standard input.

    The runtime is made if there is none. The log is shown as it is written. Ctrl-C stops showing it; the build goes on.
    """
    from polycall.cli.show import print_json, word
    from polycall.v1 import runtime_pb2

    chosen = language or ("javascript" if Path(manifest).suffix == ".json" else "python")
    try:
        text = read_bytes(manifest).decode()
    except UnicodeDecodeError:
        raise Failure(f"{manifest} is not UTF-8 text.") from None
    draft = runtime_pb2.RuntimeRevision(manifest=text, additional_imports="\n".join(imports))
    made = _created(client, runtime, chosen, display_name, draft)
    if not no_wait:
        made = _followed(client, made, quiet=as_json)
    if as_json:
        print_json(made)
    else:
        _print_revision(made)
    if word(made, "state") == "FAILED":
        raise Failure(f"{made.name} could not be built: {made.error}", Exit.FAILED)


@runtimes.command("list")
@limit_option(100)
@json_option
@with_client
def list_command(client: Client, limit: int, as_json: bool) -> None:
    """List runtimes, newest first, with the state of their newest revision."""
    from polycall.cli.show import moment, print_json, word
    from polycall.cli.table import print_table
    from polycall.v1 import runtime_service_pb2 as pb

    request, answer = pb.ListRuntimesRequest(), pb.ListRuntimesResponse()
    while True:
        request.page_size = min(limit - len(answer.runtimes), _PAGE)
        page = client.call(client.runtimes.ListRuntimes, request)
        answer.runtimes.extend(page.runtimes)
        answer.next_page_token = request.page_token = page.next_page_token
        if not page.next_page_token or len(answer.runtimes) >= limit:
            break
    if as_json:
        print_json(answer)
        return
    rows = [
        [
            shown_id(r.name),
            word(r, "language").lower(),
            word(r.newest_revision, "state"),
            _size(r.newest_revision),
            moment(r.newest_revision.create_time),
            r.display_name,
        ]
        for r in answer.runtimes
    ]
    print_table(["RUNTIME", "LANGUAGE", "NEWEST", "SIZE", "OF", "DISPLAY NAME"], rows)


@runtimes.command("get")
@click.argument("runtime", type=runtime_name)
@_revision_option
@json_option
@with_client
def get_command(client: Client, runtime: str, revision: str, as_json: bool) -> None:
    """Show a revision of a runtime."""
    from polycall.cli.show import print_json

    found = _revision(client, runtime, revision)
    if as_json:
        print_json(found)
    else:
        _print_revision(found)


@runtimes.command("revisions")
@click.argument("runtime", type=runtime_name)
@limit_option(100)
@json_option
@with_client
def revisions_command(client: Client, runtime: str, limit: int, as_json: bool) -> None:
    """List the revisions of a runtime, newest first."""
    from polycall.cli.show import moment, print_json, word
    from polycall.cli.table import print_table
    from polycall.v1 import runtime_service_pb2 as pb

    request, answer = pb.ListRuntimeRevisionsRequest(parent=runtime), pb.ListRuntimeRevisionsResponse()
    while True:
        request.page_size = min(limit - len(answer.revisions), _PAGE)
        page = client.call(client.runtimes.ListRuntimeRevisions, request)
        answer.revisions.extend(page.revisions)
        answer.next_page_token = request.page_token = page.next_page_token
        if not page.next_page_token or len(answer.revisions) >= limit:
            break
    if as_json:
        print_json(answer)
        return
    rows = [[shown_id(r.name), word(r, "state"), _size(r), moment(r.create_time), r.error] for r in answer.revisions]
    print_table(["REVISION", "STATE", "SIZE", "CREATED", "ERROR"], rows)


@runtimes.command("log")
@click.argument("runtime", type=runtime_name)
@_revision_option
@with_client
def log_command(client: Client, runtime: str, revision: str) -> None:
    """Print the log of a build, as far as it is."""
    from polycall.cli.terminal import LiveOutput

    LiveOutput().write(1, _revision(client, runtime, revision).log.encode())


@runtimes.command("delete")
@click.argument("runtime", type=runtime_name)
@click.option("--force", is_flag=True, help="Even if versions use it: they cannot be run then.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@with_client
def delete_command(client: Client, runtime: str, force: bool, yes: bool, as_json: bool) -> None:
    """Delete a runtime with all its revisions."""
    from polycall.cli.terminal import say
    from polycall.v1 import runtime_service_pb2 as pb

    if not yes:
        confirm_deletion(runtime)
    client.call(client.runtimes.DeleteRuntime, pb.DeleteRuntimeRequest(name=runtime, force=force))
    say("{}" if as_json else f"{runtime} is deleted.")


def _created(client: Client, runtime: str, language: str, display_name: str, draft: RuntimeRevision) -> RuntimeRevision:
    """Return the new revision of a runtime, which is made if need be."""
    from polycall.v1 import runtime_pb2
    from polycall.v1 import runtime_service_pb2 as pb

    made: RuntimeRevision
    try:
        made = client.call(
            client.runtimes.CreateRuntimeRevision, pb.CreateRuntimeRevisionRequest(parent=runtime, revision=draft)
        )
    except Failure as failure:
        if failure.reason != "RUNTIME_NOT_FOUND":
            raise
        request = pb.CreateRuntimeRequest(
            runtime_id=shown_id(runtime),
            runtime=runtime_pb2.Runtime(language=f"LANGUAGE_{language.upper()}", display_name=display_name),
            revision=draft,
        )
        made = client.call(client.runtimes.CreateRuntime, request).newest_revision
    return made


def _followed(client: Client, revision: RuntimeRevision, *, quiet: bool) -> RuntimeRevision:
    """Return the revision as it is once it has been built; its log goes to standard error meanwhile."""
    from polycall.cli.show import word
    from polycall.cli.terminal import LiveOutput

    output, shown = LiveOutput(), 0
    while True:
        revision = _revision(client, *revision.name.split("/revisions/"))
        if not quiet:
            # the middle of a log that is too long is not repeated: what was shown of it is gone from there
            output.write(2, revision.log[shown:].encode() if not revision.log_truncated else b"")
            shown = len(revision.log)
        if word(revision, "state") not in ("PENDING", "BUILDING"):
            return revision
        time.sleep(_LOOK_S)


def _revision(client: Client, runtime: str, revision: str) -> RuntimeRevision:
    from polycall.v1 import runtime_service_pb2 as pb

    request = pb.GetRuntimeRevisionRequest(name=f"{runtime}/revisions/{revision}")
    found: RuntimeRevision = client.call(client.runtimes.GetRuntimeRevision, request)
    return found


def _print_revision(revision: RuntimeRevision) -> None:
    from polycall.cli.show import word
    from polycall.cli.table import print_facts

    print_facts(
        [
            ("revision", revision.name),
            ("state", word(revision, "state")),
            ("error", revision.error),
            ("size", _size(revision)),
            ("preloaded", ", ".join(revision.preloaded)),
            ("digest", revision.digest),
            ("manifest", revision.manifest.strip()),
        ]
    )


def _size(revision: RuntimeRevision) -> str:
    return f"{revision.size_bytes / (1 << 20):.1f} MiB" if revision.size_bytes else ""
