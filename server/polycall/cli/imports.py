"""``polycall import``: bring over what you have at a vendor, under the ids that it has there."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from polycall.cli.client import Client, with_client
from polycall.cli.failures import Failure
from polycall.cli.options import json_option, read_bytes
from polycall.quick import dataclass

if TYPE_CHECKING:
    from polycall.cli.importing.export import Export
    from polycall.cli.importing.finds import Finds
    from polycall.cli.importing.report import Outcome
    from polycall.cli.importing.target import Target
    from polycall.cli.importing.web import Web

__all__ = ["imports"]


@dataclass(frozen=True, slots=True)
class _Source:
    """A vendor: what asks its API, and what reads an export of it."""

    vendor: str
    fetch: Callable[[Export], None]
    read: Callable[[Export], Finds]


@click.group("import")
def imports() -> None:
    """Bring over what you have at a vendor, under the ids that it has there: from its API, or from an export folder.

    Running it again goes on where it was cut short: what is here and equal is left alone. Exit code 1: something stayed
    behind, or is here and differs.
    """


def _source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what is the same for every vendor."""

    @click.option(
        "--from",
        "folder",
        type=click.Path(path_type=Path, file_okay=False, exists=True),
        metavar="DIR",
        help="An export folder, instead of the vendor's API.",
    )
    @click.option(
        "--save",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Keep the vendor's answers in this new folder: an export.",
    )
    @click.option("--allow-http", is_flag=True, help="Send credentials unencrypted, to other machines too.")
    @click.option("--only", multiple=True, metavar="ID", help="Only this function, tool or package; repeatable.")
    @click.option("--secrets", metavar="FILE|-", help="Values of secrets: a JSON object, by id, name or FUNCTION/NAME.")
    @click.option("--overwrite", is_flag=True, help="Replace what is here and differs.")
    @click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing.")
    @json_option
    @with_client
    @functools.wraps(command)
    def wrapped(
        client: Client,
        /,
        *,
        folder: Path | None,
        save: Path | None,
        allow_http: bool,
        only: tuple[str, ...],
        secrets: str | None,
        overwrite: bool,
        dry_run: bool,
        as_json: bool,
        **options: Any,
    ) -> int:
        from polycall.cli.importing.target import Target

        values = _values(secrets) if secrets is not None else {}
        target = Target(client=client, overwrite=overwrite, dry_run=dry_run, values=values)
        if folder is not None and save is not None:
            raise click.UsageError("--save keeps the answers of a vendor's API; with --from none is asked.")
        source: _Source = command(allow_http=allow_http, **options)
        if folder is None:
            _check_target(client)
        with _export(folder, save, source.fetch) as export:
            return _imported(target, source, export, only, as_json=as_json)

    return wrapped


def _check_target(client: Client) -> None:
    """Raise Failure where there is no server, or no key for it: before a vendor is asked for an hour."""
    from polycall.v1 import package_service_pb2 as pb

    client.call(client.packages.ListPackages, pb.ListPackagesRequest(page_size=1))


@contextlib.contextmanager
def _export(folder: Path | None, save: Path | None, fetch: Callable[[Export], None]) -> Iterator[Export]:
    """Yield the export to read: a folder that is there, or what the vendor answers. Raises Failure."""
    from polycall.cli.importing.export import Export
    from polycall.cli.terminal import tell

    if folder is not None:
        yield Export(folder)
        return
    if save is not None and save.exists():
        raise Failure(f"{save} exists; name a new folder.")
    try:
        # beside where it shall be: a folder of that name is a whole export
        place = tempfile.TemporaryDirectory(prefix=".polycall-import-", dir=save.parent if save is not None else None)
    except OSError as error:
        raise Failure(f"cannot make a folder for the vendor's answers: {error.strerror}.") from None
    with place as temporary:
        export = Export(Path(temporary) / "export")
        export.folder.mkdir(mode=0o700)  # environments of functions may hold what nobody else should read
        fetch(export)
        if save is not None:
            export.folder.rename(save)
            export = Export(save)
            tell(f"the vendor's answers are in {save}.")
        yield export


def _imported(target: Target, source: _Source, export: Export, only: tuple[str, ...], *, as_json: bool) -> int:
    from polycall.cli.importing.report import Report
    from polycall.cli.importing.writer import write

    finds = source.read(export)
    if only:
        finds = finds.only(frozenset(only))
        known = {name for found in finds.packages for name in (found.package.id, found.package.alias)}
        missing = [name for name in only if name not in known and name not in {remark.id for remark in finds.remarks}]
        if missing:
            raise Failure(f"{export.folder} has no {', '.join(missing)}.")
    outcomes: list[Outcome] = []
    report = Report(vendor=source.vendor, dry_run=target.dry_run, outcomes=outcomes)
    try:
        outcomes.extend(write(target, finds))
    finally:  # what was done is told, whatever ended it
        if as_json:
            report.print_json()
        else:
            report.print_table()
    return report.exit


def _values(file: str) -> dict[str, str]:
    """Return values of secrets by their names. Raises Failure, which quotes none of them."""
    import msgspec

    try:
        return msgspec.json.decode(read_bytes(file), type=dict[str, str])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Failure(f"{file} must be a JSON object of texts: the values of secrets by their names.") from None


def _credential(variable: str, what: str) -> str:
    """Return a credential from the environment, else from whoever sits at the terminal. Raises Failure."""
    value = os.environ.get(variable, "")
    if not value and sys.stdin.isatty():
        value = str(click.prompt(what, hide_input=True, err=True))
    if not value.strip() or not value.isprintable():
        raise Failure(f"no {what}: set {variable}. Flags stand in process lists, so there is none for it.")
    return value.strip()


