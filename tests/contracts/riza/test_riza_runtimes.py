"""Runtimes: built from a manifest, listed, deleted; and code that runs on them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import rizaio
from rizaio import AsyncRiza
from rizaio import Riza as Client
from rizaio.types import Runtime

from polycall.ids import from_ulid, new_id, to_ulid
from polycall.v1 import runtime_service_pb2 as pb
from polycall.v1 import tenancy_service_pb2
from polycall.v1.runtime_pb2 import RuntimeRevision
from tests.contracts.riza.driver import ECHO, Riza
from tests.harness import Server, until

BUILD_S = 120.0  # a bound for a loaded machine and a slow registry, not a promise
CODE = "import six\ndef execute(input): return six.__version__"


def built(server: Server, manifest: str) -> RuntimeRevision:
    """Build a revision and return it."""
    request = pb.CreateRuntimeRequest(revision=RuntimeRevision(manifest=manifest))
    made = server.runtimes.CreateRuntime(request, metadata=server.metadata, timeout=30)
    wait = pb.WaitRuntimeRevisionRequest(name=made.newest_revision.name)
    done: RuntimeRevision = server.runtimes.WaitRuntimeRevision(wait, metadata=server.metadata, timeout=70)
    return done


@pytest.fixture(scope="module")
def six(polycall: Server) -> str:
    """The id of a revision that has six."""
    revision = built(polycall, "six==1.17.0")
    assert revision.state == RuntimeRevision.STATE_READY, revision
    return revision.name.rpartition("/")[2]


def test_code_runs_on_the_revision_it_names(riza: Riza, six: str) -> None:
    assert riza.run(code=CODE, runtime_revision_id=six).output == "1.17.0"
    missing = riza.run(code=CODE)
    assert missing.ending == ("error", 1)
    assert "No module named 'six'" in missing.stderr


def test_a_script_runs_on_the_revision_it_names(riza: Riza, six: str) -> None:
    answer = riza.post_script("import six; print(six.__version__)", runtime_revision_id=six)
    assert (answer.status, answer.json()["stdout"]) == (200, "1.17.0\n")


def test_the_sdk_names_a_revision(polycall: Server, six: str) -> None:
    client = Client(api_key=polycall.key, base_url=polycall.rest)
    done = client.command.exec_func(code=CODE, language="python", runtime_revision_id=six)
    assert done.output == "1.17.0"


def test_a_revision_that_was_not_built_and_one_of_another_language_are_refused(
    riza: Riza, polycall: Server, six: str
) -> None:
    failed = built(polycall, "six<0").name.rpartition("/")[2]
    status, code, message = riza.refused(riza.post(runtime_revision_id=failed))
    assert (status, code) == (400, 9)
    assert "is FAILED: uv ended with status 1" in message
    other = {"code": "const execute = input => input", "language": "javascript", "runtime_revision_id": six}
    status, code, message = riza.refused(riza.post(**other))
    assert (status, code) == (400, 9)
    assert message.endswith("is a runtime of python; the code is javascript.")


def succeeded(client: Client, runtime: Runtime) -> Runtime:
    """Ask for a runtime until it is built, as the vendor's documentation has it."""
    ended = until(
        lambda: (now := client.runtimes.get(runtime.id)).status in ("succeeded", "failed") and now,
        seconds=BUILD_S,
        what="the build",
    )
    assert ended.status == "succeeded"
    return Runtime.model_validate(ended.to_dict())


def test_a_runtime_with_two_packages_is_built_and_used_from_python(strict: Client, alone: Riza) -> None:
    manifest = "six==1.17.0\nidna  # any\n"
    made = strict.runtimes.create(
        name="two",
        language="python",
        manifest_file={"name": "requirements.txt", "contents": manifest},
        additional_python_imports="import six.moves",
        engine="wasi",
    )
    assert made.status in ("pending", "building")
    assert (made.name, made.language, made.engine) == ("two", "python", "wasi")
    assert made.manifest_file is not None
    assert made.manifest_file.to_dict() == {"name": "requirements.txt", "contents": manifest}
    assert made.additional_python_imports == "import six.moves"
    assert from_ulid(made.id) is not None
    assert from_ulid(made.revision_id) is not None
    done = succeeded(strict, made)
    assert done.revision_id == made.revision_id
    code = "import six, idna, sys\ndef execute(input): return [six.__version__, idna.encode('ä.de').decode()]"
    ran = strict.command.exec_func(code=code, language="python", runtime_revision_id=done.revision_id)
    assert ran.output == ["1.17.0", "xn--4ca.de"]

    revision = strict.runtimes.revisions.get(done.revision_id, runtime_id=made.id)
    assert revision.to_dict() == {
        "id": done.revision_id,
        "manifest_file": {"name": "requirements.txt", "contents": manifest},
        "runtime_id": made.id,
        "status": "succeeded",
        "additional_python_imports": "import six.moves",
    }
    newer = strict.runtimes.revisions.create(made.id, manifest_file={"name": "requirements.txt", "contents": "six<0"})
    assert (newer.runtime_id, newer.status) == (made.id, "pending")
    assert [each.id for each in strict.runtimes.revisions.list(made.id).revisions] == [newer.id, revision.id]
    shown = until(lambda: (now := strict.runtimes.get(made.id)).status == "failed" and now, seconds=BUILD_S)
    assert (shown.revision_id, shown.engine) == (newer.id, "wasi")
    assert "additional_python_imports" not in alone.get(f"/v1/runtimes/{made.id}")
    with pytest.raises(rizaio.BadRequestError) as failed:
        strict.command.exec_func(code=code, language="python", runtime_revision_id=newer.id)
    assert failed.value.body["code"] == 9  # type: ignore[index]

    gone = strict.runtimes.delete(made.id)
    assert gone.to_dict() == {"id": made.id, "deleted": True}
    for ask in (
        lambda: strict.runtimes.get(made.id),
        lambda: strict.runtimes.delete(made.id),
        lambda: strict.runtimes.revisions.list(made.id),
        lambda: strict.runtimes.revisions.get(revision.id, runtime_id=made.id),
        lambda: strict.command.exec_func(code=code, language="python", runtime_revision_id=revision.id),
    ):
        with pytest.raises(rizaio.NotFoundError):
            ask()


