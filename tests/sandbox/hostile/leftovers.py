"""Programs that leave something for the next call in the same process; ``then`` is what that one finds."""

from __future__ import annotations

from typing import Any

from polycall.sandbox.job import Ending
from tests.sandbox.hostile.catalogue import L0, NOTHING, Either, Ends, Expectation, Program, Unpromised, program

__all__ = ["PROGRAMS"]

# on a busy machine what was to happen after the answer may happen before it
_OR_AT_ONCE = Either((NOTHING, Ends((Ending.EXITED, Ending.SIGNALLED))))
_SERVED = Ends(tuple(set(Ending) - {Ending.LOST}))


def _leaving(name: str, first: str, second: str = "return []", *, then: Expectation = NOTHING, **rest: Any) -> Program:
    """``first`` is what the first call does before it answers, ``second`` what the second one does instead."""
    bodies = ["\n".join(f"        {line}" for line in body.strip().splitlines()) for body in (first, second)]
    return program(
        name,
        f"import resource, signal, tempfile, threading, time\n"
        f"def execute(input):\n    if input['call'] == 1:\n{bodies[0]}\n        return []\n    else:\n{bodies[1]}\n",
        attack="state for the next call",
        warm=True,
        then=then,
        **rest,
    )


PROGRAMS = (
    _leaving(
        "another working directory",
        "os.mkdir('elsewhere'); os.chdir('elsewhere')",
        "return [] if os.path.basename(os.getcwd()) == 'req' else [os.getcwd()]",
    ),
    _leaving(
        "a working directory that is gone",
        "os.chdir(tempfile.mkdtemp()); os.rmdir(os.getcwd())",
        "return [] if os.path.basename(os.getcwd()) == 'req' else [os.getcwd()]",
    ),
    _leaving(
        "an input file that was replaced by a link",
        "os.unlink('given.txt'); os.symlink('/etc/passwd', 'given.txt')",
        "return [] if open('given.txt').read() == 'given' and not os.path.islink('given.txt') else ['link']",
        files=("given.txt",),
    ),
    _leaving(
        "an input file that was replaced by a folder",
        "os.unlink('given.txt'); os.makedirs('given.txt/full')",
        "return [] if open('given.txt').read() == 'given' else ['other']",
        files=("given.txt",),
        then=Ends((Ending.RAISED, Ending.RETURNED)),
    ),
    _leaving(
        "a folder of input files that was replaced by a link out",
        "os.unlink('sub/given.txt'); os.rmdir('sub'); os.symlink(input['folders'][0], 'sub')",
        "return [] if open('sub/given.txt').read() == 'given' else ['other']",
        files=("sub/given.txt",),
        then=_SERVED,
        at={L0: Unpromised("a run may write where the server's user may")},
    ),
    _leaving(
        "a work directory that was replaced by a link out",
        "os.rmdir(os.getcwd()); os.symlink(input['folders'][0], os.path.join(os.path.dirname(tempfile.gettempdir()), 'req'))",
        "return [os.getcwd()]",
        then=_SERVED,
        held=Ends((Ending.RETURNED, Ending.RAISED)),
        at={L0: Unpromised("a run may write where the server's user may")},
    ),
    _leaving("a mask for new files that forbids everything", "os.umask(0o777)", then=_SERVED),
    _leaving("every signal blocked", "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))"),
    _leaving(
        "a timer that goes off between calls",
        "signal.setitimer(signal.ITIMER_REAL, 0.02)",
        "time.sleep(0.1); return []",
        held=_OR_AT_ONCE,
        then=Ends((Ending.RETURNED, Ending.SIGNALLED)),
    ),
    _leaving(
        "a thread that prints between calls",
        "threading.Thread(target=lambda: [os.write(1, b'between') for _ in range(1000)]).start()",
    ),
    _leaving(
        "a thread that ends the process between calls",
        "threading.Timer(0.01, os._exit, [9]).start()",
        "time.sleep(0.05); return []",
        held=_OR_AT_ONCE,
        then=Ends((Ending.RETURNED, Ending.EXITED)),
    ),
    _leaving(
        "a thread that crashes between calls",
        "threading.Timer(0.01, ctypes.string_at, [0]).start()",
        "time.sleep(0.05); return []",
        held=_OR_AT_ONCE,
        then=Ends((Ending.RETURNED, Ending.SIGNALLED)),
    ),
    _leaving(
        "limits lowered to nothing",
        "for name in ('NOFILE', 'FSIZE', 'DATA', 'NPROC', 'STACK'): resource.setrlimit(getattr(resource, 'RLIMIT_' + name), (0, 0))",
        then=_SERVED,
        held=_SERVED,
    ),
    _leaving(
        "a process that waits for the next call",
        """
try:
    if os.fork() == 0:
        os.closerange(0, 3)
        while True: time.sleep(0.01)
except OSError: pass
""",
        then=_SERVED,
    ),
    _leaving(
        "a standard input that is something else",
        "os.close(0); os.open(os.__file__, os.O_RDONLY)",
        "return [sys.stdin.read()] if sys.stdin.read() else []",
    ),
    _leaving(
        "a standard output that leads elsewhere",
        "fd = os.open('stolen', os.O_CREAT | os.O_WRONLY); os.dup2(fd, 1)",
        "print('next'); return [os.path.exists('stolen')] if os.path.exists('stolen') else []",
    ),
    _leaving(
        "modules that were replaced",
        "sys.modules['json'] = sys.modules['os']; import json; sys.modules.pop('json'); del sys.modules['io']",
        then=_SERVED,
    ),
    _leaving(
        "a disk that is full",
        """
try:
    with open('full', 'wb') as stream:
        while True: stream.write(bytes(1 << 20))
except OSError: pass
""",
        then=Ends((Ending.RETURNED, Ending.RAISED)),
        limits={"memory_bytes": 128 << 20},
    ),
    _leaving(
        "memory that is taken",
        """
global held
held = []
try:
    while True: held.append(bytearray(1 << 20))
except MemoryError: pass
held = held[:-8]
""",
        then=_SERVED,
        held=_SERVED,
    ),
)
