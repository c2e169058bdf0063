"""``polycall gateway``: the configuration of Envoy, to read, to run elsewhere, to check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from polycall.cli.executions import LONGEST_WAIT_S
from polycall.cli.failures import Failure
from polycall.cli.settings import with_settings
from polycall.config import Settings

if TYPE_CHECKING:
    from polycall_gateway import GatewayConfig

__all__ = ["gateway"]


@click.group("gateway")
def gateway() -> None:
    """Render and check the configuration of Envoy."""


@gateway.command("render")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write it there. Default: print it.")
@with_settings
def render_command(settings: Settings, output: Path | None) -> None:
    """Print the configuration as one document, for an Envoy of your own (`polycall serve --no-gateway`)."""
    from polycall_gateway import GatewayError, render_static

    try:
        text = render_static(_config(settings))
    except GatewayError as error:
        raise Failure(str(error)) from None
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, "utf-8")
    except OSError as error:
        raise Failure(f"cannot write {output}: {error.strerror}.") from None


@gateway.command("validate")
@with_settings
def validate_command(settings: Settings) -> None:
    """Have the real Envoy read the configuration, without running it."""
    from polycall.cli.terminal import Progress, say
    from polycall_gateway import GatewayError, validate

    try:
        with Progress("Envoy reads the configuration"):
            validate(_config(settings))
    except GatewayError as error:
        raise Failure(str(error)) from None
    say("Envoy takes the configuration.")


def _config(settings: Settings) -> GatewayConfig:
    """Return what `polycall serve` would configure; a test compares the two."""
    from polycall_gateway import GatewayConfig

    sockets = settings.data_dir / "run"
    faces = ("riza", "cognite", "guance", "xpander", "domo")
    return GatewayConfig(
        rest_address=settings.rest_address,
        face_addresses={face: getattr(settings, f"{face}_address") for face in faces},
        mesh_address=settings.mesh_address,
        upstreams=(sockets / "server-0.sock",),
        directory=sockets / "envoy",
        max_run_s=max(settings.max_timeout_s, LONGEST_WAIT_S),
        access_log=settings.access_log,
    )
