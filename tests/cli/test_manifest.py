"""polycall.toml: what is written is what is asked of the server, and what is misspelt is an error."""

from __future__ import annotations

import pytest

from polycall.cli.deploy import apply_flags
from polycall.cli.deployment import version_request
from polycall.cli.failures import Failure
from polycall.cli.manifest import Manifest, parse_manifest
from polycall.cli.source import Source
from polycall.v1 import execution_pb2, package_pb2

DOMO = b"""
package = "756f0b19-5125-44f6-b541-058980ff6a94"
version = "1.0.1"
release = true
fresh = true

[warm]
min = 1
max = 4
idle = "10m"

[limits]
timeout = "1.5s"
cpu_time = 0.75
memory_mib = 512

[env]
GREETING = "Hello"

[functions.add]
convention = "parameters"
display_name = "Add"
private = true
parameters = [
  { name = "a", type = "number" },
  { name = "b", type = "number", list = true, nullable = true, default = [1, 2.0, 9007199254740993] },
]
output = { type = "object", children = [{ name = "sum", type = "number" }] }

[functions.raw]
entrypoint = "other:run"
input_schema = { type = "object" }
"""


def refusal(text: bytes) -> str:
    with pytest.raises(Failure) as caught:
        parse_manifest(text, "polycall.toml")
    return caught.value.message


def test_everything_a_manifest_says_is_asked_of_the_server() -> None:
    request = version_request(Source(files={"main.py": b"x = 1"}), parse_manifest(DOMO, "polycall.toml"))
    number = package_pb2.DeclaredType(type="number")
    warm = package_pb2.WarmPolicy(min=1, max=4)
    warm.idle.FromSeconds(600)
    limits = execution_pb2.Limits(memory_mib=512)
    limits.timeout.FromMilliseconds(1500)
    limits.cpu_time.FromMilliseconds(750)
    assert request.parent == "packages/756f0b19-5125-44f6-b541-058980ff6a94"
    assert (request.version_id, request.release, request.create_package) == ("1.0.1", True, True)
    assert [(file.path, file.contents) for file in request.files.files] == [("main.py", b"x = 1")]
    assert request.version == package_pb2.Version(
        language=execution_pb2.LANGUAGE_PYTHON,
        fresh_process=True,
        limits=limits,
        warm=warm,
        env={"GREETING": "Hello"},
        functions=[
            package_pb2.Function(
                name="add",
                convention=execution_pb2.CONVENTION_PARAMETERS,
                display_name="Add",
                private=True,
                parameters=[
                    package_pb2.Parameter(name="a", declared_type=number),
                    package_pb2.Parameter(
                        name="b",
                        declared_type=package_pb2.DeclaredType(type="number", is_list=True, nullable=True),
                        default_json="[1, 2.0, 9007199254740993]",
                    ),
                ],
                output=package_pb2.DeclaredType(
                    type="object", children=[package_pb2.Parameter(name="sum", declared_type=number)]
                ),
            ),
            package_pb2.Function(name="raw", entrypoint="other:run", input_schema_json='{"type": "object"}'),
        ],
    )


def test_an_empty_manifest_leaves_everything_to_the_server() -> None:
    request = version_request(Source(files={"a.py": b""}), parse_manifest(b'package = "a"', "polycall.toml"))
    assert request.version == package_pb2.Version(language=execution_pb2.LANGUAGE_PYTHON, limits=execution_pb2.Limits())
    assert (request.version_id, request.release) == ("", False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'pakage = "a"', "polycall.toml: The table contains unknown key `pakage`."),
        (
            b'[functions.f]\nconvention = "magic"',
            "polycall.toml: Invalid enum value 'magic' - at `functions[...].convention`.",
        ),
        (b'[limits]\ncpu_time = "soon"', "polycall.toml: 'soon' is not a duration; write 2s, 500ms, 5m, 1h or 7d."),
        (b'[limits]\ntimeout = "soon"', "polycall.toml: 'soon' is not a duration; write 2s, 500ms, 5m, 1h or 7d."),
        (b'[warm]\nidle = "long"', "polycall.toml: 'long' is not a duration; write 2s, 500ms, 5m, 1h or 7d."),
        (b"[limits]\nmemory_mib = 1.5", "polycall.toml: Expected `int | null`, got `float` - at `limits.memory_mib`."),
        (b'[functions."a/b"]', "polycall.toml: 'a/b' cannot be the name of a function."),
        (
            b'[functions.f]\nparameters = [{ name = "when", default = 2026-01-01 }]',
            "polycall.toml: the default of parameter when is nothing JSON can hold.",
        ),
        (
            b'[functions.f]\nparameters = [{ name = "x", default = nan }]',
            "polycall.toml: the default of parameter x is nothing JSON can hold.",
        ),
        (
            b"[functions.f]\nparameters = [{ type = 'text' }]",
            "polycall.toml: The table missing required key `name` - at `functions[...].parameters[0]`.",
        ),
    ],
)
def test_a_manifest_that_is_wrong_says_where(text: bytes, message: str) -> None:
    assert refusal(text) == message


