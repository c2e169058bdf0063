"""``polycall gateway``: the configuration of Envoy, to read, to run elsewhere, to check."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import click

from polycall.cli.exits import Exit
from polycall.cli.failures import Failure
from polycall.cli.options import json_option
from polycall.cli.settings import with_setting_flags, with_settings
from polycall.config import Settings

__all__ = ["gateway"]


@click.group("gateway")
def gateway() -> None:
    """Render, check and run the configuration of Envoy."""


@gateway.command("render")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write it there. Default: print it.")
@with_settings
def render_command(settings: Settings, output: Path | None) -> None:
    """Print the configuration as one document, for an Envoy of your own (`polycall serve --no-gateway`)."""
    from polycall.gateway import gateway_config
    from polycall_gateway import GatewayError, render_static

    try:
        text = render_static(gateway_config(settings, settings.data_dir / "run", elsewhere=bool(settings.replicas)))
    except GatewayError as error:
        raise Failure(str(error)) from None
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, "utf-8")
    except OSError as error:
        raise Failure(f"cannot write {output}: {error.strerror}.") from None


@gateway.command("run")
@json_option
@with_setting_flags
def run_command(settings: Settings, as_json: bool) -> None:
    """Run Envoy alone, in front of servers elsewhere (--replicas), until SIGTERM or Ctrl-C.

    Each function has a server of its own as long as that has room, where its processes are warm; the servers say
    themselves when they take no more. A name in --replicas stands for one server. At the end, requests that are open
    are given --drain-grace-s.
    """
    import json

    import uvloop

    from polycall.cli.terminal import say
    from polycall.gateway import gateway_config, run_gateway
    from polycall.logs import log_to
    from polycall.serving import ServeError
    from polycall_gateway import GatewayError

    if not settings.replicas:
        raise Failure("no servers: name their internal addresses with --replicas or POLYCALL_REPLICAS.")

    def ready(addresses: Mapping[str, str]) -> None:
        if as_json:
            say(json.dumps({f"{name}_address": address for name, address in addresses.items()}))
        for name, address in addresses.items() if not as_json else ():
            say(f"{name}: {address}")

    log_to(sys.stderr, settings.log_level)
    try:
        config = gateway_config(settings, settings.data_dir / "gateway", elsewhere=True)
        uvloop.run(run_gateway(config, ready, settings.drain_grace_s))
    except (ServeError, GatewayError) as error:
        raise Failure(str(error), Exit.UNREACHABLE) from None


@gateway.command("validate")
@with_settings
def validate_command(settings: Settings) -> None:
    """Have the real Envoy read the configuration, without running it."""
    from polycall.cli.terminal import Progress, say
    from polycall.gateway import gateway_config
    from polycall_gateway import GatewayError, validate

    try:
        with Progress("Envoy reads the configuration"):
            validate(gateway_config(settings, settings.data_dir / "run", elsewhere=bool(settings.replicas)))
    except GatewayError as error:
        raise Failure(str(error)) from None
    say("Envoy takes the configuration.")
