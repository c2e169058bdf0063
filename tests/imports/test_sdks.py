"""The vendors' own SDKs find and call what was imported, by the ids that they had before."""

from __future__ import annotations

from pathlib import Path

from cognite.client import ClientConfig, CogniteClient, global_config
from cognite.client.credentials import Token
from rizaio import Riza

from tests.imports.conftest import EXPORTS, Place
from tests.imports.test_cognite import FUNCTIONS, GREETER, export


def test_rizaio_runs_an_imported_tool(place: Place) -> None:
    place.outcomes("riza", "--from", str(EXPORTS / "riza"), "--only", "01JKY2FCN25GW3EC8JMFN3KWXA")
    riza = Riza(api_key=place.key, base_url=place.server.rest)
    (tool,) = list(riza.tools.list())
    assert (tool.id, tool.revision_id, tool.name) == (
        "01JKY2FCN25GW3EC8JMFN3KWXA",
        "01JKY2FCN25GW3EC8JMFN3KWXB",
        "next",
    )
    done = riza.tools.exec(tool.id, input={"n": 41}, revision_id=tool.revision_id)
    assert (done.output, done.execution.exit_code) == ({"n": 42}, 0)


def test_cognite_sdk_calls_an_imported_function(place: Place, tmp_path: Path) -> None:
    assert place.imports("cognite", "--from", str(export(tmp_path / "export", FUNCTIONS[1:]))).code == 0
    global_config.disable_pypi_version_check = True  # it would ask the network for news of itself
    client = CogniteClient(
        ClientConfig(
            base_url=place.server.rest, project=place.project, client_name="import", credentials=Token(place.key)
        )
    )
    (function,) = client.functions.list()
    assert (function.id, function.external_id, function.status) == (GREETER, "say/hello", "Ready")
    call = client.functions.call(external_id="say/hello", data={"name": "Ada"})
    response: object = call.get_response()
    assert response == ["Hello, Ada", None]
    found = client.functions.retrieve(id=GREETER)
    assert found is not None
    assert found.name == "greeter"