def test_a_runtime_is_built_and_used_from_javascript_and_typescript(strict: Client) -> None:
    made = strict.runtimes.create(
        name="js",
        language="javascript",
        manifest_file={"name": "package.json", "contents": '{"dependencies": {"is-odd": "3.0.1", "nanoid": "5.0.9"}}'},
    )
    assert (made.engine, made.language) == ("microvm", "javascript")
    done = succeeded(strict, made)
    code = (
        "import isOdd from 'is-odd'; import {nanoid} from 'nanoid';\nconst execute = n => [isOdd(n), nanoid().length];"
    )
    for language in ("javascript", "typescript"):
        ran = strict.command.exec_func(code=code, language=language, input=3, runtime_revision_id=done.revision_id)
        assert ran.output == [True, 21], ran
    with pytest.raises(rizaio.BadRequestError) as other:
        strict.command.exec_func(code=ECHO, language="python", runtime_revision_id=done.revision_id)
    assert other.value.body["code"] == 9  # type: ignore[index]


def test_what_waits_to_be_built_cannot_be_run_on(alone: Riza) -> None:
    made = []
    for version in ("3.8", "3.9", "3.10"):  # one is built at a time
        file = {"name": "requirements.txt", "contents": f"idna=={version}"}
        body = {"name": "w", "language": "python", "manifest_file": file}
        made.append(alone.ask("POST", "/v1/runtimes", body).json())
    status, code, message = alone.refused(alone.post(runtime_revision_id=made[-1]["revision_id"]))
    assert (status, code) == (400, 9)
    assert "is PENDING; wait until it is READY" in message
    for each in made:
        assert alone.ask("DELETE", f"/v1/runtimes/{each['id']}").json() == {"id": each["id"], "deleted": True}


def test_runtimes_are_listed_to_the_end_while_others_are_added(newcomer: Callable[[], Riza]) -> None:
    mine = newcomer()
    body = {"name": "r", "language": "python", "manifest_file": {"name": "requirements.txt", "contents": ""}}

    def make() -> str:
        return str(mine.ask("POST", "/v1/runtimes", body).json()["id"])

    with Client(api_key=mine.key, base_url=mine.server.rest, _strict_response_validation=True) as client:
        made = [make() for _ in range(3)]
        seen = []
        for each in client.runtimes.list(limit=1):
            seen.append(each.id)
            if len(seen) < 3:
                make()
        assert seen == list(reversed(made))
        client.runtimes.delete(made[1])
        after = mine.get(f"/v1/runtimes?starting_after={made[1]}")
        assert [each["id"] for each in after["runtimes"]] == [made[0]]
        assert mine.get("/v1/runtimes?starting_after=x") == {"runtimes": []}

    async def walk() -> list[str]:
        async with AsyncRiza(api_key=mine.key, base_url=mine.server.rest) as client:
            return [each.id async for each in client.runtimes.list(limit=2)]

    assert len(asyncio.run(walk())) == 4


