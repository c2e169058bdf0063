"""What a manifest may say, and what it is told if it says more."""

from __future__ import annotations

import json

import pytest

from polycall.domain import Language, ManifestKind
from polycall.errors import InvalidArgument
from polycall.runtimes.manifest import MANIFEST_BYTES, digest_of, kind_for, parse_imports, parse_manifest

PIP, NPM = ManifestKind.REQUIREMENTS_TXT, ManifestKind.PACKAGE_JSON


def problems(kind: ManifestKind, text: str) -> list[str]:
    with pytest.raises(InvalidArgument) as raised:
        parse_manifest(kind, text, "m")
    assert {violation.field for violation in raised.value.violations} == {"m"}
    return [violation.description for violation in raised.value.violations]


def test_requirements_are_names_versions_markers_and_hashes() -> None:
    text = """# a comment
    numpy>=2,<3   # another
    requests[socks, use_chardet]==2.31.* ; python_version >= "3.8"
    typing_extensions (>=4.0)
    A.b-c_d ~= 1.0 \\
        --hash=sha256:00ff --hash=sha512:ab

    zope.interface!=5.0;extra=="x"
    """
    parsed = parse_manifest(PIP, text)
    assert parsed.names == ("numpy", "requests", "typing_extensions", "A.b-c_d", "zope.interface")
    assert parsed.text.splitlines()[3] == "A.b-c_d ~= 1.0          --hash=sha256:00ff --hash=sha512:ab"
    assert parse_manifest(PIP, "").names == ()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        *((f"--{option}", "options are not allowed") for option in ("index-url http://evil/", "pre", "hash=sha256:0")),
        ("-r other.txt", "options are not allowed"),
        ("-e .", "options are not allowed"),
        ("x @ https://evil/x.whl", "URLs are not allowed"),
        ("x @ file:///etc/passwd", "URLs are not allowed"),
        ("git+https://evil/x", "URLs are not allowed"),
        ("./x", "paths are not allowed"),
        ("/tmp/x.whl", "paths are not allowed"),
        ("x-1.0-py3-none-any.whl", "paths are not allowed"),
        ("numpy 2", "is not a requirement"),
        ("x; python_version @ y", "URLs are not allowed"),
        ("numpy==1 --index-url=x", "is not a requirement"),
        ("$(id)", "is not a requirement"),
    ],
)
def test_requirements_are_nothing_else(line: str, why: str) -> None:
    (problem,) = problems(PIP, f"six\n\n{line}\n")
    assert problem.startswith(f"line 3: {why}")


def test_every_wrong_line_is_named() -> None:
    assert [problem.partition(":")[0] for problem in problems(PIP, "-r x\nsix\n-e .\n")] == ["line 1", "line 3"]


def test_of_a_package_json_the_dependencies_count() -> None:
    manifest = {
        "name": "x",
        "scripts": {"postinstall": "evil"},
        "dependencies": {"left-pad": "^1.3.0", "@scope/name": "1.x || >=2.0.0 <3", "alias": "npm:lodash@4.17.21"},
        "optionalDependencies": {"fsevents": "*"},
        "devDependencies": {"jest": "file:../x"},
    }
    parsed = parse_manifest(NPM, json.dumps(manifest))
    assert parsed.names == ("left-pad", "@scope/name", "alias", "fsevents")
    assert set(json.loads(parsed.text)) == {"dependencies", "optionalDependencies"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[]", "must be a package.json"),
        ("{", "must be a package.json"),
        ('{"dependencies": {"x": 1}}', "must be a package.json"),
        ("[" * 100_000, "must be a package.json"),
        *(
            (json.dumps({"dependencies": {"x": wanted}}), "'x': ")
            for wanted in (
                "file:../x",
                "link:x",
                "git+ssh://h/x",
                "https://h/x.tgz",
                "user/repo",
                "npm:a@file:x",
                "a;b",
            )
        ),
        *(
            (json.dumps({"dependencies": {name: "1"}}), f"{name!r}: is not a name")
            for name in ("../x", "@a", "@a/b/c", "X Y", "_x", "")
        ),
    ],
)
def test_a_package_json_names_packages_of_the_registry_only(text: str, why: str) -> None:
    (problem,) = problems(NPM, text)
    assert problem.startswith(why)


def test_what_no_database_holds_and_what_is_too_long_is_refused() -> None:
    for text in ("a\0b", "\ud800"):
        assert problems(PIP, text) == ["must be Unicode text without NUL"]
    assert problems(PIP, "#" * (MANIFEST_BYTES + 1)) == [f"must have at most {MANIFEST_BYTES} bytes"]
    assert problems(PIP, "six\n" * 1001) == ["names 1001 packages; at most 1000"]


def test_a_hostile_line_takes_no_time() -> None:
    for text in (
        "a" * 250_000,
        "a==1," * 50_000,
        "a;" + " " * 200_000,
        "a[" + "," * 200_000,
        # within what a line may have: an expression that could share them out in many ways would
        *(
            f"a{between * (7900 // len(between))}!"
            for between in (" ", "\t", "[ ] ", "==1 ,", " ;", "( ", " --hash=sha256:0")
        ),
        "a==1 " + "--hash=" * 9000,
    ):
        assert len(problems(PIP, text)) == 1


def test_imports_are_modules_or_statements() -> None:
    text = "import numpy as np, pandas\nfrom scipy.linalg import inv, det  # c\njson, a.b\n\nimport x.y; z\nnumpy"
    assert parse_imports(text) == ("numpy", "pandas", "scipy.linalg", "json", "a.b", "x.y", "z")
    assert parse_imports("") == ()


@pytest.mark.parametrize("text", ["import", "numpy as np x", "print(1)", "from . import x", "a-b", "1a", "import a.b."])
def test_imports_are_nothing_else(text: str) -> None:
    with pytest.raises(InvalidArgument, match="must be modules or import statements"):
        parse_imports(text)


def test_too_many_imports_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="names 101 modules; at most 100"):
        parse_imports(",".join(f"m{number}" for number in range(101)))


def test_imports_no_database_holds_and_those_that_are_too_long_are_refused() -> None:
    for text, why in (
        ("json # \0", "must be Unicode text without NUL"),
        ("#" * 16_385, "must have at most 16384 bytes"),
    ):
        with pytest.raises(InvalidArgument) as caught:
            parse_imports(text)
        assert [violation.description for violation in caught.value.violations] == [why]


def test_the_same_manifest_has_the_same_digest_whatever_its_comments() -> None:
    one, other = (parse_manifest(PIP, text) for text in ("six\n", "# c\n\n  six  # d\n"))
    assert digest_of(one, "r") == digest_of(other, "r")
    assert digest_of(one, "r") != digest_of(one, "s")
    assert digest_of(one, "r") != digest_of(parse_manifest(PIP, "six==1"), "r")
    assert digest_of(parse_manifest(NPM, "{}"), "r") != digest_of(parse_manifest(PIP, ""), "r")


def test_each_language_has_its_manifest() -> None:
    assert [kind_for(language) for language in Language] == [PIP, NPM, NPM]
