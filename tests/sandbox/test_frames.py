"""Frames: what the server accepts from a child, and what hostile ones come to."""

from __future__ import annotations

import contextlib
import json
import struct

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polycall.domain import Reason
from polycall.sandbox.frames import FrameError, FrameParser, Reply, TooLarge, encode_frame, parse_json
from polycall.sandbox.job import Ending
from polycall.sandbox.sandbox import Sandbox
from tests.sandbox.conftest import Run
from tests.sandbox.programs import HELD, WAIT, end_of, go_on, key, limits, value, with_a_thread


def frame(header: object, payload: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<II", len(text), len(payload)) + text + payload


@given(st.binary(max_size=200), st.lists(st.integers(1, 50), max_size=20))
def test_a_frame_comes_whole_however_it_is_cut(payload: bytes, cuts: list[int]) -> None:
    data = frame({"kind": "result", "nonce": "n"}, payload)
    parser = FrameParser(1000)
    replies = []
    for size in [*cuts, len(data)]:
        piece, data = data[:size], data[size:]
        replies.append(parser.feed(piece))
    assert [reply for reply in replies if reply is not None] == [Reply("result", "n", False, {}, payload)]
    assert not parser.pending


def test_what_is_behind_a_frame_stays_pending() -> None:
    parser = FrameParser(10)
    assert parser.feed(frame({"kind": "result"}, b"1") + b"x") is not None
    assert parser.pending


@pytest.mark.parametrize(
    "header",
    [
        {"kind": "exit"},
        {"kind": "result", "exit_code": 0},
        {"kind": "result", "nonce": 3},
        {"kind": "result", "odd": "yes"},
        {},
        [],
        "result",
        None,
    ],
)
def test_a_header_of_another_shape_is_refused(header: object) -> None:
    with pytest.raises(FrameError):
        FrameParser(10).feed(frame(header))


@given(st.binary(min_size=8, max_size=300))
def test_any_bytes_are_a_frame_or_an_error_but_no_crash(data: bytes) -> None:
    with contextlib.suppress(FrameError):
        FrameParser(100).feed(data)


def test_lengths_are_refused_before_anything_is_kept() -> None:
    with pytest.raises(FrameError, match="header is too long"):
        FrameParser(10).feed(struct.pack("<II", 5000, 0))
    with pytest.raises(TooLarge):
        FrameParser(10).feed(struct.pack("<II", 10, 0xFFFFFFFF))
    with pytest.raises(TooLarge):
        FrameParser(10).feed(frame({"kind": "result"}, b"x" * 11))


def test_a_frame_to_a_child_is_its_lengths_its_header_and_its_parts() -> None:
    buffers = encode_frame({"op": "call"}, [b"ab", b"", b"c"])
    assert b"".join(buffers) == struct.pack("<II", 13, 3) + b'{"op":"call"}abc'


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"NaN",
        b"Infinity",
        b"1 2",
        b"01",
        b"'x'",
        b'"\xff"',
        b'"\\ud800"',
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a": 1,}',
        b'"tab\there"',
    ],
)
def test_the_server_believes_no_payload(payload: bytes) -> None:
    with pytest.raises(FrameError):
        parse_json(payload)


# from inside

FORGE = """
import json, os, stat, struct
def sockets():
    return [fd for fd in range(3, 5000) if is_socket(fd)]
def is_socket(fd):
    try: return stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError: return False
def frame(header, payload=b''):
    text = json.dumps(header).encode()
    return struct.pack('<II', len(text), len(payload)) + text + payload
def send(data):
    for fd in sockets():
        os.write(fd, data)
"""

forged = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.levels(3, 2, 1)]


