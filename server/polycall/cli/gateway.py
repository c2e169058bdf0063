"""``polycall gateway``: the configuration of Envoy, to read, to run elsewhere, to check."""

from __future__ import annotations

from pathlib import Path

import click

from polycall.cli.failures import Failure
from polycall.cli.settings import with_settings
from polycall.config import Settings

__all__ = ["gateway"]


@click.group("gateway")
def gateway() -> None:
    """Render and check the configuration of Envoy."""


@gateway.command("render")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write it there. Default: print it.")
@with_settings
def render_command(settings: Settings, output: Path | None) -> None:
    """Print the configuration as one document, for an Envoy of your own (`polycall serve --no-gateway`)."""
    from polycall.gateway import gateway_config
    from polycall_gateway import GatewayError, render_static

    try:
        text = render_static(gateway_config(settings, settings.data_dir / "run"))
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
    from polycall.gateway import gateway_config
    from polycall_gateway import GatewayError, validate

    try:
        with Progress("Envoy reads the configuration"):
            validate(gateway_config(settings, settings.data_dir / "run"))
    except GatewayError as error:
        raise Failure(str(error)) from None
    say("Envoy takes the configuration.")
