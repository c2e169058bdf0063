"""The server's settings as flags, one for each field of ``polycall.config.Settings``; and ``polycall config``."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, TypeVar

import click

from polycall.cli.failures import Failure
from polycall.cli.options import json_option
from polycall.config import PREFIX, ConfigError, Settings, load

__all__ = ["config", "with_setting_flags", "with_settings"]

_Answer = TypeVar("_Answer")
_METAVARS = {"int": "N", "float": "SECONDS", "Path": "DIRECTORY", "IsolationLevel": "0-3"}


def with_settings(command: Callable[..., _Answer]) -> Callable[..., _Answer]:
    """Give a command the settings of environment and ``--config`` file as its first argument."""

    @_config_option
    @functools.wraps(command)
    def wrapped(*args: Any, config: Path | None, **options: Any) -> _Answer:
        return command(_load({}, config), *args, **options)

    return wrapped


def with_setting_flags(command: Callable[..., _Answer]) -> Callable[..., _Answer]:
    """As ``with_settings``, with a flag for every setting as well."""

    @functools.wraps(command)
    def wrapped(*args: Any, config: Path | None, **options: Any) -> _Answer:
        flags = {item.name: options.pop(item.name) for item in fields(Settings)}
        return command(_load(flags, config), *args, **options)

    add: Callable[..., Any] = wrapped
    for item in reversed(fields(Settings)):
        add = _option(item)(add)
    return _config_option(add)


_config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Settings as TOML. Default: POLYCALL_CONFIG.",
)


def _option(item: Field[Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    name = item.name.replace("_", "-")
    kind = str(item.type)
    default = item.default if item.default is not MISSING else None
    shown = "" if default in (None, "") or item.metadata["secret"] else f" Default: {_words(default)}."
    help_text = item.metadata["help"] + shown
    if kind == "bool":
        return click.option(f"--{name}/--no-{name}", item.name, default=None, help=help_text)
    if item.metadata["secret"]:
        help_text += f" Better as {PREFIX}{item.name.upper()}: flags stand in process lists."
    metavar = "ADDRESS" if item.name.endswith("_address") else _METAVARS.get(kind, "TEXT")
    return click.option(f"--{name}", item.name, metavar=metavar, help=help_text)


def _words(default: Any) -> str:
    if isinstance(default, bool):
        return "on" if default else "off"
    return f"{default:g}" if isinstance(default, int | float) else str(default)


def _load(flags: dict[str, object], file: Path | None) -> Settings:
    try:
        return load(flags, file=file)
    except ConfigError as error:
        raise Failure(str(error)) from None


@click.group("config")
def config() -> None:
    """See the settings."""


@config.command("show")
@json_option
@with_setting_flags
@click.pass_context
def show_command(ctx: click.Context, settings: Settings, as_json: bool) -> None:
    """Show every setting as `polycall serve` with the same flags would take it, and where it comes from.

    A flag wins over the environment (POLYCALL_...), that over the file, that over the default.
    """
    import json

    from polycall.cli.table import print_table
    from polycall.cli.terminal import say

    shown = settings.show()
    if as_json:
        say(json.dumps(shown, indent=2))
        return
    file = ctx.params["config"] or (Path(named) if (named := os.environ.get(f"{PREFIX}CONFIG")) else None)
    in_file = load(environ={}, file=file).show() if file else {}
    defaults = Settings().show()

    def origin(name: str) -> str:
        if ctx.params[name] is not None:
            return "flag"
        if {f"{PREFIX}{name.upper()}", f"{PREFIX}{name.upper()}_FILE"} & os.environ.keys():
            return "environment"
        return str(file) if in_file.get(name, defaults[name]) != defaults[name] else "default"

    print_table(["SETTING", "VALUE", "FROM"], [[name, value, origin(name)] for name, value in shown.items()])