class TestForged:
    pytestmark = forged

    async def test_a_result_that_is_no_json_is_not_passed_on(self, run: Run) -> None:
        # the nonce is in the process's memory for who looks; without it the frame is refused anyway
        outcome = await run(FORGE + "def execute(i):\n    send(frame({'kind': 'result'}, b'{nonsense'))\n    return 1")
        assert outcome.ending is Ending.NOT_SERIALIZABLE
        assert outcome.value is None

    async def test_an_answer_to_another_call_is_refused(self, run: Run) -> None:
        outcome = await run(
            FORGE + "def execute(i):\n    send(frame({'kind': 'result', 'nonce': 'x'}, b'1'))\n    return 2"
        )
        assert outcome.ending is Ending.NOT_SERIALIZABLE
        assert outcome.error is not None
        assert outcome.error.reason is Reason.OUTPUT_NOT_SERIALIZABLE

    async def test_a_claim_of_a_huge_frame_is_refused_at_once(self, run: Run) -> None:
        outcome = await run(FORGE + "def execute(i):\n    send(struct.pack('<II', 20, 1 << 31))\n    return 1")
        assert outcome.ending is Ending.RESULT_TOO_LARGE

    async def test_a_flood_of_garbage_is_refused(self, run: Run) -> None:
        outcome = await run(FORGE + "def execute(i):\n    while True: send(b'\\xff' * 65536)")
        assert outcome.ending is Ending.NOT_SERIALIZABLE

    async def test_half_a_frame_and_an_exit_is_an_exit(self, run: Run) -> None:
        outcome = await run(
            FORGE + "def execute(i):\n    send(frame({'kind': 'result'}, b'123')[:-1])\n    os._exit(9)"
        )
        assert (outcome.ending, outcome.exit_code) == (Ending.EXITED, 9)

    async def test_half_a_frame_and_a_wait_is_a_timeout(self, run: Run) -> None:
        outcome = await run(
            FORGE + "import time\ndef execute(i):\n    send(b'\\x10')\n    time.sleep(60)",
            limits=limits(timeout_ms=300),
        )
        assert outcome.ending is Ending.TIMED_OUT

    async def test_frames_on_the_output_are_output(self, run: Run) -> None:
        outcome = await run(
            FORGE + "def execute(i):\n    os.write(1, frame({'kind': 'result', 'nonce': ''}, b'666'))\n    return 1"
        )
        assert value(outcome) == 1
        assert b"666" in outcome.stdout

    async def test_closing_every_file_loses_nothing_but_the_output(self, run: Run) -> None:
        outcome = await run("import os\ndef execute(i):\n    os.closerange(0, 256)\n    return 'still here'")
        assert value(outcome) == "still here"

    async def test_closing_the_connection_and_running_on_is_ended(self, run: Run) -> None:
        outcome = await run(
            FORGE + "import time\ndef execute(i):\n    for fd in sockets(): os.close(fd)\n    time.sleep(60)"
        )
        assert (outcome.ending, outcome.signal) == (Ending.SIGNALLED, 9)
        assert outcome.error is not None
        assert outcome.error.message == "Stopped: the code closed its connection to polycall and ran on."

    async def test_closing_the_connection_and_returning_is_an_exit(self, run: Run) -> None:
        outcome = await run(FORGE + "def execute(i):\n    for fd in sockets(): os.close(fd)\n    return 1")
        assert outcome.ending in (Ending.EXITED, Ending.SIGNALLED)
        assert outcome.value is None

    async def test_a_second_frame_is_nobodys(self, run: Run) -> None:
        forge = FORGE + "def execute(i):\n    send(frame({'kind': 'result', 'nonce': 'x'}, b'1') * 5)\n    return 1"
        assert (await run(forge, key=key("repeat"))).ending is Ending.NOT_SERIALIZABLE
        assert value(await run("def execute(i): return 'clean'")) == "clean"

    async def test_a_worker_that_floods_the_server_between_calls_is_ended(self, sandbox: Sandbox, run: Run) -> None:
        code = FORGE + (
            f"{HELD}\nimport threading\nseen = []\n"
            f"def flood():\n    {WAIT}\n    while True: send(struct.pack('<II', 10, 1 << 19) + b'x' * 65536)\n"
            "def execute(i):\n    seen.append(i)\n    threading.Thread(target=flood).start()\n    return seen"
        )
        before = psutil.Process().memory_info().rss
        for number in range(3):
            assert value(await run(code, number, key=key("flood"))) == [number]
            await talks_out_of_turn(sandbox)
        assert psutil.Process().memory_info().rss - before < 64 << 20

    async def test_a_worker_that_talks_out_of_turn_is_not_used_again(self, sandbox: Sandbox, run: Run) -> None:
        code = FORGE + (
            f"{HELD}\nimport threading\nseen = []\n"
            f"def late():\n    {WAIT}\n    send(frame({{'kind': 'result', 'nonce': 'x'}}, b'\"forged\"'))\n"
            "def execute(i):\n    seen.append(i)\n    threading.Thread(target=late).start()\n    return seen"
        )
        assert value(await run(code, 1, key=key("late-frame"))) == [1]
        await talks_out_of_turn(sandbox)
        assert value(await run(code, 2, key=key("late-frame"))) == [2]


async def talks_out_of_turn(sandbox: Sandbox) -> None:
    """Let the one idle worker that has a thread go on, and wait for its end."""
    (worker,) = with_a_thread(sandbox)
    go_on(sandbox)
    await end_of([worker])
