"""``polycall functions``: what a source offers, and how what is deployed is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from polycall.cli.client import Client, with_client
from polycall.cli.exits import Exit
from polycall.cli.failures import Failure
from polycall.cli.options import PAYLOAD, json_option
from polycall.domain import Convention, Language

if TYPE_CHECKING:
    from polycall.v1.package_service_pb2 import AnalyzeSourceResponse, SourceProblem

__all__ = ["functions"]


@click.group("functions")
def functions() -> None:
    """See what functions a source has; get code that calls what is deployed."""


@functions.command("analyze")
@click.argument("path")
@click.option("--module", metavar="NAME", default="", help="Whose functions. Default: main, or the only module.")
@click.option(
    "--convention",
    type=click.Choice([convention.value for convention in Convention if convention is not Convention.SCRIPT]),
    default=Convention.KEYWORDS.value,
    show_default=True,
    help="How arguments will reach them.",
)
@click.option(
    "--language",
    type=click.Choice([language.value for language in Language]),
    help="Default: by the names of the files, else python.",
)
@json_option
@with_client
def analyze_command(
    client: Client, path: str, module: str, convention: str, language: str | None, as_json: bool
) -> None:
    """Show the functions of PATH (a file, a directory, a zip archive, -) with their input and output.

    Nothing is stored. With --json, the JSON Schemas; what they cannot say is noted with its place.
    """
    from polycall.cli.show import print_json
    from polycall.cli.source import read_source
    from polycall.v1 import package_pb2
    from polycall.v1 import package_service_pb2 as pb

    source = read_source(path, Language(language or Language.PYTHON))
    request = pb.AnalyzeSourceRequest(
        module=module,
        convention=f"CONVENTION_{convention.upper()}",
        language=f"LANGUAGE_{(language or source.language).upper()}",
    )
    if source.archive is not None:
        request.zip = source.archive
    else:
        request.files.files.extend(
            package_pb2.SourceFile(path=name, contents=data) for name, data in source.files.items()
        )
    answer: AnalyzeSourceResponse = client.call(client.packages.AnalyzeSource, request)
    if as_json:
        print_json(answer)
    else:
        _print(answer)
    if answer.problems:
        raise Failure(f"{path} cannot be deployed: {_place(answer.problems[0])}", Exit.FAILED)


_KINDS = ("curl", "grpc-python", "grpc-node", "riza", "cognite", "guance", "xpander", "domo")


@functions.command("snippet")
@click.argument("name")
@click.option("--as", "kind", type=click.Choice(_KINDS), default="curl", show_default=True, help="Through what.")
@click.option("--input", "payload", type=PAYLOAD, metavar="JSON|@FILE|-", help="Default: made of the input's schema.")
@click.option("--rest", metavar="URL", help="REST address of the server; default: this machine's.")
@click.option("--project", default="default", show_default=True, help="The key's project, which some SDKs ask for.")
@with_client
def snippet_command(client: Client, name: str, kind: str, payload: str | None, rest: str | None, project: str) -> None:
    """Print code that calls the function NAME as it stands: packages/P/functions/F, packages/P/versions/V/functions/F.

    It reads the API key from POLYCALL_API_KEY. What a vendor's contract cannot call is said, with what to do about it.
    """
    from polycall.cli.snippet import snippet

    click.echo(snippet(client, name, kind, payload=payload, rest=rest, project=project), nl=False)


def _print(answer: AnalyzeSourceResponse) -> None:
    from polycall.cli.schemas import signature, type_of
    from polycall.cli.table import print_table
    from polycall.cli.terminal import tell

    if answer.functions:
        rows = [[f.name, signature(f), type_of(f.output_schema_json), f.description] for f in answer.functions]
        print_table(["FUNCTION", "INPUT", "OUTPUT", "DESCRIPTION"], rows)
    for note in answer.notes:
        tell(f"note: {_place(note)}")


def _place(problem: SourceProblem) -> str:
    parts = [problem.path, str(problem.line or ""), str(problem.column or "")]
    where = ":".join(part for part in parts if part)
    return f"{where}: {problem.message}" if where else f"the source {problem.message}"
