"""``polycall backup`` and ``polycall restore``: of the embedded store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from polycall.cli.failures import Failure
from polycall.cli.settings import with_settings
from polycall.config import Settings

__all__ = ["backup_command", "restore_command"]

_MIB = 1 << 20


@click.command("backup")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--with-keys", is_flag=True, help="Put encryption key and bootstrap key in as well; guard the file then.")
@click.option("--without-runtimes", is_flag=True, help="Leave built runtimes out; they must be built anew.")
@with_settings
def backup_command(settings: Settings, file: Path, with_keys: bool, without_runtimes: bool) -> None:
    """Write a backup of the data directory to FILE, also while its server runs.

    It has everything committed by then: packages, executions, schedules, secrets (sealed), built runtimes. The copy is
    checked before it is kept.
    """
    from polycall.backup import back_up
    from polycall.cli.terminal import Progress, say, tell
    from polycall.datadir import ENCRYPTION_KEY_FILE

    _embedded(settings)
    with _explained(file), Progress("the database is copied and checked"):
        manifest = back_up(settings.data_dir, file, keys=with_keys, runtimes=not without_runtimes)
    size = file.stat().st_size / _MIB
    say(f"{file}: {size:.1f} MiB, {manifest.runtimes} runtimes, {'with' if with_keys else 'without'} keys.")
    if not with_keys and not settings.encryption_key:
        tell(
            f"Keep a copy of {settings.data_dir / ENCRYPTION_KEY_FILE} elsewhere: secrets cannot be opened without it."
        )


@click.command("restore")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--replace", is_flag=True, help="Set a database that is there aside, under another name.")
@with_settings
def restore_command(settings: Settings, file: Path, replace: bool) -> None:
    """Put a backup into the data directory, whose server must be stopped.

    Start the server afterwards: it brings the database up to date if the backup is of an older release.
    """
    from polycall.backup import restore
    from polycall.cli.terminal import Progress, say, tell
    from polycall.datadir import ENCRYPTION_KEY_FILE

    _embedded(settings)
    with _explained(file), Progress("the backup is checked and unpacked"):
        manifest = restore(file, settings.data_dir, replace=replace)
    say(f"{settings.data_dir}: as it was in the backup made by polycall {manifest.version}.")
    key = settings.data_dir / ENCRYPTION_KEY_FILE
    if not settings.encryption_key and not key.exists():
        tell(f"The backup has no keys: put the encryption key to {key} before you start the server.")


def _embedded(settings: Settings) -> None:
    if settings.database_url:
        raise Failure(
            "POLYCALL_DATABASE_URL is set: back up that database with its own tools (docs/operations.md has the "
            "commands). This command is for the embedded database."
        )


@contextmanager
def _explained(file: Path) -> Iterator[None]:
    """Say what went wrong as the command line does."""
    from polycall.errors import FailedPrecondition

    try:
        yield
    except FailedPrecondition as error:
        raise Failure(str(error)) from None
    except OSError as error:
        raise Failure(f"{error.filename or file}: {error.strerror}.") from None
