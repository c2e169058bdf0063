"""Guance inside the sandbox: the ``DFF`` object that scripts expect, and results as the vendor shows them.

Standard library only, and trusted for nothing, as it shares the process of the user's code: what is kept, by whom and
how much, is the server's to say (``polycall.faces.guance.services``). An adapter is one text, so these modules are
joined: in the sandbox they share one namespace, and no name is used twice.

Options of a run: ``returnType``; ``collect``: do not run anything, return what ``DFF.API`` registered; ``files``: give
the content of a file that is returned.
"""

from __future__ import annotations

import re
from importlib import resources

__all__ = ["hooks_source"]

_PARTS = ("values", "log", "responses", "asking", "store", "cache", "api", "dff", "hooks")  # each uses those before it
_JOINED = re.compile(
    r"^(?:from __future__ import annotations|from polycall\.\S+ import (?:\([^)]*\)|[^\n(]+)|__all__ = \[[^\]]*\])\n",
    re.M,
)


def hooks_source() -> str:
    """Return the text of the adapter."""
    texts = (resources.files(__package__).joinpath(f"{part}.py").read_text() for part in _PARTS)
    return "from __future__ import annotations\n" + "".join(_JOINED.sub("", text) for text in texts)
