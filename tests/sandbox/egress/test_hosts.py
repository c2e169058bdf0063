"""Host patterns: what they are, what they match, which one decides."""

from __future__ import annotations

import pytest

from polycall.sandbox.egress.policy import Authority, Policy, Refused, parse_authority, parse_pattern
from tests.sandbox.egress.conftest import policy, rule


def allows(pattern: str, where: str) -> bool:
    try:
        Policy(policy(pattern)).allow(parse_authority(where, 443))
    except Refused:
        return False
    return True


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (
            "example.com",
            "example.com EXAMPLE.com example.com. example.com:80",
            "a.example.com example.org example.com:22",
        ),
        (
            "*.example.com",
            "a.example.com a.b.example.com A.EXAMPLE.COM:80",
            "example.com notexample.com a.example.com:8443",
        ),
        ("*", "example.com localhost a:80", "127.0.0.1 [::1] 8.8.8.8 example.com:8080"),
        ("example.com:8443", "example.com:8443", "example.com:443 example.com:80"),
        ("*:8443", "example.com:8443", "example.com:443 8.8.8.8:8443"),
        ("8.8.8.8", "8.8.8.8 8.8.8.8:80", "8.8.4.4 example.com 8.8.8.8:53"),
        ("[2606:4700::1111]:8443", "[2606:4700:0::1111]:8443", "[2606:4700::1111]:443"),
        ("2606:4700::1111", "[2606:4700::1111]:443", "[2606:4700::1112]:443"),
        ("Bücher.example".encode("idna").decode(), "xn--bcher-kva.example", "bucher.example"),
    ],
)
def test_patterns_match(pattern: str, yes: str, no: str) -> None:
    assert [where for where in yes.split() if not allows(pattern, where)] == []
    assert [where for where in no.split() if allows(pattern, where)] == []


def test_an_operator_can_close_the_way_to_hosts_that_no_rule_names() -> None:
    closed = Policy(policy("*", "*:8443", "*.example.com", "api.example.org"), anywhere=False)
    for named in ("a.example.com", "api.example.org"):
        closed.allow(parse_authority(named, 443))
    for where in ("example.com", "example.net", "example.net:8443"):
        with pytest.raises(Refused, match="is named by no rule, and the operator lets `\\*` reach nothing"):
            closed.allow(parse_authority(where, 443))


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "a..b", "-a", "a-", "a b", "a_/b", "https://a", "a/b", "a:0", "a:65536", "a:x", "a:", "a:١"),
        *(
            "*a.com",
            "a.*",
            "**",
            "*.",
            "*.*.com",
            "a?.com",
            "[a-z].com",
            "(a|b).com",
            "^a$",
            "a\\.com",
            "[::1",
            "[::1]x",
        ),
        *(
            "127.1",
            "0x7f.1",
            "0x7f000001",
            "2130706433",
            "0177.0.0.1",
            "1.2.3",
            "1.2.3.4.5",
            "fe80::1%eth0",
            "*.1.2.3.4",
        ),
        *("büro.de", "a\0b", "a\nb", "a\r\nHost: b", "user@host", "a" * 64 + ".com", ".".join(["a" * 60] * 5)),
    ],
)
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(must|may) "):
        parse_pattern(text)


def test_the_most_particular_rule_decides() -> None:
    rules = Policy(
        policy(
            "*",
            rule("*.example.com", bearer="wide"),
            rule("*.api.example.com", bearer="narrow"),
            rule("x.api.example.com", bearer="exact"),
            rule("x.api.example.com:8443", bearer="port"),
        )
    )

    def token(where: str) -> list[str]:
        return [one.secret for one in rules.allow(parse_authority(where, 443)).credentials]

    assert token("example.org") == []
    assert token("a.example.com") == ["wide"]
    assert token("a.api.example.com") == ["narrow"]
    assert token("x.api.example.com") == ["exact"]
    assert token("x.api.example.com:8443") == ["port"]


def test_a_rule_names_a_host_or_does_not() -> None:
    for pattern, listed in (("example.com", True), ("*.com", False), ("*", False)):
        assert Policy(policy(pattern)).allow(Authority("example.com", 443)).listed is listed
