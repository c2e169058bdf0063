"""Input files: which paths are taken, and where they are found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polycall.domain import InputFile
from polycall.errors import InvalidArgument
from polycall.sandbox.files import check_files
from polycall.sandbox.sandbox import Sandbox
from tests.sandbox.conftest import Run
from tests.sandbox.programs import MIB, file, job, key, limits, value

LOOK = """
    import os
    def execute(input):
        found = {}
        for directory, _, names in os.walk('.'):
            for name in names:
                path = os.path.join(directory, name)
                found[path] = [open(path).read(), oct(os.stat(path).st_mode & 0o777)]
        return found
"""


@pytest.mark.parametrize(
    ("paths", "field", "problem"),
    [
        (["/etc/passwd"], "files[0].path", "must be relative"),
        (["a", "../b"], "files[1].path", "must not contain '..'"),
        (["a/../../b"], "files[0].path", "must not contain '..'"),
        (["a\0b"], "files[0].path", "must not contain NUL"),
        ([""], "files[0].path", "must not be empty"),
        (["a", "b", "a"], "files[2].path", "is given twice"),
        (["a", "a/b"], "files[1].path", "lies below what is also a file"),
        (["a/b", "a"], "files[1].path", "is also a folder of another file"),
        (["a//b"], "files[0].path", "must not contain empty or '.' segments"),
        (["./a"], "files[0].path", "must not contain empty or '.' segments"),
        (["x" * 256], "files[0].path", "must not have a segment longer than 255 bytes"),
        (["\ud800"], "files[0].path", "must be valid Unicode"),
        (["a\\b"], "files[0].path", "must separate folders by `/`"),
        (["C:\\b"], "files[0].path", "must separate folders by `/`"),
        (["/".join("a" * 65)], "files[0].path", "must not be nested deeper than 64 segments"),
        (["/".join(["x" * 200] * 16)], "files[0].path", "must not be longer than 3072 bytes"),
        ([str(n) for n in range(1001)], "files", "has 1001 files; at most 1000"),
    ],
)
def test_a_path_that_could_lead_elsewhere_is_refused(paths: list[str], field: str, problem: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_files([file(path) for path in paths])
    assert [(violation.field, violation.description) for violation in caught.value.violations] == [(field, problem)]


def test_every_wrong_path_is_named_at_once() -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_files([file("/a"), file("fine"), file("..")])
    assert [violation.field for violation in caught.value.violations] == ["files[0].path", "files[2].path"]


@given(st.lists(st.text(alphabet="ab./\0", max_size=6), max_size=5))
def test_what_is_accepted_stays_below_the_directory(paths: list[str]) -> None:
    try:
        check_files([file(path) for path in paths])
    except InvalidArgument:
        return
    for path in paths:
        assert not path.startswith("/")
        assert not {"", ".", ".."} & set(path.split("/"))
    assert len(set(paths)) == len(paths)


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.levels(3, 2, 1)
async def test_files_lie_in_the_working_directory_read_only(run: Run) -> None:
    outcome = await run(LOOK, files=(file("a.txt", "one"), file("folder/deep/b.txt", "two")))
    assert value(outcome) == {"./a.txt": ["one", "0o444"], "./folder/deep/b.txt": ["two", "0o444"]}


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.levels(3, 2)
async def test_the_working_directory_is_mnt_req(run: Run) -> None:
    code = "import os\ndef execute(input): return [os.getcwd(), open('/mnt/req/a').read()]"
    assert value(await run(code, files=(file("a", "here"),))) == ["/mnt/req", "here"]


@pytest.mark.asyncio(loop_scope="session")
async def test_a_warm_worker_sees_the_files_of_its_own_call(sandbox: Sandbox) -> None:
    async def look(*files: InputFile) -> object:
        return value(await sandbox.run(job(LOOK, key=key("files"), files=files)))

    assert await look(file("a", "1"), file("b", "2")) == {"./a": ["1", "0o444"], "./b": ["2", "0o444"]}
    assert await look(file("a", "3")) == {"./a": ["3", "0o444"]}
    assert await look() == {}


@pytest.mark.asyncio(loop_scope="session")
async def test_files_take_the_place_of_what_an_earlier_call_left(sandbox: Sandbox) -> None:
    code = """
        import os
        def execute(x):
            text = open("a").read()
            os.remove("a")
            os.symlink("b", "a")
            return text
    """
    for text in ("one", "two"):
        assert value(await sandbox.run(job(code, key=key("replace"), files=(file("a", text),)))) == text


@pytest.mark.asyncio(loop_scope="session")
async def test_what_is_given_does_not_count_against_the_disk_of_the_run(run: Run) -> None:
    code = """
        import os
        def execute(size):
            with open('mine', 'wb') as stream:
                stream.write(b'x' * size)
            return sum(os.path.getsize(name) for name in os.listdir())
    """
    big = InputFile("given", b"g" * (3 * MIB))
    outcome = await run(code, 3 * MIB, files=(big,), limits=limits(disk_bytes=4 * MIB))
    assert value(outcome) == 6 * MIB


@pytest.mark.asyncio(loop_scope="session")
async def test_files_that_are_given_do_not_count_against_those_a_run_may_make(run: Run) -> None:
    code = """
        import itertools, os
        def execute(x):
            given = len(os.listdir('d'))
            try:
                for made in itertools.count(): open(f'mine{made}', 'w').close()
            except OSError:
                return given, made
    """
    none, made = value(await run(code, files=(file("d/0"),)))
    many, as_well = value(await run(code, files=tuple(file(f"d/{n}") for n in range(3000))))
    assert (none, many) == (1, 3000)
    assert made <= as_well <= 1024 + 3000  # a folder is counted for each file


@pytest.mark.asyncio(loop_scope="session")
async def test_a_program_may_have_more_files_than_a_run_may_make(run: Run) -> None:
    modules = {f"package/m{n}.py": "" for n in range(3000)}
    outcome = await run({"main.py": "import package.m2999\ndef execute(x): return 1", **modules})
    assert value(outcome) == 1
