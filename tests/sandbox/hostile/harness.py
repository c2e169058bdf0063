"""Programs that turn what runs beside them in their process against the server: it may misreport, but only on them."""

from __future__ import annotations

from typing import Any

from polycall.sandbox.job import Ending
from tests.sandbox.hostile.catalogue import Either, Ends, Program, Returns, program

__all__ = ["PROGRAMS"]

# A process that has broken its own harness has a run without a result; which kind is its own affair. Never LOST: that
# would be our fault. Never a value that it did not make.
_FAILED = Ends(
    (Ending.RAISED, Ending.EXITED, Ending.SIGNALLED, Ending.NOT_SERIALIZABLE, Ending.TIMED_OUT, Ending.OUT_OF_MEMORY)
)
_CLEAN = Returns("clean")


def _breaking(name: str, body: str, **rest: Any) -> Program:
    """The second call of the same version looks whether it is served."""
    indented = "\n".join(f"    {line}" for line in body.strip().splitlines())
    settings: dict[str, Any] = {"limits": {"timeout_ms": 1000}, "warm": True, "held": _FAILED, "then": _CLEAN}
    return program(
        name,
        f"import builtins, gc, json, threading, time\n"
        f"def execute(input):\n    if input['call'] == 2: return 'clean'\n{indented}\n",
        attack="harness in the same process",
        **(settings | rest),
    )


