"""Domo's ``codeengine`` for Python: accounts, people, the execution, and HTTP to the hosts that the operator opened."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

__all__ = [
    "AxiosError",
    "Response",
    "axios",
    "getAccount",
    "getExecutionDetails",
    "getPersonDetails",
    "sendRequest",
]

_told: dict[str, Any] = getattr(sys.modules.get("polycall_told"), "options", {})
_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"


class Response:
    """An answer: ``data`` is what its JSON says, or else its text (or bytes, with ``responseType="arraybuffer"``)."""

    def __init__(self, status: int, reason: str, headers: Mapping[str, str], data: Any, url: str) -> None:
        self.status = status
        self.statusText = reason
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.data = data
        self.url = url
        self.ok = 200 <= status < 300

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.statusText}>"


class AxiosError(Exception):
    """Raised for an answer other than 2xx (``response`` has it), and where there is none (``response`` is None)."""

    def __init__(self, message: str, code: str, response: Response | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.response = response
        self.status = response.status if response is not None else None


class _Axios:
    """A client in the manner of axios: ``axios(config)``, ``axios(url, **config)``, ``axios.get(url, **config)`` …

    ``config``: url, method, baseURL, params, headers, data (or json), auth, timeout (ms), responseType, validateStatus.
    """

    def __init__(self, defaults: Mapping[str, Any] | None = None) -> None:
        self.defaults = dict(defaults or {})

    def __call__(self, url: Any = None, config: Mapping[str, Any] | None = None, **more: Any) -> Response:
        given = dict(url) if isinstance(url, Mapping) else {"url": url}
        return self.request({**given, **(config or {}), **more})

    def create(self, config: Mapping[str, Any] | None = None, **more: Any) -> _Axios:
        """Return a client with defaults of its own."""
        return _Axios(self._with({**(config or {}), **more}))

    def get(self, url: str, config: Mapping[str, Any] | None = None, **more: Any) -> Response:
        return self(url, config, method="GET", **more)

    def delete(self, url: str, config: Mapping[str, Any] | None = None, **more: Any) -> Response:
        return self(url, config, method="DELETE", **more)

    def head(self, url: str, config: Mapping[str, Any] | None = None, **more: Any) -> Response:
        return self(url, config, method="HEAD", **more)

    def options(self, url: str, config: Mapping[str, Any] | None = None, **more: Any) -> Response:
        return self(url, config, method="OPTIONS", **more)

    def post(self, url: str, data: Any = None, config: Mapping[str, Any] | None = None, **more: Any) -> Response:
        return self(url, config, method="POST", data=data, **more)

    def put(self, url: str, data: Any = None, config: Mapping[str, Any] | None = None, **more: Any) -> Response:
        return self(url, config, method="PUT", data=data, **more)

    def patch(self, url: str, data: Any = None, config: Mapping[str, Any] | None = None, **more: Any) -> Response:
        return self(url, config, method="PATCH", data=data, **more)

    def request(self, config: Mapping[str, Any] | None = None, **more: Any) -> Response:
        """Send a request and return its answer. Raises AxiosError."""
        asked = self._with({**(config or {}), **more})
        headers = {str(name): str(value) for name, value in (asked.get("headers") or {}).items()}
        data = asked["json"] if asked.get("json") is not None else asked.get("data")
        body, kind = _encoded(data)
        if kind and not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = kind
        headers.setdefault("Accept", "application/json, text/plain, */*")
        if (auth := asked.get("auth")) is not None:
            import base64

            pair = f"{auth.get('username', '')}:{auth.get('password', '')}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        url = _address(str(asked.get("url") or ""), asked.get("baseURL"), asked.get("params"))
        method = str(asked.get("method") or "GET").upper()
        timeout = (asked.get("timeout") or 0) / 1000 or None
        response = _send(method, url, headers, body, timeout, asked.get("responseType"))
        valid = asked.get("validateStatus") or (lambda status: 200 <= status < 300)
        if not valid(response.status):
            code = "ERR_BAD_REQUEST" if response.status < 500 else "ERR_BAD_RESPONSE"
            raise AxiosError(f"Request failed with status code {response.status}", code, response)
        return response

    def _with(self, config: Mapping[str, Any]) -> dict[str, Any]:
        headers = {**(self.defaults.get("headers") or {}), **(config.get("headers") or {})}
        return {**self.defaults, **config, "headers": headers}


axios = _Axios()


def sendRequest(
    method: str,
    url: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    contentType: str | None = None,
) -> Any:
    """Send a request and return what is in its answer. Raises AxiosError."""
    sent = dict(headers or {})
    if contentType:
        sent["Content-Type"] = contentType
    return axios.request(method=method, url=_at_instance(url), data=body, headers=sent).data


def getAccount(aliasOrId: Any) -> dict[str, Any]:
    """Return ``{"properties": {…}}`` of an account that this version maps. Raises LookupError."""
    wanted = _text_of(aliasOrId)
    for account in _told.get("accounts", ()):
        if wanted in (account["alias"], account["id"]):
            if "problem" in account:
                raise LookupError(f"Account {wanted!r} {account['problem']}.")
            return {"id": account["id"], "alias": account["alias"], "properties": dict(account["properties"])}
    raise LookupError(f"Account {wanted!r} is not mapped: the version's configuration.accountsMapping has to name it.")


def getPersonDetails(id: Any) -> dict[str, Any]:
    """Return ``{"id", "displayName"}`` of a person that the operator has named. Raises LookupError."""
    wanted = _text_of(id)
    name = _told.get("people", {}).get(wanted)
    if name is None:
        raise LookupError(
            f"Person {wanted!r} is not known here: the operator names people in the file of Domo settings."
        )
    return {"id": wanted, "displayName": name}


def getExecutionDetails() -> dict[str, Any]:
    """Return what this execution is called. Raises LookupError if the function was not called as Domo's."""
    if "execution" not in _told:
        raise LookupError("This execution was not started through Domo's contract and has no details.")
    return dict(_told["execution"])


