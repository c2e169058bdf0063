"""How an adapter asks the server something while the code runs, and waits for the answer."""

from __future__ import annotations

import json
import os
import threading
from typing import Any

from polycall.sandbox.inside import AskRefused
from polycall.sandbox.inside.wire import Connection

__all__ = ["Asking"]

_MOST_BYTES = 2 << 20  # what the server takes; more would end the run


class Asking:
    """Asks, one question at a time, in the name of the call that is being served."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._nonce = ""
        self._asked = 0

    def begin(self, nonce: str) -> None:
        """Begin a call: its questions are counted anew."""
        self._nonce, self._asked = nonce, 0

    def ask(self, method: str, value: Any) -> Any:
        """Return the server's answer. Raises AskRefused, and TypeError or ValueError for what JSON cannot hold."""
        payload = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        if len(payload) > _MOST_BYTES:
            raise AskRefused(f"more than {_MOST_BYTES >> 20} MiB cannot be sent to the server at once")
        if os.getpid() != self._process:
            raise AskRefused("only the process that runs the function can ask the server, none that it has started")
        with self._lock:
            self._asked += 1
            header = {"kind": "ask", "nonce": self._nonce, "id": self._asked, "method": method}
            self._connection.send(header, payload)
            while (frame := self._connection.receive()) is not None:
                answer, body = frame
                if answer.get("id") == self._asked:  # else of a question whose asker was interrupted
                    break
            else:
                raise AskRefused("the server has hung up")
        found = json.loads(str(body, "utf-8"))
        if not answer["ok"]:
            raise AskRefused(found)
        return found
