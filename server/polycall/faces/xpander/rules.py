"""What a custom function's source must be. The contract's list (section 6), and other spellings of what is on it."""

from __future__ import annotations

from polycall.engine.rules import Rules

__all__ = ["RULES"]

RULES = Rules(
    refused=(
        *("builtins.eval", "builtins.exec", "builtins.compile", "builtins.__import__"),
        *("os.system", "os.popen", "os.exec*", "os.fork*", "os.spawn*", "os.posix_spawn*"),
        *("subprocess", "_posixsubprocess", "posix", "pty"),
        *("ctypes", "_ctypes"),
    ),
    why="is not allowed in custom functions",
    must_exist=True,
)
