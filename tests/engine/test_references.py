"""What refers to secrets: variables, credentials, and the secrets that a version has of its own."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from polycall.domain import (
    Convention,
    Credential,
    CredentialKind,
    EgressPolicy,
    EgressRule,
    ExecutionState,
    Function,
    Language,
    Reason,
    Scope,
)
from polycall.engine.secrets import LONGEST_VALUE
from polycall.errors import FailedPrecondition, InvalidArgument, PermissionDenied
from tests.engine.house import DEFAULT, OTHER, House, ad_hoc, function, other_project, refusal, until

SOURCE = b"""
import os
AT_IMPORT = os.environ["TOKEN"]
def f(): return [AT_IMPORT, os.environ["PLAIN"]]
"""
HANDLES = b"def handle(data, secrets): return [data, secrets]"
HANDLE = Function(name="handle", entrypoint="main:handle", convention=Convention.HANDLE)
F = function("f")
READS = "import os\ndef execute(input): return os.environ['TOKEN']"


def one_credential(kind: CredentialKind, **changes: Any) -> EgressPolicy:
    credential = Credential(kind=kind, **changes)
    return EgressPolicy(rules=(EgressRule(host="api.example.com", credentials=(credential,)),))


async def test_a_version_gets_the_value_that_a_secret_has_when_a_run_begins(home: House) -> None:
    secrets = home.engine.secrets
    version = await home.deploy(source=SOURCE, env={"PLAIN": "plain"}, secret_env={"TOKEN": "s"})
    assert (version.env, version.secret_env) == ({"PLAIN": "plain"}, {"TOKEN": "s"})
    missing = await refusal(home.engine.run(DEFAULT, F), FailedPrecondition)
    assert (missing.reason, missing.subject) == (Reason.SECRET_UNUSABLE, "secrets/s")
    assert missing.message == "secrets/s is referred to and does not exist in this project; create it."
    for value in ("first", "second"):
        if value == "first":
            await secrets.create(DEFAULT, "token", value, id="s")
        else:
            await secrets.update(DEFAULT, "s", value=value)
        for _ in range(2):  # the second in a warm worker
            assert (await home.engine.run(DEFAULT, F)).result == json.dumps([value, "plain"]).encode()
    await secrets.delete(DEFAULT, "s")
    assert (await refusal(home.engine.run(DEFAULT, F), FailedPrecondition)).reason is Reason.SECRET_UNUSABLE
    assert [run.error for run in await home.records()] == [None] * 4


async def test_a_call_finds_the_value_when_it_runs_and_keeps_none(home: House) -> None:
    await home.deploy(source=SOURCE, env={"PLAIN": "plain"}, secret_env={"TOKEN": "s"})
    await home.engine.secrets.create(DEFAULT, "token", "before", id="s")
    queued = await home.engine.call(DEFAULT, F)
    await home.engine.secrets.update(DEFAULT, "s", value="after")
    home.work()
    await until(home.all_ended)
    record = await home.record()
    assert (record.id, record.result) == (queued.id, b'["after", "plain"]')
    assert b"before" not in (record.spec or b"")
    assert b"after" not in (record.spec or b"")


async def test_a_call_whose_secret_is_gone_when_it_starts_says_so(home: House) -> None:
    await home.deploy(source=SOURCE, env={"PLAIN": "plain"}, secret_env={"TOKEN": "s"})
    await home.engine.secrets.create(DEFAULT, "token", "value", id="s")
    await home.engine.call(DEFAULT, F)
    await home.engine.secrets.delete(DEFAULT, "s")
    home.work()
    await until(home.all_ended)
    record = await home.record()
    assert record.error is not None
    assert (record.state, record.error.reason) == (ExecutionState.FAILED, Reason.SECRET_UNUSABLE)
    assert record.error.message == "secrets/s is referred to and does not exist in this project; create it."


async def test_ready_workers_have_the_new_value(home: House) -> None:
    await home.engine.secrets.create(DEFAULT, "token", "old", id="s")
    version = await home.deploy(source=SOURCE, env={"PLAIN": "plain"}, secret_env={"TOKEN": "s"})
    await home.engine.secrets.update(DEFAULT, "s", value="new")
    job = await home.preparation.to_have_ready(version)
    assert job is not None
    assert job.env == {"PLAIN": "plain", "TOKEN": "new"}


async def test_javascript_has_the_values_too(home: House) -> None:
    if Language.JAVASCRIPT not in home.engine.runner.languages:
        pytest.skip("no Deno here")
    await home.engine.secrets.create(DEFAULT, "token", "value", id="s")
    source = "const token = process.env.TOKEN\nfunction f() { return [token, process.env.TOKEN] }\n"
    await home.deploy("js", files={"main.js": source.encode()}, language=Language.JAVASCRIPT, secret_env={"TOKEN": "s"})
    assert (await home.engine.run(DEFAULT, function("f", "js"))).result == b'["value","value"]'


async def test_code_that_comes_with_its_request_takes_the_scope_deploy_to_name_a_secret(home: House) -> None:
    await other_project(home.store)
    await home.engine.secrets.create(DEFAULT, "token", "value", id="s")
    run = ad_hoc(READS, secret_env={"TOKEN": "s"})
    assert (await home.engine.execute(DEFAULT, run)).result == b'"value"'
    runner = replace(DEFAULT, scopes=frozenset({Scope.RUN, Scope.READ}))
    sends = ad_hoc(READS, egress=one_credential(CredentialKind.BEARER, secret_id="s"))
    for refused in (run, sends):
        assert (await refusal(home.engine.execute(runner, refused), PermissionDenied)).metadata == {"scope": "deploy"}
    stranger = await refusal(home.engine.execute(OTHER, run), FailedPrecondition)
    assert (stranger.reason, stranger.subject) == (Reason.SECRET_UNUSABLE, "secrets/s")


async def test_credentials_get_the_values_of_the_secrets_they_name(home: House) -> None:
    await home.engine.secrets.create(DEFAULT, "n", "vàlue", id="s")
    for kind, name in (
        (CredentialKind.BASIC, "user"),
        (CredentialKind.HEADER, "X-Key"),
        (CredentialKind.QUERY, "key"),
        (CredentialKind.BEARER, ""),
    ):
        policy = one_credential(kind, name=name, secret_id="s")
        version = await home.deploy(source=b"def f(): return 1", egress=policy)
        run = replace(F, version_id=version.id)
        if kind in (CredentialKind.BEARER, CredentialKind.HEADER):  # headers are ASCII
            wrong = await refusal(home.preparation.function("default", run), FailedPrecondition)
            assert (wrong.reason, wrong.subject) == (Reason.SECRET_UNUSABLE, "secrets/s")
            assert f"secrets/s cannot be a {kind} credential: it must" in wrong.message
            assert "vàlue" not in wrong.message
            await home.engine.secrets.update(DEFAULT, "s", value="plain")
        value = await home.engine.secrets.open("default", "s")
        job = (await home.preparation.function("default", run)).job
        assert job.egress == one_credential(kind, name=name, secret=value)
        await home.engine.secrets.update(DEFAULT, "s", value="vàlue")


async def test_a_versions_own_secrets_reach_handle_functions_and_nobody_else(home: House) -> None:
    values = {"token": "hunter2-é", "other/name": "x"}
    version = await home.deploy(source=HANDLES, functions=(HANDLE,), secrets=values)
    assert set(version.secrets) == set(values)
    assert "hunter2" not in repr(version) + "".join(version.secrets.values())
    execution = await home.engine.run(DEFAULT, function("handle", input=b'{"a": 1}'))
    assert json.loads(execution.result or b"") == [{"a": 1}, values]
    assert "hunter2" not in repr(replace(await home.record(), result=None))
    other = await home.deploy("other", HANDLES, functions=(HANDLE,))
    # moved to another package, or to another name, they do not open
    for moved in (
        replace(other, secrets=version.secrets),
        replace(version, secrets={"other/name": version.secrets["token"]}),
    ):
        wrong = await refusal(home.preparation._job(moved, HANDLE, F, home.engine.limits.resolve()), FailedPrecondition)
        assert wrong.reason is Reason.SECRET_UNUSABLE


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"secret_env": {"A": "s"}, "env": {"A": "1"}}, "version.secret_env['A']"),
        ({"secret_env": {"LD_PRELOAD": "s"}}, "version.secret_env['LD_PRELOAD']"),
        ({"secret_env": {"A": ".."}}, "version.secret_env['A']"),
        (
            {"secret_env": {f"A{n}": "s" for n in range(60)}, "env": {f"B{n}": "" for n in range(41)}},
            "version.secret_env",
        ),
        ({"secrets": {str(n): "v" for n in range(101)}}, "version.secrets"),
        ({"secrets": {"": "v"}}, "version.secrets"),
        ({"secrets": {"a": "v" * (LONGEST_VALUE + 1)}}, "version.secrets['a']"),
        ({"secrets": {"a": ""}}, "version.secrets['a']"),
        (
            {"egress": one_credential(CredentialKind.BEARER, secret="v", secret_id="s")},
            "version.egress.rules[0].credentials[0].bearer.token",
        ),
        (
            {"egress": one_credential(CredentialKind.BASIC, secret_id="-")},
            "version.egress.rules[0].credentials[0].basic.secret",
        ),
    ],
    ids=[str(n) for n in range(10)],
)
async def test_what_cannot_refer_is_refused_before_it_is_kept(home: House, changes: dict[str, Any], field: str) -> None:
    wrong = await refusal(home.deploy(source=b"def f(): return 1", **changes), InvalidArgument)
    assert [violation.field for violation in wrong.violations] == [field]