def test_a_manifest_that_is_not_toml_says_so() -> None:
    assert refusal(b"package: a").startswith("polycall.toml is not valid TOML: ")
    assert refusal(b'package = "\xff"').startswith("polycall.toml is not valid TOML: ")


NO_FLAGS = {
    "package": None,
    "version": None,
    "release": None,
    "functions": (),
    "convention": None,
    "entrypoint": None,
    "language": None,
    "runtime": None,
    "env": (),
    "secret_env": (),
    "timeout": None,
    "memory": None,
    "fresh": False,
    "display_name": None,
}


def test_no_flags_change_nothing_but_an_absent_name() -> None:
    manifest = parse_manifest(DOMO, "polycall.toml")
    assert apply_flags(Source(name="directory", manifest=manifest), **NO_FLAGS) == manifest  # type: ignore[arg-type]
    assert apply_flags(Source(name="directory"), **NO_FLAGS) == Manifest(package="directory")  # type: ignore[arg-type]


def test_flags_win_over_the_manifest() -> None:
    flags = NO_FLAGS | {
        "package": "p",
        "version": "2",
        "release": False,
        "functions": ("execute:input",),
        "env": (("GREETING", "Hi"), ("OTHER", "1")),
        "timeout": 2.5,
        "fresh": True,
    }
    changed = apply_flags(Source(manifest=parse_manifest(DOMO, "polycall.toml")), **flags)  # type: ignore[arg-type]
    assert (changed.package, changed.version, changed.release) == ("p", "2", False)
    assert list(changed.functions) == ["execute"]
    assert changed.env == {"GREETING": "Hi", "OTHER": "1"}
    assert (changed.limits.timeout, changed.limits.memory_mib) == (2.5, 512)


@pytest.mark.parametrize(
    ("flags", "name", "entrypoint", "convention"),
    [
        ({"functions": ("f",)}, "f", "", None),
        ({"functions": ("f:handle",)}, "f", "", "handle"),
        ({"functions": ("f",), "convention": "input"}, "f", "", "input"),
        ({"convention": "input"}, "execute", "", "input"),
        ({"convention": "handle"}, "handle", "", "handle"),
        ({"entrypoint": "main:go"}, "go", "main:go", None),
        ({"entrypoint": "main:go", "functions": ("f",)}, "f", "main:go", None),
        ({"convention": "script"}, "main", "job.py", "script"),
        ({"functions": ("f:script",)}, "f", "job.py", "script"),
        ({"convention": "script", "entrypoint": "lib/run.py"}, "run", "lib/run.py", "script"),
    ],
)
def test_flags_declare_a_function(flags: dict[str, object], name: str, entrypoint: str, convention: str | None) -> None:
    functions = apply_flags(Source(files={"job.py": b""}), **(NO_FLAGS | flags)).functions  # type: ignore[arg-type]
    assert {n: (f.entrypoint, f.convention) for n, f in functions.items()} == {name: (entrypoint, convention)}


def test_credentials_come_from_the_environment_of_the_deploying_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "token-text")
    text = b"""
package = "a"
[[egress]]
host = "*.example.com"
[[egress]]
host = "api.example.com"
basic = { user_id = "me", password = "$TOKEN" }
bearer = "$TOKEN"
header = { name = "X-Key", value = "$TOKEN" }
query = { key = "k", value = "plain" }
[[egress]]
host = "b.example.com"
basic = { user_id = "me", secret = "s/1" }
bearer = { secret = "s" }
header = { name = "X-Key", secret = "secrets/s" }
[secret_env]
TOKEN = "s"
"""
    request = version_request(Source(files={"a.py": b""}), parse_manifest(text, "polycall.toml"))
    kinds = execution_pb2.Credential
    assert request.version.egress == execution_pb2.EgressPolicy(
        rules=[
            execution_pb2.EgressRule(host="*.example.com"),
            execution_pb2.EgressRule(
                host="api.example.com",
                credentials=[
                    kinds(basic=kinds.Basic(user_id="me", password="token-text")),
                    kinds(bearer=kinds.Bearer(token="token-text")),
                    kinds(header=kinds.Header(name="X-Key", value="token-text")),
                    kinds(query=kinds.Query(key="k", value="plain")),
                ],
            ),
            execution_pb2.EgressRule(
                host="b.example.com",
                credentials=[
                    kinds(basic=kinds.Basic(user_id="me", secret="secrets/s%2F1")),
                    kinds(bearer=kinds.Bearer(secret="secrets/s")),
                    kinds(header=kinds.Header(name="X-Key", secret="secrets/s")),
                ],
            ),
        ]
    )
    assert request.version.secret_env == {"TOKEN": "secrets/s"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('bearer = "$NOT_SET_ANYWHERE"', "egress of h: the environment variable NOT_SET_ANYWHERE is not set"),
        ('header = { name = "x", token = "y" }', "egress of h: token is not a key; it has name and value, or secret"),
    ],
)
def test_what_is_wrong_with_a_credential_is_told(line: str, words: str) -> None:
    manifest = parse_manifest(f'package = "a"\n[[egress]]\nhost = "h"\n{line}'.encode(), "polycall.toml")
    with pytest.raises(Failure, match=words):
        version_request(Source(files={"a.py": b""}), manifest)
