"""Credentials on their way out: put into a request in place of what the code sent there, kept out of the answer."""

from __future__ import annotations

import base64
import re
import urllib.parse
from collections.abc import Iterable, Sequence

from polycall.domain import Credential, CredentialKind

__all__ = ["HOP_BY_HOP", "Header", "Injection", "header_name_problem", "header_value_problem", "without_hop_by_hop"]

Header = tuple[bytes, bytes]

# RFC 9110, 7.6.1, and what proxies of old understood. Upgrade among them: what follows would not be HTTP.
HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
# Fields that say how a message is framed or where it goes: a credential must not be one.
# Nobody can have them dropped by naming them in Connection.
_FRAMING = frozenset((b"content-length", b"host"))
_STRUCTURAL = HOP_BY_HOP | {b"host", b"content-length", b"expect"}

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")  # RFC 9110, 5.5, without what is obsolete
# Shorter ones would be found in every other answer, and anybody can guess them.
_SHORTEST = 6
_HIDDEN = b"***"
_ENCODED = 3  # times over


def header_name_problem(name: str) -> str | None:
    """Return what is wrong with a header name for a credential."""
    if not _TOKEN.fullmatch(name):
        return "must be an HTTP header name: letters, digits and -"
    lower = name.lower().encode()
    if lower in _STRUCTURAL or lower.startswith(b"proxy-"):
        return "must not be a header that says how the message is framed or where it goes"
    return None


def header_value_problem(value: str) -> str | None:
    """Return what is wrong with the value of a header."""
    if not _VALUE.fullmatch(value):
        return "must be visible ASCII characters, with spaces only between them"
    return None


def without_hop_by_hop(headers: Iterable[Header]) -> list[Header]:
    """Return the headers that are meant for the other end, in order."""
    headers = list(headers)
    dropped = set(HOP_BY_HOP)
    for name, value in headers:
        if name.lower() == b"connection":
            dropped.update(token.strip().lower() for token in value.split(b","))
    dropped -= _FRAMING
    return [
        (name, value)
        for name, value in headers
        if name.lower() not in dropped and not name.lower().startswith(b"proxy-")
    ]


def _slot(name: bytes) -> bytes:
    # CGI and its children (WSGI, PHP) see X_Api_Key and X-Api-Key as one
    return name.lower().replace(b"_", b"-")


class Injection:
    """The credentials of one rule."""

    def __init__(self, credentials: Sequence[Credential]) -> None:
        by_kind = {credential.kind: credential for credential in credentials}
        self._headers: list[Header] = []
        self._query: list[tuple[str, str]] = []
        secrets: list[bytes] = []
        basic, bearer = by_kind.get(CredentialKind.BASIC), by_kind.get(CredentialKind.BEARER)
        if bearer is not None:
            self._headers.append((b"Authorization", b"Bearer " + bearer.secret.encode("ascii")))
            secrets.append(bearer.secret.encode("ascii"))
        elif basic is not None:
            pair = base64.b64encode(f"{basic.name}:{basic.secret}".encode())
            self._headers.append((b"Authorization", b"Basic " + pair))
            secrets += [pair, (basic.secret or basic.name).encode()]
        if any(credential.sealed for credential in credentials):
            raise ValueError("a credential is sealed")
        if (header := by_kind.get(CredentialKind.HEADER)) is not None:
            self._headers.append((header.name.encode("ascii"), header.secret.encode("ascii")))
            secrets.append(header.secret.encode("ascii"))
        if (query := by_kind.get(CredentialKind.QUERY)) is not None:
            self._query.append((query.name, query.secret))
            secrets.append(query.secret.encode())
        self._plain = [secret for secret in secrets if len(secret) >= _SHORTEST]
        forms = set[bytes]()
        for secret in self._plain:
            forms |= {secret, urllib.parse.quote(secret).encode(), urllib.parse.quote(secret, safe="").encode()}
            forms.add(urllib.parse.quote_plus(secret).encode())
        # the longest first: one may be part of another
        self._secrets = sorted(forms, key=len, reverse=True)

    def __bool__(self) -> bool:
        return bool(self._headers or self._query)

    def add(self, target: bytes, headers: Iterable[Header]) -> tuple[bytes, list[Header]]:
        """Return a request's target and headers with the credentials, and with nothing of the code's in their place."""
        taken = {_slot(name) for name, _ in self._headers}
        kept = [(name, value) for name, value in headers if _slot(name) not in taken]
        return self._with_query(target), [*kept, *self._headers]

    def _with_query(self, target: bytes) -> bytes:
        if not self._query:
            return target
        path, _, query = target.partition(b"?")
        names = {name for name, _ in self._query}
        pieces = [
            piece
            for piece in query.split(b"&")
            if piece and urllib.parse.unquote_plus(piece.partition(b"=")[0].decode("ascii")) not in names
        ]
        pieces += [urllib.parse.urlencode([pair]).encode("ascii") for pair in self._query]
        return path + b"?" + b"&".join(pieces)

    def hide(self, headers: Iterable[Header]) -> list[Header]:
        """Return an answer's headers without the credentials: servers redirect to what they were asked for."""
        return [(name, value if name.lower() in _FRAMING else self.hide_text(value)) for name, value in headers]

    def hide_text(self, value: bytes) -> bytes:
        """Return a piece of an answer without the credentials."""
        for secret in self._secrets:
            value = value.replace(secret, _HIDDEN)
        # Any character may be written as %xx or %XX, and that once more: of what is not in one of the usual forms
        # nothing is left, as nobody can say where it begins.
        decode = urllib.parse.unquote_to_bytes
        texts = {value, value.replace(b"+", b" ")}
        for _ in range(_ENCODED if b"%" in value and self._plain else 0):
            texts = {decode(text) for text in texts}
            if any(secret in text for text in texts for secret in self._plain):
                return _HIDDEN
        return value