def test_what_the_native_contract_made_is_there_too(newcomer: Callable[[], Riza]) -> None:
    mine = newcomer()
    metadata = [("authorization", f"Bearer {mine.key}")]
    made = mine.server.runtimes.CreateRuntime(
        pb.CreateRuntimeRequest(runtime_id="by-hand", revision=RuntimeRevision(manifest="")), metadata=metadata
    )
    bare = pb.CreateRuntimeRequest(runtime_id="without-a-revision")
    mine.server.runtimes.CreateRuntime(bare, metadata=metadata)
    (shown,) = mine.get("/v1/runtimes")["runtimes"]
    revision = made.newest_revision.name.rpartition("/")[2]
    assert (shown["id"], shown["name"], shown["engine"], shown["revision_id"]) == (
        "by-hand",
        "by-hand",
        "microvm",
        revision,
    )
    assert mine.refused(mine.ask("GET", "/v1/runtimes/without-a-revision"))[:2] == (404, 5)
    riza_made = mine.ask(
        "POST",
        "/v1/runtimes",
        {"name": "n", "language": "python", "manifest_file": {"name": "requirements.txt", "contents": ""}},
    ).json()
    native = mine.server.runtimes.GetRuntime(
        pb.GetRuntimeRequest(name=f"runtimes/{riza_made['id']}"), metadata=metadata
    )
    assert native.display_name == "n"


FILE = {"name": "requirements.txt", "contents": "six"}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"name": None}, "name: is required"),
        ({"name": ""}, "name: must not be empty"),
        ({"name": "x" * 4097}, "name: must have at most 4096 characters"),
        ({"language": None}, "language: is required"),
        ({"language": "typescript"}, "language: must be one of python, javascript"),
        ({"engine": "qemu"}, "engine: must be one of wasi, microvm, v8"),
        ({"manifest_file": None}, "manifest_file: is required"),
        ({"manifest_file": {}}, "manifest_file.name: is required; manifest_file.contents: is required"),
        (
            {"manifest_file": {"name": "Pipfile", "contents": ""}},
            "manifest_file.name: must be one of requirements.txt, package.json",
        ),
        (
            {"manifest_file": {"name": "package.json", "contents": "{}"}},
            "manifest_file.name: must be requirements.txt for python",
        ),
        (
            {"manifest_file": FILE | {"contents": "six\n--index-url http://evil"}},
            "manifest_file.contents: line 2: options are not allowed, the registry is the operator's: "
            "'--index-url http://evil'",
        ),
        (
            {"additional_python_imports": "import 1"},
            "additional_python_imports: must be modules or import statements, got 'import 1'",
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_cannot_be_built_is_refused(alone: Riza, members: dict[str, Any], message: str) -> None:
    body = {"name": "n", "language": "python", "manifest_file": FILE} | members
    assert alone.refused(alone.ask("POST", "/v1/runtimes", body)) == (400, 3, message)


def test_revisions_are_refused_in_the_same_words(alone: Riza, newcomer: Callable[[], Riza]) -> None:
    body = {"name": "n", "language": "javascript", "manifest_file": {"name": "package.json", "contents": "{}"}}
    path = f"/v1/runtimes/{alone.ask('POST', '/v1/runtimes', body).json()['id']}/revisions"
    for members, message in (
        ({}, "manifest_file: is required"),
        ({"manifest_file": FILE}, "manifest_file.name: must be package.json for javascript"),
    ):
        assert alone.refused(alone.ask("POST", path, members)) == (400, 3, message)
    made = alone.ask("POST", path, {"manifest_file": body["manifest_file"]}).json()
    for unknown in ("x", to_ulid(new_id()), "-"):
        assert alone.refused(alone.ask("GET", f"{path}/{unknown}"))[:2] == (404, 5)
        for method, of in (("GET", ""), ("DELETE", ""), ("GET", "/revisions"), ("POST", "/revisions")):
            sent = {"manifest_file": FILE} if method == "POST" else None
            answer = alone.ask(method, f"/v1/runtimes/{unknown}{of}", sent)
            assert alone.refused(answer)[:2] == (404, 5), (method, unknown, of)
    stranger = newcomer()
    for foreign in (path, path.removesuffix("/revisions"), f"{path}/{made['id']}"):
        assert stranger.refused(stranger.ask("GET", foreign))[:2] == (404, 5)
    assert stranger.refused(stranger.post(runtime_revision_id=made["id"]))[:2] == (404, 5)
    assert stranger.get("/v1/runtimes") == {"runtimes": []}


def test_runtimes_need_a_key_with_the_scope(alone: Riza) -> None:
    run_only = alone.server.new_key(scopes=[tenancy_service_pb2.ApiKey.SCOPE_RUN])
    for method, path in (
        ("POST", "/v1/runtimes"),
        ("GET", "/v1/runtimes"),
        ("GET", "/v1/runtimes/x"),
        ("DELETE", "/v1/runtimes/x"),
        ("POST", "/v1/runtimes/x/revisions"),
        ("GET", "/v1/runtimes/x/revisions"),
        ("GET", "/v1/runtimes/x/revisions/y"),
    ):
        assert alone.refused(alone.ask(method, path, b"{" if method == "POST" else None, key=run_only))[:2] == (403, 7)
        assert alone.refused(alone.ask(method, path, b"{" if method == "POST" else None, key="no")) == (
            401,
            16,
            "unauthenticated",
        )
        assert alone.refused(alone.ask("PATCH", path))[:2] == (405, 12)
