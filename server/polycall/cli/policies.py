"""``polycall policies``: how many Calls of a function run at once, and what of them is tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from polycall.cli.client import Client, with_client
from polycall.cli.options import json_option, limit_option
from polycall.cli.retries import retry_line, retry_of, retry_options

if TYPE_CHECKING:
    from polycall.v1.policy_pb2 import FunctionPolicy

__all__ = ["policies"]

_PAGE = 1000  # the largest page the server gives


@click.group("policies")
def policies() -> None:
    """See and set how many Calls of a function run at once, and what of them is tried again.

    A policy holds for all versions of its function and can be changed at any time; what waits already follows.
    """


@policies.command("list")
@limit_option(100)
@json_option
@with_client
def list_command(client: Client, limit: int, as_json: bool) -> None:
    """List the policies that say something, by package and function."""
    from polycall.cli.show import moment, print_json
    from polycall.cli.table import print_table
    from polycall.v1 import policy_service_pb2 as pb

    request, answer = pb.ListFunctionPoliciesRequest(), pb.ListFunctionPoliciesResponse()
    while True:
        request.page_size = min(limit - len(answer.policies), _PAGE)
        page = client.call(client.policies.ListFunctionPolicies, request)
        answer.policies.extend(page.policies)
        answer.next_page_token = request.page_token = page.next_page_token
        if not page.next_page_token or len(answer.policies) >= limit:
            break
    if as_json:
        print_json(answer)
        return
    rows = [[_function(p), _limit(p), retry_line(p.retry_policy), moment(p.update_time)] for p in answer.policies]
    print_table(["FUNCTION", "AT ONCE", "TRIED AGAIN", "SET"], rows)


@policies.command("get")
@click.argument("function")
@json_option
@with_client
def get_command(client: Client, function: str, as_json: bool) -> None:
    """Show the policy of a function, with how many of its Calls run and wait.

    FUNCTION is packages/P/functions/F.
    """
    from polycall.v1 import policy_service_pb2 as pb

    _print(client.call(client.policies.GetFunctionPolicy, pb.GetFunctionPolicyRequest(name=_name(function))), as_json)


@policies.command("set")
@click.argument("function")
@click.option("--max-running", type=int, help="So many of its Calls run at once, over all servers: 1 to 10000.")
@click.option("--no-limit", is_flag=True, help="Any number of its Calls run at once.")
@retry_options
@click.option("--no-retry", is_flag=True, help="Nothing is tried again, but what a Call itself asks for.")
@json_option
@with_client
def set_command(
    client: Client,
    function: str,
    max_running: int | None,
    no_limit: bool,
    no_retry: bool,
    as_json: bool,
    **asked: Any,
) -> None:
    """Set what is given of the policy of a function; the rest stays.

    FUNCTION is packages/P/functions/F.
    """
    from polycall.v1 import policy_pb2
    from polycall.v1 import policy_service_pb2 as pb

    retry = retry_of(asked)
    if (no_limit and max_running is not None) or (no_retry and retry is not None):
        raise click.UsageError("that is given and taken away at once.")
    policy = policy_pb2.FunctionPolicy(name=_name(function), max_running=max_running, retry_policy=retry)
    request = pb.UpdateFunctionPolicyRequest(policy=policy)
    if no_limit or max_running is not None:
        request.update_mask.paths.append("max_running")
    if no_retry or retry is not None:
        request.update_mask.paths.append("retry_policy")
    if not request.update_mask.paths:
        raise click.UsageError("say what to set: --max-running, --no-limit, --retry or --no-retry.")
    _print(client.call(client.policies.UpdateFunctionPolicy, request), as_json)


def _name(function: str) -> str:
    return function if function.endswith("/policy") else f"{function}/policy"


def _function(policy: FunctionPolicy) -> str:
    return policy.name.removesuffix("/policy")


def _limit(policy: FunctionPolicy) -> str:
    return str(policy.max_running) if policy.HasField("max_running") else "any number"


def _print(policy: FunctionPolicy, as_json: bool) -> None:
    from polycall.cli.show import moment, print_json
    from polycall.cli.table import print_facts

    if as_json:
        print_json(policy)
        return
    print_facts(
        [
            ("function", _function(policy)),
            ("at once", _limit(policy)),
            ("tried again", retry_line(policy.retry_policy) or "nothing"),
            ("running", str(policy.running_count)),
            ("waiting", str(policy.queued_count)),
            ("set", moment(policy.update_time)),
        ]
    )
