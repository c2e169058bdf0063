"""The submitted program in its sandbox: files on disk, modules imported, entry points found."""

from __future__ import annotations
import __future__

import importlib
import importlib.util
import os
import sys
import types
from collections.abc import Callable
from typing import Any

from polycall.sandbox.inside import AskRefused, UserFailure
from polycall.sandbox.layout import Layout

__all__ = ["EntrypointNotFound", "Program", "place"]

_POSTPONED = __future__.annotations.compiler_flag


class EntrypointNotFound(Exception):
    """Raised when the module or the callable does not exist; ``type`` names the exception Python would raise."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def place(root: str, path: str, data: bytes | memoryview, mode: int) -> None:
    """Write a file below ``root``, folders included, in place of what is there. The path was checked by the server."""
    target = os.path.join(root, path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(target, flags, mode)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(target))
        fd = os.open(target, flags, mode)
    except FileExistsError:
        os.unlink(target)
        fd = os.open(target, flags, mode)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
    finally:
        os.close(fd)


class Program:
    """A bundle on disk and the adapter that goes with it."""

    def __init__(
        self,
        layout: Layout,
        files: dict[str, memoryview],
        adapter: types.CodeType | None,
        ask: Callable[[str, Any], Any],
    ) -> None:
        self.layout = layout
        for path, data in files.items():
            place(layout.code, path, data, 0o444)
        sys.path.insert(0, layout.code)
        _forget({path.partition("/")[0].removesuffix(".py") for path in files})
        self.adapter: Any = None
        if adapter is not None:
            self.adapter = types.ModuleType("polycall_adapter")
            self.adapter.__dict__.update(UserFailure=UserFailure, AskRefused=AskRefused, ask=ask)
            exec(adapter, self.adapter.__dict__)

    def function(self, entrypoint: str, options: dict[str, Any], *, postponed: bool) -> Callable[..., Any]:
        """Return the callable of ``module:callable``; ``postponed``: never evaluate the module's annotations.

        Raises EntrypointNotFound, and whatever the module raises.
        """
        module_name, _, name = entrypoint.partition(":")
        module = sys.modules.get(module_name)
        if module is None or not str(getattr(module, "__file__", "")).startswith(self.layout.code + os.sep):
            module = self._import(module_name, options, postponed)
        missing = EntrypointNotFound("NameError", f"{name} is not defined")
        if hasattr(self.adapter, "resolve"):
            try:
                found = self.adapter.resolve(module.__dict__, name, options)
            except KeyError:
                raise missing from None
        else:
            found = module
            for part in name.split("."):
                try:
                    found = getattr(found, part)
                except AttributeError:
                    raise missing from None
        if not callable(found):
            raise EntrypointNotFound("TypeError", f"{name} is not a function, it is a {type(found).__name__}")
        function: Callable[..., Any] = found
        return function

    def _import(self, name: str, options: dict[str, Any], postponed: bool) -> types.ModuleType:
        try:
            spec = importlib.util.find_spec(name)
        except ModuleNotFoundError as error:
            if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
                spec = None
            else:
                raise
        if spec is None or spec.loader is None:
            raise EntrypointNotFound("ModuleNotFoundError", f"No module named '{name}'")
        if spec.origin is None or not spec.origin.endswith(".py"):
            return importlib.import_module(name)
        module = importlib.util.module_from_spec(spec)
        with open(spec.origin, "rb") as stream:
            source = stream.read()
        sys.modules[name] = module
        try:
            code = compile(source, spec.origin, "exec", flags=_POSTPONED if postponed else 0, dont_inherit=True)
            if hasattr(self.adapter, "prepare"):
                self.adapter.prepare(module.__dict__, options)
            exec(code, module.__dict__)
        except BaseException:
            sys.modules.pop(name, None)
            raise
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
        return module

    def run_script(self, path: str, arguments: list[str]) -> None:
        """Run a file of the bundle as ``__main__``. Raises whatever it raises, SystemExit included."""
        target = os.path.join(self.layout.code, path)
        try:
            with open(target, "rb") as stream:
                source = stream.read()
        except (FileNotFoundError, IsADirectoryError):
            raise EntrypointNotFound("FileNotFoundError", f"No file named '{path}'") from None
        sys.argv = [target, *arguments]
        module = types.ModuleType("__main__")
        module.__dict__.update(__file__=target, __cached__=None)
        sys.modules["__main__"] = module
        exec(compile(source, target, "exec", dont_inherit=True), module.__dict__)


def _forget(names: set[str]) -> None:
    """Unload the standard library's modules that the bundle has modules of the same name for: the program's come first.

    What plain ``python`` itself has loaded cannot be shadowed there either.
    """
    # never all of what is loaded: each name lies on a page of its own, which is copied for whoever looks at it
    names = {name for name in names if name in sys.modules and name not in _ALWAYS_LOADED and name not in _BUILTIN}
    if names:
        for loaded in list(sys.modules):
            if loaded.partition(".")[0] in names:
                del sys.modules[loaded]


_BUILTIN = frozenset(sys.builtin_module_names)


# The modules of an interpreter that has just started (python -I -c "import sys; print(sys.modules)").
_ALWAYS_LOADED = frozenset(
    (
        "__main__",
        "_collections_abc",
        "_sitebuiltins",
        "abc",
        "codecs",
        "encodings",
        "genericpath",
        "io",
        "os",
        "os.path",
        "posixpath",
        "site",
        "stat",
        "zipimport",
    )
)
