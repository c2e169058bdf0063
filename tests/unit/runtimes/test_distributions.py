"""What of the server's own packages code may import: what was promised, and what that needs."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from polycall.runtimes.distributions import (
    DEFAULT_PACKAGES,
    closure_of,
    copy_distributions,
    default_packages,
    is_current,
    parser_packages,
)
from polycall.runtimes.environments import Environments

NEEDED = {"anyio", "certifi", "charset-normalizer", "h11", "httpcore", "httpx", "idna", "requests", "urllib3"}
# of some of them, on some versions of Python
MAY_BE = {"typing_extensions", "sniffio", "exceptiongroup"}


def test_the_default_packages_are_two_and_what_they_need() -> None:
    names = {dist.metadata["Name"] for dist in closure_of(DEFAULT_PACKAGES)}
    assert NEEDED <= names <= NEEDED | MAY_BE


def test_a_package_that_was_promised_and_is_not_installed_is_an_error() -> None:
    with pytest.raises(PackageNotFoundError, match="no-such-thing"):
        closure_of(["no-such-thing"])


def test_a_copy_works_by_itself_and_has_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "copy"
    copy_distributions(closure_of(DEFAULT_PACKAGES), target)
    code = (
        "import sys; sys.path.append(sys.argv[1]); import requests, httpx; "
        "print(requests.__file__, httpx.__file__); import grpc"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code, str(target)], capture_output=True, text=True)
    assert done.stdout.split() == [str(target / name / "__init__.py") for name in ("requests", "httpx")]
    assert "No module named 'grpc'" in done.stderr
    assert all(source.with_name("__pycache__").is_dir() for source in target.rglob("__init__.py"))
    modes = {path.stat().st_mode & 0o7777 for path in target.rglob("*")}
    assert modes == {0o755, 0o644}


def test_they_are_copied_once(tmp_path: Path) -> None:
    environments = Environments(tmp_path / "runtimes")
    made = default_packages(environments)
    before = made.stat().st_mtime_ns
    assert default_packages(environments) == made
    assert made.stat().st_mtime_ns == before
    assert [path.name for path in (tmp_path / "runtimes").iterdir()] == [made.name]


def test_a_copy_is_of_use_while_what_is_installed_is_what_it_was_made_of(tmp_path: Path) -> None:
    environments = Environments(tmp_path)
    for made in (default_packages(environments).name, parser_packages(environments).name):
        assert is_current(made)
        assert not is_current(made[:-1] + ("0" if made[-1] != "0" else "1"))