def _text_of(value: Any) -> str:
    if isinstance(value, Mapping):
        value = value.get("id")
    return str(value)


def _at_instance(url: str) -> str:
    from urllib.parse import urljoin, urlsplit

    if urlsplit(url).scheme:
        return url
    instance = _told.get("instance")
    if not instance:
        raise ValueError(f"{url!r} is no whole URL, and the operator has set no instance that it would be a path of.")
    return urljoin(f"{instance.rstrip('/')}/", url.lstrip("/"))


def _address(url: str, base: str | None, params: Mapping[str, Any] | None) -> str:
    from urllib.parse import urlencode, urlsplit

    if base and not urlsplit(url).scheme:
        url = f"{base.rstrip('/')}/{url.lstrip('/')}" if url else base
    if urlsplit(url).scheme not in ("http", "https"):
        raise AxiosError(f"{url!r} is no http or https URL", "ERR_INVALID_URL")
    if params:
        pairs = [(name, value) for name, value in params.items() if value is not None]
        url += ("&" if "?" in url else "?") + urlencode(pairs, doseq=True)
    return url


def _encoded(data: Any) -> tuple[bytes | None, str]:
    if data is None:
        return None, ""
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data), "application/octet-stream"
    if isinstance(data, str):
        return data.encode(), _FORM
    return json.dumps(data).encode(), _JSON


def _send(
    method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout: float | None, kind: Any
) -> Response:
    import urllib.error  # 20 ms of a processor, and most functions ask nobody
    import urllib.request

    class Unjudged(urllib.request.HTTPErrorProcessor):
        """Takes every answer as it is; redirects go on as ever."""

        def http_response(self, request: Any, response: Any) -> Any:
            if response.status in (301, 302, 303, 307, 308):
                return super().http_response(request, response)
            return response

        https_response = http_response

    request = urllib.request.Request(url, data=body, headers=dict(headers), method=method)  # noqa: S310  http(s)
    try:
        opener = urllib.request.build_opener(Unjudged)
        with opener.open(request, timeout=timeout) if timeout else opener.open(request) as answer:
            data = answer.read()
            return Response(answer.status, answer.reason or "", dict(answer.headers), _decoded(data, kind), answer.url)
    except urllib.error.HTTPError as error:  # a redirect that leads nowhere
        answered = Response(error.code, error.reason or "", dict(error.headers), _decoded(error.read(), kind), url)
        raise AxiosError(f"Request failed with status code {error.code}", "ERR_BAD_RESPONSE", answered) from None
    except OSError as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            raise AxiosError(f"timeout of {int((timeout or 0) * 1000)}ms exceeded", "ECONNABORTED") from None
        raise AxiosError(f"Network Error: {reason}", "ERR_NETWORK") from None


def _decoded(data: bytes, kind: Any) -> Any:
    if kind == "arraybuffer":
        return data
    text = data.decode("utf-8", "replace")
    if kind == "text":
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