def _url(url: str | None) -> str:
    if not url:
        raise click.UsageError("give --url, or --from with an export folder.")
    return url


def _web(url: str, headers: dict[str, str], allow_http: bool) -> Web:
    from polycall.cli.importing.web import Web

    return Web(url, headers, allow_http=allow_http)


@imports.command("riza")
@click.option("--url", envvar="RIZA_BASE_URL", default="https://api.riza.io", show_default=True, help="The API.")
@_source_options
def riza_command(*, url: str, allow_http: bool) -> _Source:
    """Bring over the tools, runtimes and names of secrets of a Riza account. The API key is RIZA_API_KEY.

    Of a tool the current revision comes: the API tells no older ones.
    """
    from polycall.cli.importing import riza
    from polycall.cli.importing.riza_api import fetch as fetch_all

    def fetch(export: Export) -> None:
        key = _credential("RIZA_API_KEY", "Riza API key")
        with _web(url, {"authorization": f"Bearer {key}"}, allow_http) as web:
            fetch_all(web, export)

    return _Source("riza", fetch, riza.read)


@imports.command("domo")
@click.option("--url", metavar="URL", help="The instance: https://INSTANCE.domo.com.")
@_source_options
def domo_command(*, url: str | None, allow_http: bool) -> _Source:
    """Bring over the Code Engine packages of a Domo instance. The developer token is DOMO_DEVELOPER_TOKEN.

    All versions come, released or not. Permissions stay behind: users have other numbers here.
    """
    from polycall.cli.importing import domo
    from polycall.cli.importing.domo_api import fetch as fetch_all

    def fetch(export: Export) -> None:
        token = _credential("DOMO_DEVELOPER_TOKEN", "Domo developer token")
        with _web(_url(url), {"x-domo-developer-token": token}, allow_http) as web:
            fetch_all(web, export)

    return _Source("domo", fetch, domo.read)


@imports.command("xpander")
@click.option("--url", envvar="XPANDER_BASE_URL", metavar="URL", help="The API, such as https://api.xpander.ai.")
@_source_options
def xpander_command(*, url: str | None, allow_http: bool) -> _Source:
    """Bring over the custom functions of an xpander.ai organization. The API key is XPANDER_API_KEY."""
    from polycall.cli.importing import xpander
    from polycall.cli.importing.xpander_api import fetch as fetch_all

    def fetch(export: Export) -> None:
        key = _credential("XPANDER_API_KEY", "xpander API key")
        with _web(_url(url), {"x-api-key": key}, allow_http) as web:
            fetch_all(web, export)

    return _Source("xpander", fetch, xpander.read)


@imports.command("cognite")
@click.option("--url", metavar="URL", help="The cluster, such as https://westeurope-1.cognitedata.com.")
@click.option("--project", metavar="NAME", help="The CDF project.")
@click.option("--token-url", metavar="URL", help="Where a client id and secret get a token.")
@click.option("--scope", metavar="TEXT", default="", help="Scope of that token, if the token URL wants one.")
@click.option("--requirement", multiple=True, metavar="LINE", help="A package for every function; repeatable.")
@_source_options
def cognite_command(
    *,
    url: str | None,
    project: str | None,
    token_url: str | None,
    scope: str,
    requirement: tuple[str, ...],
    allow_http: bool,
) -> _Source:
    """Bring over the functions and schedules of a Cognite project.

    The credential is COGNITE_TOKEN; with --token-url it is COGNITE_CLIENT_ID and COGNITE_CLIENT_SECRET. Each function
    comes with its zip file, and gets a runtime of its own if that has a requirements.txt. Schedules come paused: the
    session that one acts for stays behind.
    """
    from polycall.cli.importing import cognite
    from polycall.cli.importing.cognite_api import fetch as fetch_all
    from polycall.cli.importing.cognite_api import token

    def fetch(export: Export) -> None:
        if not project:
            raise click.UsageError("give --project: the CDF project.")
        with _web(_url(url), {}, allow_http) as web:
            if token_url is not None:
                client_id = _credential("COGNITE_CLIENT_ID", "Cognite client id")
                secret = _credential("COGNITE_CLIENT_SECRET", "Cognite client secret")
                bearer = token(web, token_url, client_id, secret, scope)
            else:
                bearer = _credential("COGNITE_TOKEN", "Cognite token")
            web.authorize({"authorization": f"Bearer {bearer}"})
            fetch_all(web, export, project)

    return _Source("cognite", fetch, functools.partial(cognite.read, given=requirement))


@imports.command("guance")
@click.option("--url", metavar="URL", help="DataFlux Func, the engine behind the gateway: https://HOST.")
@_source_options
def guance_command(*, url: str | None, allow_http: bool) -> _Source:
    """Bring over the published scripts of a Guance workspace, from its DataFlux Func.

    The credentials are DATAFLUX_USERNAME and DATAFLUX_PASSWORD: the gateway itself tells no code.
    """
    from polycall.cli.importing import guance
    from polycall.cli.importing.guance_api import fetch as fetch_all
    from polycall.cli.importing.guance_api import sign_in

    def fetch(export: Export) -> None:
        username = _credential("DATAFLUX_USERNAME", "DataFlux Func user name")
        password = _credential("DATAFLUX_PASSWORD", "DataFlux Func password")
        with _web(_url(url), {}, allow_http) as web:
            sign_in(web, username, password)
            fetch_all(web, export)

    return _Source("guance", fetch, guance.read)
