"""The command line. Verbs first (serve, run, deploy, call, doctor), nouns for the rest.

Every command imports what it needs when it runs: `polycall --help` must not wait for grpc.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import click

import polycall
from polycall.cli.exits import Exit
from polycall.cli.failures import Failure
from polycall.cli.terminal import tell

__all__ = ["cli", "main"]

# command -> (module of polycall.cli, name in it, its line in `polycall --help`)
_COMMANDS = {
    "serve": ("serve", "serve_command", "Serve gRPC, and REST with all faces."),
    "run": ("run", "run_command", "Run code or a function, see its output live, get its value."),
    "deploy": ("deploy", "deploy_command", "Put code in: a file, a directory, a zip archive."),
    "call": ("run", "call_command", "Have a function run later, durably."),
    "executions": ("executions", "executions", "See, follow, wait for and cancel runs."),
    "schedules": ("schedules", "schedules", "Have functions run by the clock."),
    "webhooks": ("webhooks", "webhooks", "See and repeat notifications of ends; make what signs them."),
    "policies": ("policies", "policies", "Say how many Calls of a function run at once, and what is tried again."),
    "packages": ("packages", "packages", "See, release and delete what is deployed."),
    "runtimes": ("runtimes", "runtimes", "Build, see and delete runtimes: packages that code runs with."),
    "functions": ("functions", "functions", "See what functions a source has; get code that calls one."),
    "import": ("imports", "imports", "Bring over what you have at a vendor, under the same ids."),
    "secrets": ("secrets", "secrets", "Keep texts that code uses and that nobody reads back."),
    "keys": ("keys", "keys", "Create, see and revoke API keys."),
    "audit": ("audit", "audit", "See who did what, and take it elsewhere."),
    "projects": ("keys", "projects", "Create, see and limit projects."),
    "doctor": ("doctor", "doctor_command", "Say how far code is isolated here, and how to get what is missing."),
    "health": ("health", "health_command", "Say whether the server, or the gateway, of this machine serves."),
    "gateway": ("gateway", "gateway", "Render, check and run the configuration of Envoy."),
    "backup": ("backup", "backup_command", "Back up the data directory, also while its server runs."),
    "restore": ("backup", "restore_command", "Put a backup into a data directory."),
    "config": ("settings", "config", "See the settings."),
    "version": ("version", "version_command", "Show what is installed here."),
}


class _Commands(click.Group):
    """Loads a command's module when the command is used, and not to list it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, name, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(f"polycall.cli.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in _COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(polycall.__version__, prog_name="polycall")
def cli() -> None:
    """One function engine, many contracts.

    Exit codes: 0 ok, 1 the code failed, 2 usage, 3 server unreachable, 4 denied, 5 limit or timeout.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; never shows a traceback, except to `python -X dev`."""
    given = None if arguments is None else list(arguments)
    try:
        try:
            status = cli.main(args=given, prog_name="polycall", standalone_mode=False)
        finally:
            sys.stdout.flush()
        return int(status or Exit.OK)
    except (click.exceptions.Abort, KeyboardInterrupt):
        tell("\ninterrupted.")
        return Exit.INTERRUPTED
    except click.ClickException as failure:
        failure.show()
        return failure.code if isinstance(failure, Failure) else failure.exit_code
    except BrokenPipeError:
        # whoever read our output has enough of it; the interpreter must not try to flush what is left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except SystemExit:  # click's own, even so: a shell has its completions, or click met the broken pipe first
        return Exit.OK
    except Exception as error:
        if sys.flags.dev_mode:
            raise
        bug = f"a bug in polycall: {type(error).__name__}: {error}. `python -X dev -m polycall.cli ...` shows where."
        Failure(bug, Exit.UNREACHABLE).show()
        return Exit.UNREACHABLE
