"""Build an environment. Runs inside a sandbox whose only way out is the registry; standard library only.

The log goes to standard error. The environment goes to standard output, entry by entry (see
``polycall.runtimes.unpacking``, which trusts nothing of it)::

    u8 kind | u16 length of path | u64 length of data | path | data        little endian

kind: 0 the end, 1 a file, 2 an executable file, 3 a symbolic link whose data is its target. Directories come with what
is in them. What is compiled is compiled here: sandboxes cannot write.
"""

from __future__ import annotations

import compileall
import os
import py_compile
import shutil
import stat
import struct
import subprocess
import sys

_ENTRY = struct.Struct("<BHQ")
_END, _FILE, _EXECUTABLE, _LINK = range(4)
_CHUNK = 1 << 16
# Of what a tool printed, so much becomes the reason of a failure; all of it is in the log.
_MOST_WORDS, _TAIL = 300, 2000


def build(input: dict[str, str]) -> dict[str, object]:
    """Install what the manifest names and send it. ``input``: kind, manifest, tools and registry.

    Returns ``error`` with why there is no environment, "" if it was sent.
    """
    # only the archive may go there, whatever a tool prints
    out = os.dup(1)
    os.dup2(2, 1)
    home = os.environ["HOME"]
    target = os.path.join(home, "environment")
    os.mkdir(target)
    install = _npm if input["kind"] == "package.json" else _pip
    try:
        error = install(input, home, target)
    except OSError as failure:
        error = f"{failure.strerror}: {failure.filename}"
    if not error:
        with os.fdopen(out, "wb", _CHUNK) as stream:
            _send(target, stream)
    return {"error": error}


def _pip(input: dict[str, str], home: str, target: str) -> str:
    manifest = _written(os.path.join(home, "requirements.txt"), input["manifest"])
    command = [
        os.path.join(input["tools"], "bin", "uv"),
        # a source distribution runs its own code to build itself; wheels are only unpacked
        *("pip", "install", "--only-binary", ":all:"),
        *("--python", sys.executable, "--no-python-downloads", "--target", target),
        *("--default-index", input["registry"]),
        # of one disk, so that nothing is there twice
        *("--no-config", "--cache-dir", os.path.join(home, "cache"), "--link-mode", "hardlink"),
        *("--no-progress", "--color", "never", "--requirement", manifest),
    ]
    error = _run(command)
    if error:
        return error
    shutil.rmtree(os.path.join(home, "cache"), ignore_errors=True)
    _say("compiling")
    compileall.compile_dir(
        target,
        quiet=2,
        # its sources never change, and their times are not kept
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        stripdir=target,
        prependdir="/packages",
    )
    return ""


def _npm(input: dict[str, str], home: str, target: str) -> str:
    _written(os.path.join(target, "package.json"), input["manifest"])
    os.environ.update(
        DENO_DIR=os.path.join(home, "cache"),
        NPM_CONFIG_REGISTRY=input["registry"],
        DENO_NO_UPDATE_CHECK="1",
        NO_COLOR="1",
    )
    # without --allow-scripts nothing of a package is run
    command = [os.path.join(input["tools"], "bin", "deno"), "install", "--node-modules-dir=auto", "--no-lock"]
    error = _run(command, cwd=target)
    shutil.rmtree(os.path.join(home, "cache"), ignore_errors=True)
    return error


def _run(command: list[str], cwd: str | None = None) -> str:
    tool = os.path.basename(command[0])
    if not os.path.exists(command[0]):
        return f"{tool} is not installed beside the server"
    words: list[str] = []
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=cwd
    ) as process:
        assert process.stdout is not None  # noqa: S101
        for line in process.stdout:
            text = line.decode(errors="replace").rstrip()
            if not text.startswith("Using "):  # where the interpreter is, is nobody's business
                _say(text)
                words = [*words, *text.split()][-_MOST_WORDS:]
    if process.returncode == 0:
        return ""
    return f"{tool} ended with status {process.returncode}: {' '.join(words)[-_TAIL:]}"


def _written(path: str, text: str) -> str:
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)
    return path


def _say(text: str) -> None:
    if text:
        print(text, file=sys.stderr, flush=True)


def _send(root: str, stream) -> None:  # type: ignore[no-untyped-def]
    for directory, folders, files in os.walk(root):
        folders.sort()
        links = [name for name in folders if os.path.islink(os.path.join(directory, name))]
        for name in sorted(files + links):
            path = os.path.join(directory, name)
            shown = os.fsencode(os.path.relpath(path, root))
            found = os.lstat(path)
            if stat.S_ISLNK(found.st_mode):
                target = os.fsencode(os.readlink(path))
                stream.write(_ENTRY.pack(_LINK, len(shown), len(target)) + shown + target)
            elif stat.S_ISREG(found.st_mode):
                kind = _EXECUTABLE if found.st_mode & 0o111 else _FILE
                stream.write(_ENTRY.pack(kind, len(shown), found.st_size) + shown)
                with open(path, "rb") as source:
                    shutil.copyfileobj(source, stream, _CHUNK)
    stream.write(_ENTRY.pack(_END, 0, 0))
