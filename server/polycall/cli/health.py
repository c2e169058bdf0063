"""``polycall health``: whether the server of this machine serves; what containers and load balancers ask by command."""

from __future__ import annotations

import click

from polycall.cli.client import dialled
from polycall.cli.exits import Exit
from polycall.cli.failures import Failure
from polycall.cli.settings import with_settings
from polycall.cli.terminal import say
from polycall.config import Settings

__all__ = ["health_command"]

_ANSWER_S = 3.0  # a server that is asked every ten seconds and does not answer within three is not well


@click.command("health")
@click.option("--gateway", is_flag=True, help="Ask the gateway (rest_address, /healthz) instead of the server.")
@click.option("--server", metavar="ADDRESS", help="Ask there. Default: grpc_address, or rest_address for --gateway.")
@with_settings
def health_command(settings: Settings, gateway: bool, server: str | None) -> None:
    """Say whether calls are served here: exit code 0 if so, 3 if not.

    Needs no key. Asks by grpc.health.v1; a server that drains, or has not started yet, does not serve.
    """
    address = dialled(server or (settings.rest_address if gateway else settings.grpc_address))
    why = _gateway(address) if gateway else _server(address)
    if why:
        raise Failure(f"{address} does not serve: {why}.", Exit.UNREACHABLE)
    say(f"{address} serves.")


def _server(address: str) -> str:
    import grpc
    from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
    from grpc_health.v1.health_pb2_grpc import HealthStub

    with grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
        try:
            answer = HealthStub(channel).Check(HealthCheckRequest(), timeout=_ANSWER_S)
        except grpc.RpcError as error:
            return f"{error.code().name}, {error.details()}"
    if answer.status == HealthCheckResponse.SERVING:
        return ""
    return f"it says {HealthCheckResponse.ServingStatus.Name(answer.status)}"


def _gateway(address: str) -> str:
    from http.client import HTTPConnection, HTTPException

    connection = HTTPConnection(address, timeout=_ANSWER_S)
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()
    return "" if status == 200 else f"/healthz answers {status}"
