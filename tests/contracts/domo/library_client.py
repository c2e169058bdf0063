"""domolibrary2 behind a pipe: one JSON request a line, one JSON answer a line. Run by the library's own environment.

    library_client.py PORT TOKEN

A request is ``[function, arguments]`` of ``domolibrary2.routes.codeengine``; an answer ``{"response": …}`` or
``{"error": class, "message": …}``. Its base URL is fixed to the vendor's; a transport of httpx leads to ours instead.
"""

from __future__ import annotations
import __future__

import asyncio
import importlib.machinery
import importlib.util
import json
import sys
from collections.abc import Sequence
from types import CodeType, ModuleType
from typing import Any, TextIO


class _Deferred(importlib.machinery.SourceFileLoader):
    """Compiles modules with deferred annotations, as Python 3.14 does: some of 2.1.4 cannot be evaluated before."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = compile(
            self.get_data(path), path, "exec", flags=__future__.annotations.compiler_flag, dont_inherit=True
        )
        return code


class _Finder:
    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        if name.partition(".")[0] != "domolibrary2":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.origin and spec.origin.endswith(".py"):
            spec.loader = _Deferred(name, spec.origin)
        return spec


async def main(port: int, token: str, answers: TextIO) -> None:
    sys.meta_path.insert(0, _Finder)
    httpx: Any = importlib.import_module("httpx")
    auth: Any = importlib.import_module("domolibrary2.auth")
    routes: Any = importlib.import_module("domolibrary2.routes.codeengine")
    seen: list[tuple[str, str]] = []

    class ToOurs(httpx.AsyncHTTPTransport):  # type: ignore[misc]
        async def handle_async_request(self, request: Any) -> Any:
            seen.append((request.method, str(request.url)))
            request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=port)
            return await super().handle_async_request(request)

    who = auth.DomoTokenAuth(domo_instance="acme", domo_access_token=token)
    async with httpx.AsyncClient(transport=ToOurs()) as session:
        while line := await asyncio.to_thread(sys.stdin.readline):
            function, arguments = json.loads(line)
            seen.clear()
            try:
                answer = await getattr(routes, function)(auth=who, session=session, **arguments)
                told = {"response": answer.response, "status": answer.status}
            except Exception as error:
                told = {"error": type(error).__name__, "message": str(error)}
            answers.write(json.dumps({**told, "requests": seen}) + "\n")
            answers.flush()


if __name__ == "__main__":
    stdout, sys.stdout = sys.stdout, sys.stderr  # the library prints
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], stdout))
