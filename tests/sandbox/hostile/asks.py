"""Programs that ask the server in ways they should not."""

from __future__ import annotations

from typing import Any

from polycall.domain import Reason
from polycall.sandbox.job import Ending
from tests.sandbox.hostile.catalogue import L0, Either, Ends, Program, Returns, Unpromised, program
from tests.sandbox.hostile.frames import TOOLS

__all__ = ["PROGRAMS"]

_REFUSED = Ends((Ending.NOT_SERIALIZABLE,), reason=Reason.OUTPUT_NOT_SERIALIZABLE)
_BRIEF = {"timeout_ms": 300}
_CLEAN = Returns("clean")

_ASKING = """
def question(id=1, method='echo', payload=b'1', **changes):
    return frame({'kind': 'ask', 'nonce': nonce(), 'id': id, 'method': method, **changes}, payload)
"""


def _asking(name: str, body: str, **rest: Any) -> Program:
    indented = "\n".join(f"    {line}" for line in body.strip().splitlines())
    begin, _, execute = TOOLS.rpartition("def execute")
    settings = {"attack": "questions to the server", "asks": True, **rest}
    return program(name, f"{begin}{_ASKING}def execute{execute}{indented}\n    time.sleep(60)\n", **settings)


PROGRAMS = (
    _asking(
        "whoever may ask nothing is ended when it does",
        "send(question())",
        asks=False,
        held=_REFUSED,
        warm=True,
        then=_CLEAN,
    ),
    _asking("two questions at once are refused", "send(question(method='never') + question(2))", held=_REFUSED),
    _asking("a question of another call is refused", "send(question(nonce='0' * 16))", held=_REFUSED),
    _asking("a question whose number is not the next is refused", "send(question(7))", held=_REFUSED),
    _asking("a question with a number that is none is refused", "send(question(-1))", held=_REFUSED),
    _asking("a question with an endless number is refused", "send(question(1 << 70))", held=_REFUSED),
    _asking("a question of no method is refused", "send(question(method=''))", held=_REFUSED),
    _asking("a question of a method as long as a book is refused", "send(question(method='x' * 3000))", held=_REFUSED),
    _asking("a question that is no JSON is refused", "send(question(payload=b'{nonsense'))", held=_REFUSED),
    _asking(
        "a question that is a pickle is refused",
        "import pickle; send(question(payload=pickle.dumps(1)))",
        held=_REFUSED,
    ),
    _asking("a question with more to say is refused", "send(question(odd=True))", held=_REFUSED),
    _asking(
        "a question that nests a hundred thousand deep is refused",
        "send(question(payload=b'[' * 100_000 + b']' * 100_000))",
        held=_REFUSED,
    ),
    _asking(
        "a question of five megabytes is refused",
        "send(question(payload=b'1' * (5 << 20)))",
        held=Ends((Ending.NOT_SERIALIZABLE, Ending.RESULT_TOO_LARGE)),
    ),
    _asking(
        "a question without end does not outlast its run",
        "ask('never', None)",
        held=Ends((Ending.TIMED_OUT,)),
        limits=_BRIEF,
        warm=True,
        then=_CLEAN,
    ),
    _asking(
        "half a question and a wait is a timeout",
        "send(question()[:-1])",
        held=Ends((Ending.TIMED_OUT,)),
        limits=_BRIEF,
    ),
    _asking(
        "a question and an exit is an exit", "send(question()); os._exit(9)", held=Ends((Ending.EXITED,), exit_code=9)
    ),
    _asking(
        "who asks for ever is refused, and ended at last",
        """
while True:
    try: ask('echo', 1)
    except AskRefused: pass
""",
        held=_REFUSED,
        limits={"timeout_ms": 20_000},
    ),
    _asking(
        "who asks for more than all is refused",
        """
done = 0
try:
    while True:
        ask('large', 1 << 20)
        done += 1
except AskRefused as refusal:
    return [done < 40, 'MiB in all' in str(refusal)]
""",
        held=Returns([True, True]),
        limits={"memory_bytes": 128 << 20},
    ),
    _asking(
        "answers that nobody reads are not kept without bound",
        """
for number in range(1, 100):
    try: send(question(number, 'large', b'1000000'))
    except OSError: break
    time.sleep(0.002)
""",
        held=Ends((Ending.NOT_SERIALIZABLE, Ending.TIMED_OUT)),
        limits={"timeout_ms": 2000},
    ),
    _asking(
        "a question under way when the call ends is nobody's",
        """
def later():
    try: ask('never', None)
    except BaseException: pass
threading.Thread(target=later, daemon=True).start()
time.sleep(0.05)
return 'mine'
""",
        held=Returns("mine"),
        warm=True,
        then=_CLEAN,
    ),
    _asking(
        "a question after the call has ended is nobody's",
        """
mine = question(payload=b'"late"')
def later():
    time.sleep(0.02)
    try: send(mine)
    except OSError: pass
threading.Thread(target=later).start()
return 1
""",
        held=Either((Returns(1), _REFUSED)),
        warm=True,
        then=Either((_CLEAN, _REFUSED)),
    ),
    _asking(
        "a process that it starts cannot ask",
        """
try:
    if os.fork() == 0:
        try: ask('echo', 1)
        except AskRefused: os._exit(7)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.wait()[1])
except OSError:
    return 7
""",
        held=Returns(7),
        at={L0: Unpromised("nothing keeps code from forking")},
    ),
    _asking(
        "what the server fails at says nothing of it",
        """
try: ask('fail', None)
except AskRefused as refusal: return 'secret' in str(refusal)
""",
        held=Returns(False),
    ),
)
