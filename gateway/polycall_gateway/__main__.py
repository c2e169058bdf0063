"""Render and check the configuration: ``python -m polycall_gateway render [--check] [--output FILE]``, ``validate``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from polycall_gateway.binary import validate
from polycall_gateway.config import GatewayConfig
from polycall_gateway.descriptors import Contract
from polycall_gateway.errors import GatewayError
from polycall_gateway.rendering import render_static

__all__ = ["COMMITTED", "committed_text", "main"]

# For readers, and for a mesh: run Envoy in its directory.
COMMITTED = Path(__file__).parent.parent / "envoy.yaml"

_DESCRIPTORS = Path("polycall_gateway/descriptors.pb")
_HEAD = """\
# Envoy in front of polycall, as it is for the default settings, with the gRPC listener for a mesh and an access log.
# Generated from the HTTP annotations of the protos: `python -m polycall_gateway render`. Do not edit.
# Start it in this directory: envoy --config-path envoy.yaml
"""


def committed_text() -> str:
    """Return what ``gateway/envoy.yaml`` has to be."""
    config = GatewayConfig(mesh_address="127.0.0.1:50052", access_log="/dev/stdout")
    return _HEAD + render_static(config, Contract.load(), _DESCRIPTORS)


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status: 0 done, 1 stale or refused."""
    parser = argparse.ArgumentParser(prog="python -m polycall_gateway", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    rendering = commands.add_parser("render", help="write the configuration for the default settings")
    rendering.add_argument("--check", action="store_true", help="write nothing, fail if the file is stale")
    rendering.add_argument("--output", type=Path, default=COMMITTED, help="the file (default: %(default)s)")
    commands.add_parser("validate", help="have Envoy read the configuration for the default settings")
    options = parser.parse_args(arguments)
    try:
        if options.command == "validate":
            validate(GatewayConfig(mesh_address="127.0.0.1:50052"))
        else:
            return _render(options.output, check=options.check)
    except GatewayError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _render(path: Path, *, check: bool) -> int:
    text = committed_text()
    if not check:
        path.write_text(text, "utf-8")
    elif not path.exists() or path.read_text("utf-8") != text:
        sys.stderr.write(f"{path} is stale: run `python -m polycall_gateway render`\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
