"""What the operator says of the face: read once, and whatever is wrong with it is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from polycall.domain import EgressPolicy, EgressRule
from polycall.errors import FailedPrecondition
from polycall.faces.domo.operator import DomoSettings, domo_settings


def test_nothing_is_said_and_nothing_is_open() -> None:
    assert domo_settings("", " ") == (DomoSettings(), None)


def test_hosts_are_rules_without_credentials() -> None:
    _, policy = domo_settings("", "api.example.com, *.example.org:8443 localhost")
    hosts = ("api.example.com", "*.example.org:8443", "localhost")
    assert policy == EgressPolicy(rules=tuple(EgressRule(host=host) for host in hosts))
    assert not policy.any_address


@pytest.mark.parametrize(
    ("text", "hosts", "message"),
    [
        ("[projects.default.aliases.a]\npackageId = 'x'\n", "", "Object missing required field `version`"),
        ("[projects.default]\nperson = {}\n", "", "Object contains unknown field `person`"),
        ("[project]\n", "", "Object contains unknown field `project`"),
        ("x =", "", "is not valid TOML"),
        ("x = '\udc80'", "", "is not valid TOML"),
        (None, "", "cannot be read: No such file or directory"),
        ("", "https://example.com", "hosts[0].host: "),
        ("", "a.example.com, a.example.com", "hosts[1].host: stands in rule 0 already"),
    ],
)
def test_settings_that_are_wrong_are_refused(tmp_path: Path, text: str | None, hosts: str, message: str) -> None:
    file = tmp_path / "domo.toml"
    if text is not None:
        file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(FailedPrecondition) as refused:
        domo_settings(str(file), hosts)
    assert refused.value.message.startswith("The settings of the Domo face are wrong: ")
    assert message in refused.value.message
