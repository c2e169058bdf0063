"""``polycall packages``: what is deployed."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import click

from polycall.cli.client import Client, with_client
from polycall.cli.failures import Failure
from polycall.cli.options import confirm_deletion, json_option, limit_option, package_name, shown_id, version_name

if TYPE_CHECKING:
    from polycall.v1.package_pb2 import SourceFile, Version

__all__ = ["packages"]

_PAGE = 1000  # the largest page the server gives
_NEWEST = "-"  # the newest released version, else the newest ready one

_version_option = click.option("--version", metavar="ID", default=_NEWEST, help="Default: the one callers get.")


@click.group("packages")
def packages() -> None:
    """See, release and delete what is deployed."""


@packages.command("list")
@limit_option(100)
@json_option
@with_client
def list_command(client: Client, limit: int, as_json: bool) -> None:
    """List packages, newest first."""
    from polycall.cli.show import moment, print_json
    from polycall.cli.table import print_table
    from polycall.v1 import package_service_pb2 as pb

    request, answer = pb.ListPackagesRequest(), pb.ListPackagesResponse()
    while True:
        request.page_size = min(limit - len(answer.packages), _PAGE)
        page = client.call(client.packages.ListPackages, request)
        answer.packages.extend(page.packages)
        answer.next_page_token = request.page_token = page.next_page_token
        if not page.next_page_token or len(answer.packages) >= limit:
            break
    if as_json:
        print_json(answer)
        return
    rows = [[shown_id(p.name), p.display_name, moment(p.update_time)] for p in answer.packages]
    print_table(["PACKAGE", "DISPLAY NAME", "UPDATED"], rows)


@packages.command("get")
@click.argument("package", type=package_name)
@_version_option
@json_option
@with_client
def get_command(client: Client, package: str, version: str, as_json: bool) -> None:
    """Show a version of a package, and its functions."""
    from polycall.cli.deploy import print_version
    from polycall.cli.show import print_json

    found = _version(client, package, version, include_source=False)
    if as_json:
        print_json(found)
    else:
        print_version(found)


@packages.command("versions")
@click.argument("package", type=package_name)
@limit_option(100)
@json_option
@with_client
def versions_command(client: Client, package: str, limit: int, as_json: bool) -> None:
    """List the versions of a package, newest first."""
    from polycall.cli.show import moment, print_json, word
    from polycall.cli.table import print_table
    from polycall.v1 import package_service_pb2 as pb

    request, answer = pb.ListVersionsRequest(parent=package), pb.ListVersionsResponse()
    while True:
        request.page_size = min(limit - len(answer.versions), _PAGE)
        page = client.call(client.packages.ListVersions, request)
        answer.versions.extend(page.versions)
        answer.next_page_token = request.page_token = page.next_page_token
        if not page.next_page_token or len(answer.versions) >= limit:
            break
    if as_json:
        print_json(answer)
        return
    rows = [
        [
            shown_id(v.name),
            word(v, "state"),
            moment(v.create_time),
            ", ".join(f.name for f in v.functions),
            v.error,
        ]
        for v in answer.versions
    ]
    print_table(["VERSION", "STATE", "CREATED", "FUNCTIONS", "ERROR"], rows)


@packages.command("source")
@click.argument("package", type=package_name)
@click.argument("path", required=False)
@_version_option
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Write all files into this directory.")
@json_option
@with_client
def source_command(
    client: Client, package: str, path: str | None, version: str, output: Path | None, as_json: bool
) -> None:
    """Show the source of a version: the list of its files, or the one at PATH."""
    from polycall.cli.show import print_json
    from polycall.cli.table import print_table
    from polycall.cli.terminal import LiveOutput, tell

    found = _version(client, package, version, include_source=True)
    files = {file.path: file for file in found.source.files}
    if output is not None:
        for file in files.values():
            _write(output, file)
        tell(f"{len(files)} files of {found.name} are in {output}.")
    elif path is not None:
        if path not in files:
            raise Failure(f"{found.name} has no file {path}; it has {', '.join(files)}.")
        live = LiveOutput()
        live.write(1, files[path].contents)
    elif as_json:
        print_json(found.source)
    else:
        print_table(["FILE", "BYTES"], [[file.path, str(len(file.contents))] for file in files.values()])


@packages.command("release")
@click.argument("package", type=package_name)
@click.option("--version", metavar="ID", required=True, help="Which version.")
@json_option
@with_client
def release_command(client: Client, package: str, version: str, as_json: bool) -> None:
    """Release a version: from now on it is what callers get who name none."""
    from polycall.cli.deploy import print_version
    from polycall.cli.show import print_json
    from polycall.v1 import package_service_pb2 as pb

    request = pb.ReleaseVersionRequest(name=version_name(package, version))
    released = client.call(client.packages.ReleaseVersion, request)
    if as_json:
        print_json(released)
    else:
        print_version(released)


@packages.command("delete")
@click.argument("package", type=package_name)
@click.option("--version", metavar="ID", help="Only this version.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@with_client
def delete_command(client: Client, package: str, version: str | None, yes: bool, as_json: bool) -> None:
    """Delete a package with all its versions, or one version. Records of its executions stay."""
    from polycall.cli.terminal import say
    from polycall.v1 import package_service_pb2 as pb

    name = version_name(package, version) if version else package
    if not yes:
        confirm_deletion(name)
    if version:
        client.call(client.packages.DeleteVersion, pb.DeleteVersionRequest(name=name))
    else:
        client.call(client.packages.DeletePackage, pb.DeletePackageRequest(name=name))
    say("{}" if as_json else f"{name} is deleted.")


def _version(client: Client, package: str, version: str, *, include_source: bool) -> Version:
    from polycall.v1 import package_service_pb2 as pb

    request = pb.GetVersionRequest(name=version_name(package, version), include_source=include_source)
    found: Version = client.call(client.packages.GetVersion, request)
    return found


def _write(directory: Path, file: SourceFile) -> None:
    """Write one file below the directory and nowhere else, over nothing that is there. Raises Failure."""
    relative = PurePosixPath(file.path)
    if relative.is_absolute() or ".." in relative.parts or not relative.parts:
        raise Failure(f"the server names a file {file.path!r}, which would not be in {directory}; nothing written.")
    place = directory / relative
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.parent.resolve().is_relative_to(directory.resolve()):
            raise Failure(f"{place.parent} leads out of {directory} through a link.")
        with place.open("xb") as stream:
            stream.write(file.contents)
    except FileExistsError:
        raise Failure(f"{place} exists; name an empty directory.") from None
    except OSError as error:
        raise Failure(f"cannot write {place}: {error.strerror}.") from None
