"""Programs that speak to the server themselves, over the connection that they find in their process."""

from __future__ import annotations

from typing import Any

from polycall.domain import Reason
from polycall.sandbox.job import Ending
from tests.sandbox.hostile.catalogue import L0, Either, Ends, Program, Returns, Unpromised, program

__all__ = ["PROGRAMS", "TOOLS"]

_REFUSED = Ends((Ending.NOT_SERIALIZABLE,), reason=Reason.OUTPUT_NOT_SERIALIZABLE)
_CLEAN = Returns("clean")
_BRIEF = {"timeout_ms": 200}

TOOLS = """
import gc, json, stat, struct, threading, time
def sockets():
    found = []
    for fd in range(3, 5000):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode): found.append(fd)
        except OSError: pass
    return found
def nonce():
    # the header of this very call lies in a local variable of the harness
    for frame in sys._current_frames().values():
        while frame is not None:
            header = frame.f_locals.get('header')
            if isinstance(header, dict) and 'nonce' in header: return header['nonce']
            frame = frame.f_back
def frame(header, payload=b''):
    text = json.dumps(header).encode()
    return struct.pack('<II', len(text), len(payload)) + text + payload
def send(data):
    for fd in sockets():
        while data:
            data = data[os.write(fd, data):]
def answer(payload, **changes):
    return frame({'kind': 'result', 'nonce': nonce(), **changes}, payload)
def execute(input):
    if input['call'] == 2: return 'clean'
"""


def _forging(name: str, body: str, *, attack: str = "forged frames", **rest: Any) -> Program:
    indented = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return program(name, TOOLS + indented + "\n    time.sleep(60)\n", attack=attack, **rest)