PROGRAMS = (
    _breaking(
        "json that writes nonsense is refused",
        "json.dumps = lambda *a, **k: '{nonsense'\nreturn 1",
        held=Ends((Ending.NOT_SERIALIZABLE, Ending.EXITED, Ending.SIGNALLED)),
        then=Ends((Ending.RETURNED, Ending.NOT_SERIALIZABLE, Ending.EXITED, Ending.SIGNALLED)),
    ),
    _breaking(
        "json that writes something else is that run's own result",
        'json.dumps = lambda value, **k: \'{"kind": "result", "nonce": "x"}\'\nreturn 1',
        held=Ends((Ending.NOT_SERIALIZABLE, Ending.RETURNED)),
        then=Ends(tuple(set(Ending) - {Ending.LOST})),
    ),
    _breaking(
        "no modules at all",
        "sys.modules.clear()\nreturn 1",
        held=Ends(tuple(set(Ending) - {Ending.LOST})),
        then=Ends(tuple(set(Ending) - {Ending.LOST})),
    ),
    _breaking(
        "builtins that raise",
        "def no(*a, **k): raise OSError('no')\n"
        "for name in ('isinstance', 'len', 'hasattr', 'getattr', 'open', 'list', 'dict', 'str', '__import__'):\n"
        "    setattr(builtins, name, no)\n"
        "return 1",
        then=Ends(tuple(set(Ending) - {Ending.LOST})),
    ),
    _breaking(
        "every audited event raises",
        "sys.addaudithook(lambda *a: 1 / 0)\nreturn 1",
        then=Ends(tuple(set(Ending) - {Ending.LOST})),
        held=Ends(tuple(set(Ending) - {Ending.LOST})),
    ),
    _breaking(
        "tracing that raises in every function",
        "def trace(*a): raise ValueError('traced')\nsys.settrace(trace)\nsys.setprofile(trace)\nreturn 1",
        then=Ends(tuple(set(Ending) - {Ending.LOST})),
        held=Ends(tuple(set(Ending) - {Ending.LOST})),
    ),
    _breaking(
        "os without its functions",
        "for name in ('write', '_exit', 'chdir', 'unlink', 'fstat', 'open', 'dup2'):\n"
        "    setattr(os, name, lambda *a, **k: 1 / 0)\n"
        "return 1",
        then=Ends(tuple(set(Ending) - {Ending.LOST})),
        held=Ends(tuple(set(Ending) - {Ending.LOST})),
    ),
    _breaking(
        "os._exit that returns does not keep a script or a failed run alive",
        "os._exit = lambda code: None\nraise SystemExit(3)",
        held=Ends((Ending.EXITED, Ending.SIGNALLED, Ending.RAISED, Ending.TIMED_OUT)),
    ),
    _breaking(
        "a thread that changes the result while it is written",
        "value = {str(n): n for n in range(1000)}\n"
        "def change():\n"
        "    while True:\n"
        "        value['x'] = 1\n"
        "        value.pop('x', None)\n"
        "threading.Thread(target=change, daemon=True).start()\n"
        "return value",
        held=Ends((Ending.RETURNED, Ending.RAISED, Ending.NOT_SERIALIZABLE)),
    ),
    _breaking(
        "no memory left for the answer",
        "import resource\nresource.setrlimit(resource.RLIMIT_AS, (1 << 20, 1 << 20))\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (1 << 12, 1 << 12))\nreturn 'x' * 100_000",
        held=Ends(tuple(set(Ending) - {Ending.LOST})),
        then=Ends(tuple(set(Ending) - {Ending.LOST})),
    ),
    _breaking(
        "no open files and no file size left",
        "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\nreturn 1",
        held=Ends(tuple(set(Ending) - {Ending.LOST})),
        then=Ends(tuple(set(Ending) - {Ending.LOST})),
    ),
    _breaking(
        "no time left on the processor",
        "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (0, 0))\nwhile True: pass",
        held=Ends((Ending.SIGNALLED, Ending.TIMED_OUT)),
    ),
    _breaking(
        "a recursion limit of nothing",
        "sys.setrecursionlimit(20)\nreturn 1",
        held=Ends(tuple(set(Ending) - {Ending.LOST})),
        then=Ends(tuple(set(Ending) - {Ending.LOST})),
    ),
    _breaking(
        "streams that raise, hang up or are closed",
        "class Stream:\n"
        "    def __getattr__(self, name): raise KeyboardInterrupt\n"
        "sys.stdout = sys.stderr = sys.__stdout__ = sys.stdin = Stream()\nos.close(1)\nos.close(2)\nreturn 1",
        held=Ends((Ending.RETURNED, Ending.RAISED, Ending.EXITED)),
    ),
    _breaking(
        "every descriptor closed",
        "os.closerange(0, 5000)\nreturn 1",
        held=Ends((Ending.EXITED, Ending.SIGNALLED)),
    ),
    _breaking(
        "every descriptor but the connection closed",
        "os.closerange(0, 256)\nreturn 'mine'",
        held=Returns("mine"),
    ),
    _breaking(
        "the server that runs it is found and told to lie about another call",
        "for thing in gc.get_objects():\n"
        "    if type(thing).__name__ == 'Server' and hasattr(thing, '_connection'):\n"
        "        thing._connection.send({'kind': 'result', 'nonce': '0' * 16}, b'1')\n"
        "return 1",
        held=Ends((Ending.NOT_SERIALIZABLE,)),
    ),
    _breaking(
        "an object that runs code when it is thrown away, after the answer",
        "class Bomb:\n"
        "    def __del__(self):\n"
        "        for _ in range(3): os.write(1, b'late')\n"
        "        os._exit(7)\n"
        "threading.Timer(0.05, lambda bomb: None, [Bomb()]).start()\nreturn 'first'",
        held=Either((Returns("first"), Ends((Ending.EXITED,), exit_code=7))),
        then=Ends((Ending.RETURNED, Ending.EXITED)),
    ),
    _breaking(
        "code that runs at exit",
        "import atexit\natexit.register(lambda: os.write(1, b'x' * 100))\nreturn 'first'",
        held=Returns("first"),
    ),
    _breaking(
        "a signal handler that raises in the middle of the answer",
        "import signal\n"
        "def handler(*a): raise RuntimeError('bang')\n"
        "signal.signal(signal.SIGALRM, handler)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)\n"
        "time.sleep(0.0005)\n"
        "return ['x'] * 10_000",
        held=Ends(tuple(set(Ending) - {Ending.LOST})),
        then=Ends(tuple(set(Ending) - {Ending.LOST})),
    ),
    _breaking(
        "a thread that raises in all others",
        "def throw():\n"
        "    while True:\n"
        "        for thread in threading.enumerate():\n"
        "            if thread is not threading.current_thread():\n"
        "                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit))\n"
        "threading.Thread(target=throw, daemon=True).start()\n"
        "time.sleep(0.5)\nreturn 1",
        held=_FAILED,
        then=Ends(tuple(set(Ending) - {Ending.LOST})),
    ),
    _breaking(
        "no garbage is collected and no reference counted",
        "gc.disable()\n"
        "for number in range(100_000): ctypes.pythonapi.Py_IncRef(ctypes.py_object([]))\n"
        "ctypes.memset(id(None), 0, 8)\nreturn None",
        held=Ends(tuple(set(Ending) - {Ending.LOST})),
        then=Ends(tuple(set(Ending) - {Ending.LOST})),
    ),
)
