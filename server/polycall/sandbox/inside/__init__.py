"""What runs inside a sandbox: it takes the program, calls it, says what came of it.

Standard library only, and trusted for nothing: the code that it runs shares its process, so the server believes
neither its frames nor its numbers.

**Adapters.** A face may send the source of a module of its own (``Job.adapter``) that stands between the engine's
conventions and the user's code, inside the same sandbox. It may define any of these functions; ``options`` is the
JSON object ``Job.adapter_options``, parsed:

``prepare(module_globals, options)``
    Called once, before the body of the entry module runs, with the module's own dictionary: to inject names.
``resolve(module_globals, name, options) -> callable``
    Replaces the lookup of the callable by name. KeyError means that there is none (ENTRYPOINT_NOT_FOUND).
``bind(function, argument, options) -> (args, kwargs)``
    Replaces the convention: ``argument`` is the parsed payload, the answer is what the function is called with.
``encode(value, options) -> str``
    Replaces ``json.dumps`` of the result: returns JSON text. ValueError, TypeError and RecursionError mean that the
    value cannot be held by JSON. ``raise UserFailure(exception)``, a name that every adapter finds in its globals,
    makes the run end as if the function had raised that exception.

What an adapter raises otherwise counts as raised by the user's code.

``ask(method, value) -> value``, another name that every adapter finds, asks the server something and waits for its
answer: where the run has services (``Job.services``), which decide what there is. Values are JSON. AskRefused, whose
message is for the user, means that there is no answer; to ask where nothing may be asked ends the run.
"""

from __future__ import annotations

__all__ = ["AskRefused", "UserFailure"]


class AskRefused(Exception):
    """Raised to an adapter: the server does not answer what was asked; the message says why."""


class UserFailure(Exception):
    """Raised by an adapter: the function returned an exception that stands for a failure."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.cause = cause