PROGRAMS = (
    _forging("a result that is no JSON is not passed on", "send(answer(b'{nonsense'))", held=_REFUSED),
    _forging("a result that is no text is not passed on", "send(answer(b'\"\\xff\\xfe\"'))", held=_REFUSED),
    _forging("a result that is NaN is not passed on", "send(answer(b'[NaN]'))", held=_REFUSED),
    _forging("a result with a lone surrogate is not passed on", r"""send(answer(b'"\\ud800"'))""", held=_REFUSED),
    _forging(
        "a result that nests a hundred thousand deep is not passed on",
        "send(answer(b'[' * 100_000 + b']' * 100_000))",
        held=_REFUSED,
    ),
    _forging("a result with something behind it is not passed on", "send(answer(b'1 2'))", held=_REFUSED),
    _forging("an empty result is not passed on", "send(answer(b''))", held=_REFUSED),
    _forging("a pickle is not read", "import pickle; send(answer(pickle.dumps(ValueError('x'))))", held=_REFUSED),
    _forging(
        "an answer to another call is refused",
        "send(frame({'kind': 'result', 'nonce': '0' * 16}, b'1'))",
        held=_REFUSED,
        warm=True,
        then=_CLEAN,
    ),
    _forging("an answer without a number is refused", "send(frame({'kind': 'result'}, b'1'))", held=_REFUSED),
    _forging("an answer of no known kind is refused", "send(answer(b'1', kind='ready'))", held=_REFUSED),
    _forging("an answer of an invented kind is refused", "send(answer(b'1', kind='root'))", held=_REFUSED),
    _forging("an answer with more to say is refused", "send(answer(b'1', exit_code=0, signal=0))", held=_REFUSED),
    _forging("an answer with odd types is refused", "send(answer(b'1', odd='no', laps=[1]))", held=_REFUSED),
    _forging("a header that is no JSON is refused", "send(struct.pack('<II', 40, 0) + b'\\xff' * 40)", held=_REFUSED),
    _forging("a header that never ends is refused", "send(struct.pack('<II', 1 << 31, 0))", held=_REFUSED),
    _forging(
        "a claim of a huge result is refused at once",
        "send(struct.pack('<II', 20, 0xffffffff))",
        held=Ends((Ending.RESULT_TOO_LARGE,), reason=Reason.RESULT_TOO_LARGE),
    ),
    _forging(
        "a result of twenty megabytes is refused before it is read",
        "send(answer(b'1' * (20 << 20)))",
        held=Ends((Ending.RESULT_TOO_LARGE, Ending.OUT_OF_MEMORY)),
        limits={"memory_bytes": 512 << 20},
    ),
    _forging("a flood of garbage is refused", "while True: send(b'\\xff' * 65536)", held=_REFUSED),
    _forging(
        "an exception that is no report is refused",
        "send(answer(b'[1]', kind='raised'))",
        held=_REFUSED,
    ),
    _forging(
        "half a frame and an exit is an exit",
        "send(answer(b'123')[:-1]); os._exit(9)",
        held=Ends((Ending.EXITED,), exit_code=9),
    ),
    _forging("half a frame and a wait is a timeout", "send(b'\\x10')", held=Ends((Ending.TIMED_OUT,)), limits=_BRIEF),
    _forging(
        "a frame that comes byte by byte and never ends is a timeout",
        """
data = answer(b'"' + b'x' * 100_000 + b'"')
for place in range(len(data) - 1):
    send(data[place:place + 1])
    time.sleep(0.002)
""",
        held=Ends((Ending.TIMED_OUT,)),
        limits=_BRIEF,
    ),
    _forging(
        "an answer given twice is one answer",
        "data = answer(b'1'); send(data + data)",
        held=Returns(1),
        warm=True,
        then=_CLEAN,
    ),
    _forging(
        "garbage behind the answer is nobody's",
        "send(answer(b'1') + b'\\xff' * 1000)",
        held=Returns(1),
        warm=True,
        then=_CLEAN,
    ),
    _forging(
        "an answer to the next call before it is asked is nobody's",
        """
mine = answer(b'1')
send(mine + frame({'kind': 'result', 'nonce': '', 'odd': False}, b'"forged"'))
""",
        held=Returns(1),
        warm=True,
        then=_CLEAN,
    ),
    _forging(
        "an answer that comes late is nobody's",
        """
late = frame({'kind': 'result', 'nonce': nonce()}, b'"late"')
def later():
    time.sleep(0.02)
    try: send(late)
    except OSError: pass
threading.Thread(target=later).start()
return 1
""",
        held=Either((Returns(1), Returns("late"))),
        warm=True,
        then=Either((_CLEAN, _REFUSED)),
    ),
    _forging(
        "half an answer before the end of a call is not the beginning of the next answer",
        """
mine = answer(b'1')
send(mine + struct.pack('<II', 60, 8))
""",
        held=Returns(1),
        warm=True,
        then=_CLEAN,
    ),
    _forging(
        "frames on the output are output",
        "os.write(1, answer(b'666')); return 'mine'",
        held=Returns("mine"),
    ),
    _forging(
        "closing the connection and running on is ended",
        "for fd in sockets(): os.close(fd)",
        held=Ends((Ending.SIGNALLED,), says="Stopped: the code closed its connection to polycall and ran on."),
        attack="connection that is closed or used by others",
    ),
    _forging(
        "closing the connection and returning gives no value",
        "for fd in sockets(): os.close(fd)\nreturn 1",
        held=Ends((Ending.EXITED, Ending.SIGNALLED)),
        attack="connection that is closed or used by others",
        warm=True,
        then=_CLEAN,
    ),
    _forging(
        "shutting the connection for writing gives no value",
        "import socket\nfor fd in sockets(): socket.socket(fileno=os.dup(fd)).shutdown(socket.SHUT_WR)\nreturn 1",
        held=Ends((Ending.EXITED, Ending.SIGNALLED)),
        attack="connection that is closed or used by others",
    ),
    _forging(
        "another socket cannot take the connection's place",
        "import socket\nmine = sockets()\npair = socket.socketpair()\nfor fd in mine: os.dup2(pair[0].fileno(), fd)",
        # its number lies above all that a run may open
        held=Ends((Ending.RAISED,)),
        attack="connection that is closed or used by others",
        warm=True,
        then=_CLEAN,
    ),
    _forging(
        "reading the connection empty keeps nobody's call",
        """
import socket
for fd in sockets():
    with socket.socket(fileno=os.dup(fd)) as wire:
        wire.settimeout(0.01)
        try: wire.recv(1 << 20)
        except OSError: pass
return 'mine'
""",
        held=Returns("mine"),
        attack="connection that is closed or used by others",
        warm=True,
        then=_CLEAN,
    ),
    _forging(
        "a connection that is made not to block still takes a large answer",
        "for fd in sockets(): os.set_blocking(fd, False)\nreturn 'x' * 1_000_000",
        held=Returns("x" * 1_000_000),
        attack="connection that is closed or used by others",
        warm=True,
        then=_CLEAN,
    ),
    _forging(
        "descriptors sent over the connection are not taken",
        """
import array, socket
for fd in sockets():
    with socket.socket(fileno=os.dup(fd)) as wire:
        for _ in range(50):
            fds = array.array('i', [os.open('/dev/null', os.O_RDONLY) for _ in range(20)])
            wire.sendmsg([b''], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
            for one in fds: os.close(one)
mine = answer(b'1')
with socket.socket(fileno=os.dup(sockets()[0])) as wire:
    fds = array.array('i', [os.open('/dev/null', os.O_RDONLY) for _ in range(20)])
    wire.sendmsg([mine], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
""",
        held=Returns(1),
        attack="connection that is closed or used by others",
    ),
    program(
        "a forked child that answers for its parent ends with it",
        TOOLS
        + """
    try:
        if os.fork() == 0:
            send(answer(b'"child"'))
            while True: time.sleep(1)
    except OSError:
        return 'child'
    time.sleep(60)
""",
        attack="connection that is closed or used by others",
        held=Returns("child"),
        # what the parent is still busy with, the next call of this version waits for
        warm=True,
        then=Ends((Ending.RETURNED, Ending.TIMED_OUT)),
        limits={"timeout_ms": 300},
        at={L0: Unpromised("nothing keeps code from forking")},
    ),
)
