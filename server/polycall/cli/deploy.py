"""``polycall deploy``: put code in once, for every contract."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import click

from polycall.cli.client import Client, with_client
from polycall.cli.exits import Exit
from polycall.cli.failures import Failure
from polycall.cli.options import DURATION, MEMORY, SECRET_VARIABLE, VARIABLE, json_option
from polycall.domain import Convention, Language

if TYPE_CHECKING:
    from polycall.cli.manifest import FunctionEntry, Manifest
    from polycall.cli.source import Source
    from polycall.v1.package_pb2 import Version

__all__ = ["deploy_command"]

_CONVENTIONS = click.Choice([convention.value for convention in Convention])
_LANGUAGES = click.Choice([language.value for language in Language])
# The name that a convention's function has, by custom of the contract it comes from.
_CUSTOMARY = {Convention.INPUT: "execute", Convention.HANDLE: "handle", Convention.SCRIPT: "main"}


@click.command("deploy")
@click.argument("path")
@click.option("--package", metavar="ID", help="Package id: what callers and faces call it. Default: the path's name.")
@click.option("--version", metavar="ID", help="Version id. Default: the next number.")
@click.option("--release/--no-release", default=None, help="Make it what callers get who name no version.")
@click.option("--function", "functions", multiple=True, metavar="NAME[:CONVENTION]", help="A function; repeatable.")
@click.option("--convention", type=_CONVENTIONS, help="Convention of the functions that name none.")
@click.option("--entrypoint", metavar="MODULE:CALLABLE", help="Where the one function is; of a script, its file.")
@click.option("--language", type=_LANGUAGES, help="Default: by the names of the files, else python.")
@click.option("--runtime", metavar="ID", help="Runtime with its packages. Default: the server's own of the language.")
@click.option("--env", "env", type=VARIABLE, multiple=True, help="Environment variable; NAME alone passes yours on.")
@click.option(
    "--secret-env",
    type=SECRET_VARIABLE,
    multiple=True,
    help="Environment variable that is a secret's value; repeatable.",
)
@click.option("--timeout", type=DURATION, metavar="DURATION", help="Time of every run, such as 10s.")
@click.option("--memory", type=MEMORY, metavar="SIZE", help="Memory of every run, such as 256MiB.")
@click.option("--fresh", is_flag=True, help="Every run gets a fresh process.")
@click.option("--display-name", metavar="TEXT", help="Name of the package, for people.")
@click.option("--validate-only", is_flag=True, help="Check and analyse; store nothing.")
@json_option
@with_client
def deploy_command(client: Client, path: str, validate_only: bool, as_json: bool, **flags: Any) -> None:
    """Create a version from PATH: a .py, .js or .ts file, a directory, a zip archive, or - for standard input.

    A polycall.toml in the directory says what it is deployed as; flags win over it. Without functions, every public
    top-level function of the source becomes one.
    """
    from polycall.cli.deployment import deploy
    from polycall.cli.show import print_json, word
    from polycall.cli.source import read_source

    source = read_source(path, Language(flags["language"] or Language.PYTHON))
    manifest = apply_flags(source, **flags)
    version = deploy(client, source, manifest, validate_only=validate_only)
    if as_json:
        print_json(version)
    else:
        print_version(version)
    if word(version, "state") == "ERROR":
        raise Failure(f"{version.name or 'the version'} cannot be run: {version.error}", Exit.FAILED)


def apply_flags(
    source: Source,
    *,
    package: str | None,
    version: str | None,
    release: bool | None,
    functions: Sequence[str],
    convention: str | None,
    entrypoint: str | None,
    language: str | None,
    runtime: str | None,
    env: Sequence[tuple[str, str]],
    secret_env: Sequence[tuple[str, str]],
    timeout: float | None,
    memory: int | None,
    fresh: bool,
    display_name: str | None,
) -> Manifest:
    """Return the source's manifest with what the flags say. Raises UsageError."""
    import msgspec

    manifest = source.manifest
    limits = {"timeout": timeout, "memory_mib": memory}
    chosen = {
        "version": version,
        "release": release,
        "runtime": runtime,
        "fresh": fresh or None,
        "display_name": display_name,
    }
    only_file = next(iter(source.files)) if len(source.files) == 1 else ""
    declared = _functions(functions, Convention(convention) if convention else None, entrypoint or "", only_file)
    return msgspec.structs.replace(
        manifest,
        package=package or manifest.package or source.name,
        functions=declared or manifest.functions,
        env=manifest.env | dict(env),
        secret_env=manifest.secret_env | dict(secret_env),
        language=Language(language) if language else manifest.language,
        limits=msgspec.structs.replace(manifest.limits, **{k: v for k, v in limits.items() if v is not None}),
        **{k: v for k, v in chosen.items() if v is not None},
    )


def _functions(
    names: Sequence[str], convention: Convention | None, entrypoint: str, only_file: str
) -> dict[str, FunctionEntry]:
    from polycall.cli.manifest import FunctionEntry

    if not names and entrypoint:
        names = [PurePosixPath(entrypoint.rpartition(":")[2]).stem]
    if not names and convention:
        if convention not in _CUSTOMARY:
            raise click.UsageError(f"--convention {convention} needs --function, or a polycall.toml.")
        names = [_CUSTOMARY[convention]]
    if entrypoint and len(names) > 1:
        raise click.UsageError("--entrypoint is for one function; with several, use a polycall.toml.")
    declared = {}
    for text in names:
        name, _, own = text.partition(":")
        if own and own not in _CONVENTIONS.choices:
            raise click.UsageError(
                f"--function {text}: the convention must be one of {', '.join(_CONVENTIONS.choices)}."
            )
        chosen = Convention(own) if own else convention
        if chosen is Convention.PARAMETERS:
            raise click.UsageError("convention parameters needs declared parameters: use a polycall.toml.")
        file = only_file if chosen is Convention.SCRIPT else ""
        declared[name] = FunctionEntry(entrypoint=entrypoint or file, convention=chosen)
    return declared


def print_version(version: Version) -> None:
    """Print a version and its functions for people."""
    from polycall.cli.schemas import signature
    from polycall.cli.show import word
    from polycall.cli.table import print_facts, print_table

    print_facts([("version", version.name), ("state", word(version, "state")), ("error", version.error)])
    if version.functions:
        rows = [
            [f.name, word(f, "convention").lower(), signature(f), f.description.partition("\n")[0]]
            for f in version.functions
        ]
        print_table(["FUNCTION", "CONVENTION", "INPUT", "DESCRIPTION"], rows)
