"""The image: what its Dockerfile says is linted, and what its steps do is done here, outside of the source tree.

There is no container engine where the tests run. What the build stage installs is installed into an environment of its
own, from the files that the build is given, and a server is run from there.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from polycall.v1 import execution_pb2, execution_service_pb2
from tests.deploy.conftest import REQUIREMENTS, ROOT, given
from tests.harness import Server, free_port

DOCKERFILE = ROOT / "deploy" / "Dockerfile"
BIN = Path(sys.executable).parent


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line.strip())]


def last_stage() -> list[tuple[str, str]]:
    steps = instructions()
    return steps[max(index for index, (word, _) in enumerate(steps) if word == "FROM") :]


def test_hadolint_finds_nothing() -> None:
    done = subprocess.run([BIN / "hadolint", DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("", 0)


def test_the_build_is_given_its_sources_and_no_tests_keys_or_history() -> None:
    places = {path.partition("/")[0] for path in given()}
    assert places == {"pyproject.toml", "README.md", "server", "gateway", "deploy"}
    assert [path for path in given() if path.startswith("deploy/")] == ["deploy/requirements.txt"]


def test_the_image_runs_as_a_numbered_user_stops_by_sigterm_and_tells_its_health() -> None:
    stage = last_stage()
    said = dict(stage)
    assert said["USER"] == "10001:10001"
    assert said["STOPSIGNAL"] == "SIGTERM"
    assert said["HEALTHCHECK"].endswith('CMD ["polycall", "health"]')
    assert said["ENTRYPOINT"] == '["polycall"]'
    # the last thing before it that root does is to copy
    assert [word for word, _ in stage].index("USER") > [word for word, _ in stage].index("COPY")


def test_the_base_is_pinned_and_the_last_stage_installs_nothing() -> None:
    arguments = {
        name: value for word, rest in instructions() if word == "ARG" for name, _, value in [rest.partition("=")]
    }
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+", arguments["BASE"])
    assert [rest for word, rest in instructions() if word == "FROM"] == ["${BASE} AS build", "${BASE}"]
    runs = " ".join(rest for word, rest in last_stage() if word == "RUN")
    assert not re.search(r"pip[0-9.]* install|apt|gcc|curl|wget|venv", runs)
    assert [rest for word, rest in last_stage() if word == "COPY"] == ["--from=build /opt/polycall /opt/polycall"]


def test_the_versions_of_image_and_project_are_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    arguments = dict(rest.split("=", 1) for word, rest in instructions() if word == "ARG")
    assert arguments["VERSION"] == project["version"]


def test_every_dependency_is_pinned_by_hash_within_its_range() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [Requirement(text) for text in (*project["dependencies"], *extras["cluster"], *extras["objects"])]
    text = REQUIREMENTS.read_text()
    pinned = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))
    wrong = [str(each) for each in wanted if not each.specifier.contains(pinned.get(each.name.lower(), "0"))]
    assert wrong == [], f"pin them: {text.splitlines()[1].strip('# ')}"
    blocks = re.split(r"^(?=[a-z0-9-]+==)", text, flags=re.MULTILINE)[1:]
    assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_what_is_installed_has_every_file_of_the_sources(installed: Path) -> None:
    (packages,) = installed.glob("lib/python3*/site-packages")
    there = {path.partition("/")[2] for path in given() if path.startswith(("server/", "gateway/"))}
    there -= {"envoy.yaml"}  # for readers; the real one is rendered
    assert sorted(path for path in there if not (packages / path).is_file()) == []


@pytest.mark.parametrize("language", ["python", "typescript"])
def test_a_server_that_is_installed_as_in_the_image_runs_code(serving: Server, language: str) -> None:
    code = {
        "python": "def execute(input): return input + 1",
        "typescript": "export function execute(input: number): number { return input + 1 }",
    }[language]
    request = execution_service_pb2.ExecuteRequest(language=f"LANGUAGE_{language.upper()}", code=code, input_json="41")
    answer = serving.executions.Execute(request, metadata=serving.metadata)
    assert (answer.state, answer.output_json) == (execution_pb2.Execution.STATE_COMPLETED, "42")


def test_the_health_check_of_the_image_asks_the_server_and_the_gateway(serving: Server) -> None:
    def health(*options: str, **environment: str) -> tuple[int, str, str]:
        variables = {"POLYCALL_GRPC_ADDRESS": serving.grpc, "POLYCALL_REST_ADDRESS": f"0.0.0.0:{serving.rest_port}"}
        done = subprocess.run(
            [serving.program, "health", *options],
            env=variables | environment,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
        )
        return done.returncode, done.stdout, done.stderr

    assert health() == (0, f"{serving.grpc} serves.\n", "")
    assert health("--gateway") == (0, f"127.0.0.1:{serving.rest_port} serves.\n", "")
    nobody = f"127.0.0.1:{free_port()}"
    code, out, err = health("--server", nobody)
    assert (code, out) == (3, "")
    assert err.startswith(f"polycall: {nobody} does not serve: UNAVAILABLE, ")
    code, out, err = health("--gateway", "--server", nobody)
    assert (code, out) == (3, "")
    assert err == f"polycall: {nobody} does not serve: [Errno 111] Connection refused.\n"
