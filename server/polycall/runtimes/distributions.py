"""The default packages of Python: what the server has installed of them, and nothing else of what it has installed.

The distributions that were promised and what they need are copied out of the server's own site-packages, file by file
as their records list them. A sandbox sees the copy. It never sees the server's site-packages, where what else is
installed would become part of what code can do.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from email.message import Message
from email.parser import HeaderParser
from functools import partial
from importlib.metadata import Distribution, PackageNotFoundError, PackagePath, distribution
from pathlib import Path

from polycall.runtimes.environments import Environments

__all__ = [
    "DEFAULT_PACKAGES",
    "PARSER_PACKAGES",
    "closure_of",
    "copy_distributions",
    "default_packages",
    "identity_of",
    "is_current",
    "parser_packages",
]

# What the contracts promise a Python function that names no runtime: requests and httpx.
DEFAULT_PACKAGES = ("requests", "httpx")

# What the analysis of TypeScript and JavaScript needs, in a sandbox of its own (polycall.engine.script_types).
PARSER_PACKAGES = ("tree-sitter", "tree-sitter-typescript")

# The name at the beginning of a requirement (PEP 508), and where its marker begins.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EXTRA_MARKER = re.compile(r"\bextra\s*==")


# Beside the environments of runtimes, whose names are bare digests.
_PREFIX = "python-default-"
_PARSER_PREFIX = "python-parser-"


def default_packages(environments: Environments) -> Path:
    """Return the directory of the default packages, copied anew if what is installed has changed. Raises OSError.

    Blocking: 0.1 s the first time, then 15 ms.
    """
    distributions = closure_of(DEFAULT_PACKAGES)
    return environments.add(_PREFIX + identity_of(distributions), partial(copy_distributions, distributions))


def parser_packages(environments: Environments) -> Path:
    """Return the directory of what reads TypeScript, copied if it is not there yet.

    Raises PackageNotFoundError, OSError. Blocking, as ``default_packages``.
    """
    distributions = closure_of(PARSER_PACKAGES)
    return environments.add(_PARSER_PREFIX + identity_of(distributions), partial(copy_distributions, distributions))


def is_current(name: str) -> bool:
    """Whether a directory has the name of a copy of what is installed now; those of other releases are of no use."""
    for prefix, names in ((_PREFIX, DEFAULT_PACKAGES), (_PARSER_PREFIX, PARSER_PACKAGES)):
        if name.startswith(prefix):
            with contextlib.suppress(PackageNotFoundError):
                return name == prefix + identity_of(closure_of(names))
    return False


def closure_of(names: Iterable[str]) -> tuple[Distribution, ...]:
    """Return the distributions and all that they need and have, by name; extras are not followed.

    A requirement that is not installed is left out: a marker kept it from being installed here. Raises
    PackageNotFoundError if one of ``names`` itself is not installed.
    """
    found: dict[str, Distribution] = {}
    wanted = [(name, True) for name in names]
    while wanted:
        name, must = wanted.pop()
        key = re.sub(r"[-_.]+", "-", name).lower()  # PEP 503
        if key in found:
            continue
        try:
            found[key] = distribution(name)
        except PackageNotFoundError:
            if must:
                raise
            continue
        wanted += [(name, False) for name in _requirements(found[key])]
    return tuple(found[key] for key in sorted(found))


def _requirements(dist: Distribution) -> Iterator[str]:
    for text in _headers(dist).get_all("Requires-Dist", ()):
        requirement, _, marker = text.partition(";")
        name = _NAME.match(requirement)
        if name is not None and not _EXTRA_MARKER.search(marker):
            yield name.group()


def _headers(dist: Distribution) -> Message:
    """Return what a distribution says of itself, without the page of prose that follows: to parse that takes longer."""
    return HeaderParser().parsestr(dist.read_text("METADATA") or dist.read_text("PKG-INFO") or "")


def identity_of(distributions: Iterable[Distribution]) -> str:
    """Return a digest (sha256, hex) that differs when a version, the place it came from, or the interpreter differs."""
    lines = [sys.implementation.cache_tag or "", sys.version]
    for dist in distributions:
        headers = _headers(dist)
        lines.append(f"{headers['Name']}=={headers['Version']} {dist.locate_file('')}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def copy_distributions(distributions: Iterable[Distribution], target: Path) -> None:
    """Copy the files of distributions into a directory that does not exist yet. Raises OSError.

    What lies outside site-packages (scripts) stays behind. Compiled files are taken along, and made where an installer
    did not: a sandbox cannot write them, and every run would compile anew.
    """
    target.mkdir(mode=0o755)
    for dist in distributions:
        for path in _files(dist):
            place = target / path
            place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            # with its times: a compiled file is only good for a source of that time
            shutil.copy2(str(dist.locate_file(path)), place)
            place.chmod(0o644)
    import compileall  # most starts copy nothing

    compileall.compile_dir(target, quiet=2)


def _files(dist: Distribution) -> Iterator[PackagePath]:
    for path in dist.files or ():
        if not path.is_absolute() and ".." not in path.parts and Path(str(dist.locate_file(path))).is_file():
            yield path
