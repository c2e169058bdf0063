"""What ``DFF.RESP`` and its relatives return."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

__all__ = ["Response", "file_response", "large_response", "redirect"]


class Response:
    """What ``DFF.RESP`` and its relatives return: a value, and how it leaves over HTTP where it leaves as it is."""

    def __init__(
        self,
        data: Any,
        status_code: int | None = None,
        content_type: str | None = None,
        headers: Mapping[str, str] | None = None,
        allow_304: bool = False,
        download: bool = False,
        *,
        download_file: bool = False,
        file_path: str | None = None,
    ) -> None:
        if status_code is not None and (not isinstance(status_code, int) or not 200 <= status_code <= 599):
            raise ValueError("`status_code` should be an integer between `200` and `599`")
        self.data, self.file_path = data, file_path
        self._control = {
            "statusCode": status_code,
            "contentType": None if content_type is None else str(content_type),
            "headers": {str(name): str(text) for name, text in (headers or {}).items()},
            "allow304": bool(allow_304),
            "downloadFile": bool(download or download_file),
        }

    def control(self, with_file: bool) -> dict[str, Any]:
        if self.file_path is None:
            return self._control
        control = {**self._control, "filePath": self.file_path}
        if with_file:
            import base64  # as others below: few runs need it

            with open(self.file_path, "rb") as stream:
                control["fileBase64"] = base64.b64encode(stream.read()).decode()
        return control


def file_response(
    file_path: str,
    status_code: int | None = None,
    headers: Mapping[str, str] | None = None,
    allow_304: bool = False,
    auto_delete: bool = False,
    download: bool = True,
    *,
    download_file: bool = True,
) -> Response:
    """Return a file of the work directory: ``DFF.RESP_FILE``."""
    if not os.path.isfile(file_path):
        raise Exception(f"No such file in Resource folder: {file_path}")
    both = download and download_file
    return Response(None, status_code, None, headers, allow_304, both, file_path=file_path)


def large_response(data: Any, content_type: str | None = None) -> Response:
    """Return a large value: ``DFF.RESP_LARGE_DATA``."""
    return Response(data, None, content_type or ("json" if isinstance(data, dict | list | tuple) else "txt"))


def redirect(url: str) -> Response:
    """Send the caller elsewhere: ``DFF.REDIRECT``."""
    if not isinstance(url, str):
        raise TypeError(f"URL should be a str, not {type(url)}")
    import urllib.parse

    quoted = "".join(c if c.isascii() else urllib.parse.quote(c) for c in url)
    return Response(f'<a href="{quoted}">Redirect</a>', 302, "html", {"Location": quoted})
