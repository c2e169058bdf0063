"""Signatures and waits, as their pages have them."""

from __future__ import annotations

import base64
import re

import pytest

from polycall.engine.webhooks.backoff import Backoff
from polycall.engine.webhooks.signature import new_signing_secret, signature_headers
from polycall.engine.webhooks.targets import Targets


def test_the_example_of_the_specification_gets_its_signature() -> None:
    # standard-webhooks, spec/standard-webhooks.md and the test of its reference libraries
    headers = signature_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    )
    assert headers == [
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ]


def test_secrets_are_long_enough_and_each_another() -> None:
    some = {new_signing_secret() for _ in range(10)}
    assert len(some) == 10
    assert {len(base64.b64decode(one.removeprefix("whsec_"), validate=True)) for one in some} == {32}


def test_waits_grow_and_end_and_are_never_shorter_than_asked_for() -> None:
    even = Backoff(chance=lambda low, high: 1.0)
    waits = [even.wait_s(attempts) for attempts in range(1, 10)]
    assert waits == [5, 20, 80, 320, 1280, 5120, 20480, 28800, None]
    assert even.wait_s(1, 60.0) == 60
    assert even.wait_s(3, 1.0) == 80
    assert even.wait_s(1, 1e9) == 86_400
    assert even.wait_s(9, 1.0) is None
    assert {Backoff(chance=lambda low, high: low).wait_s(1), Backoff(chance=lambda low, high: high).wait_s(1)} == {4, 6}


def test_hosts_are_of_all_projects_or_of_one() -> None:
    targets = Targets("*.shared.example, own=hooks.own.example:8443 own=10.1.2.3,other=hooks.example", http=False)
    target = targets.read("own", "HTTPS://Hooks.Own.example:8443?x=1")
    assert (target.scheme, str(target.authority), target.path) == ("https", "hooks.own.example:8443", "/?x=1")
    assert (target.listed, target.host_header) == (True, "hooks.own.example:8443")
    wild = targets.read("own", "https://a.shared.example/")
    assert (wild.listed, wild.host_header) == (False, "a.shared.example")
    assert targets.read("own", "https://10.1.2.3/").listed
    assert targets.read("anybody", "https://a.b.shared.example/").path == "/"
    for project, url in (
        ("other", "https://hooks.own.example:8443/"),
        ("own", "https://hooks.own.example/"),
        ("own", "https://hooks.example/"),
        ("anybody", "https://10.1.2.3/"),
        ("anybody", "https://shared.example/"),
    ):
        with pytest.raises(ValueError, match="not among the hosts"):
            targets.read(project, url)
    with pytest.raises(ValueError, match="lists no hosts"):
        Targets("own=a.example", http=True).read("other", "https://a.example/")
    with pytest.raises(ValueError, match="must be https"):
        targets.read("own", "http://a.shared.example/")
    for wrong in ("=a.example", "https://a.example", "a..example", "own=a.example/x"):
        with pytest.raises(ValueError, match=rf"^'{re.escape(wrong)}' must "):
            Targets(wrong, http=False)
