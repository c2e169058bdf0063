"""Code with packages, through Riza's contract: runtime_revision_id."""

from __future__ import annotations

import pytest
from rizaio import Riza as Client

from polycall.v1 import runtime_service_pb2 as pb
from polycall.v1.runtime_pb2 import RuntimeRevision
from tests.contracts.riza.driver import Riza
from tests.harness import Server

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
