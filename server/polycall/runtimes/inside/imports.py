"""Try what shall be imported ahead of runs. Runs inside a sandbox of the environment; standard library only.

A zygote imports what was good here, with nobody watching: so whatever raises, starts threads (which do not survive a
fork) or ends the process is found out here. Before each import a line goes to standard output, so that the server knows
which one it was that hung or died.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import threading
import time
from importlib.metadata import Distribution, distributions

_MOST_WORDS = 500


def try_imports(input: dict[str, object]) -> dict[str, object]:
    """Import modules one after the other.

    ``input``: ``modules``; ``names`` of distributions whose top-level modules come after them; ``skip``, modules that
    are known to be bad; ``mark``, what progress lines begin with. Returns ``good``, ``bad`` (module -> why) and
    ``stopped``: a module that left threads behind, which spoils the process for those after it.
    """
    skip, mark = set(_texts(input["skip"])), str(input["mark"])
    wanted = [*_texts(input["modules"]), *_declared(_texts(input["names"]))]
    good: list[str] = []
    bad: dict[str, str] = {}
    for name in dict.fromkeys(wanted):
        if name in skip:
            continue
        os.write(1, f"{mark}{name}\n".encode())
        before = time.perf_counter()
        try:
            importlib.import_module(name)
        except BaseException as error:
            words = " ".join(f"{type(error).__name__}: {error}".split())
            bad[name] = words[:_MOST_WORDS].encode(errors="replace").decode()
            continue
        if _threads() > 1:
            return {"good": good, "bad": bad, "stopped": name}
        good.append(name)
        print(f"imported {name} in {time.perf_counter() - before:.2f} s", file=sys.stderr, flush=True)
    return {"good": good, "bad": bad, "stopped": ""}


def _texts(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _declared(names: list[str]) -> list[str]:
    wanted = {_canonical(name) for name in names}
    found: list[str] = []
    for dist in distributions(path=[sys.path[-1]]):
        if _canonical(str(dist.metadata["Name"])) in wanted:
            found += _top_level(dist)
    return sorted(found)


def _canonical(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _top_level(dist: Distribution) -> list[str]:
    text = dist.read_text("top_level.txt")
    names = text.split() if text else [_module(file.parts) for file in dist.files or ()]
    # private ones are for their package to import
    return sorted({name for name in names if name.isidentifier() and not name.startswith("_")})


def _module(parts: tuple[str, ...]) -> str:
    if len(parts) == 1:
        return parts[0].partition(".")[0] if parts[0].endswith((".py", ".so")) else ""
    return parts[0] if parts[-1] == "__init__.py" and len(parts) == 2 else ""


def _threads() -> int:
    with contextlib.suppress(OSError):
        return len(os.listdir("/proc/self/task"))
    return threading.active_count()
