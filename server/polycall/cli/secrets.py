"""``polycall secrets``: texts that code and credentials use, and that nobody reads back."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from polycall.cli.client import Client, with_client
from polycall.cli.failures import Failure
from polycall.cli.options import confirm_deletion, json_option, limit_option, read_bytes, secret_name, shown_id

if TYPE_CHECKING:
    from polycall.v1.secret_pb2 import Secret

__all__ = ["secrets"]

_PAGE = 1000  # the server's largest
_ROTATION_S = 3600.0  # some thousand rows a second; what was done by then stays done
_file_option = click.option("--file", metavar="FILE", help="Take the value from a file, as it is, to the last byte.")


@click.group("secrets")
def secrets() -> None:
    """Create, list, change and delete secrets.

    A value is read from standard input, where one line feed at its end is left out, or asked for at a terminal: a
    command line is seen by others, and kept.
    """


@secrets.command("create")
@click.argument("display_name", metavar="NAME")
@click.option("--id", "secret_id", metavar="ID", default="", help="What refers to it. Default: one of the server's.")
@_file_option
@json_option
@with_client
def create_command(client: Client, display_name: str, secret_id: str, file: str | None, as_json: bool) -> None:
    """Create a secret that people call NAME; print what to refer to it by."""
    from polycall.cli.show import print_json
    from polycall.cli.terminal import say
    from polycall.v1 import secret_pb2
    from polycall.v1 import secret_service_pb2 as pb

    secret = secret_pb2.Secret(display_name=display_name, value=_value(file))
    made = client.call(client.secrets.CreateSecret, pb.CreateSecretRequest(secret_id=secret_id, secret=secret))
    if as_json:
        print_json(made)
    else:
        say(made.name)


@secrets.command("list")
@limit_option(100)
@json_option
@with_client
def list_command(client: Client, limit: int, as_json: bool) -> None:
    """List secrets, newest first."""
    from polycall.cli.show import moment, print_json
    from polycall.cli.table import print_table
    from polycall.v1 import secret_service_pb2 as pb

    request, answer = pb.ListSecretsRequest(), pb.ListSecretsResponse()
    while True:
        request.page_size = min(limit - len(answer.secrets), _PAGE)
        page = client.call(client.secrets.ListSecrets, request)
        answer.secrets.extend(page.secrets)
        answer.next_page_token = request.page_token = page.next_page_token
        if not page.next_page_token or len(answer.secrets) >= limit:
            break
    if as_json:
        print_json(answer)
        return
    rows = [
        [shown_id(s.name), s.display_name, s.face, moment(s.create_time), moment(s.update_time)] for s in answer.secrets
    ]
    print_table(["SECRET", "NAME", "OF", "CREATED", "VALUE OF"], rows)


@secrets.command("get")
@click.argument("secret", type=secret_name)
@json_option
@with_client
def get_command(client: Client, secret: str, as_json: bool) -> None:
    """Show what is known of a secret; never its value."""
    from polycall.v1 import secret_service_pb2 as pb

    _print(client.call(client.secrets.GetSecret, pb.GetSecretRequest(name=secret)), as_json)


@secrets.command("update")
@click.argument("secret", type=secret_name)
@click.option("--name", "display_name", metavar="NAME", help="Call it this, and leave its value.")
@_file_option
@json_option
@with_client
def update_command(client: Client, secret: str, display_name: str | None, file: str | None, as_json: bool) -> None:
    """Give a secret another value: runs that begin from now on get it."""
    from google.protobuf.field_mask_pb2 import FieldMask

    from polycall.v1 import secret_pb2
    from polycall.v1 import secret_service_pb2 as pb

    changed, paths = secret_pb2.Secret(name=secret), []
    if display_name is not None:
        changed.display_name = display_name
        paths.append("display_name")
    if display_name is None or file is not None:
        changed.value = _value(file)
        paths.append("value")
    request = pb.UpdateSecretRequest(secret=changed, update_mask=FieldMask(paths=paths))
    _print(client.call(client.secrets.UpdateSecret, request), as_json)


@secrets.command("delete")
@click.argument("secret", type=secret_name)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@with_client
def delete_command(client: Client, secret: str, yes: bool, as_json: bool) -> None:
    """Delete a secret: what refers to it cannot run any more."""
    from polycall.cli.terminal import say
    from polycall.v1 import secret_service_pb2 as pb

    if not yes:
        confirm_deletion(secret)
    client.call(client.secrets.DeleteSecret, pb.DeleteSecretRequest(name=secret))
    say("{}" if as_json else f"{secret} is deleted.")


@secrets.command("rotate")
@json_option
@with_client
def rotate_command(client: Client, as_json: bool) -> None:
    """Give to the server's newest encryption key all that older ones have sealed, in all projects.

    Give the server the new key before the old one first (POLYCALL_ENCRYPTION_KEY=NEW,OLD), and take the old one away
    when this has left nothing. It may be interrupted and repeated.
    """
    from polycall.cli.show import print_json
    from polycall.cli.terminal import say
    from polycall.v1 import secret_service_pb2 as pb

    request = pb.ResealSecretsRequest()
    done = client.call(client.secrets.ResealSecrets, request, timeout_s=_ROTATION_S, what="what is sealed")
    if as_json:
        print_json(done)
    else:
        say(
            f"{done.secrets} secrets, {done.versions} versions, {done.signing_secrets} signing secrets, "
            f"{done.stored_requests} stored requests and {done.deployments} deployments have the newest key now."
        )
    if done.failed:
        raise Failure(
            f"{done.failed} could not be opened and are as they were: their key is not there, or they are damaged."
        )


def _value(file: str | None) -> str:
    """Return a value from where it is not seen. Raises Failure."""
    if file is None and sys.stdin.isatty():
        typed: str = click.prompt("Value", hide_input=True, confirmation_prompt=True, err=True)
        return typed
    try:
        text = read_bytes(file or "-").decode()
    except UnicodeDecodeError:
        raise Failure("the value is not UTF-8 text; encode what is binary, in base64 for example.") from None
    return text if file else text.removesuffix("\n").removesuffix("\r")


def _print(secret: Secret, as_json: bool) -> None:
    from polycall.cli.show import moment, print_json
    from polycall.cli.table import print_facts

    if as_json:
        print_json(secret)
        return
    print_facts(
        [
            ("secret", secret.name),
            ("name", secret.display_name),
            ("of", secret.face),
            ("created", moment(secret.create_time)),
            ("value of", moment(secret.update_time)),
        ]
    )
