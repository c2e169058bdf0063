"""Programs that end in every way there is."""

from __future__ import annotations

from polycall.domain import Reason
from polycall.sandbox.job import Ending
from tests.sandbox.hostile.catalogue import L0, L1, Ends, Returns, Unpromised, program

__all__ = ["PROGRAMS"]

PROGRAMS = (
    program(
        "a crash is told as what it was",
        "def execute(input): ctypes.string_at(0)",
        attack="crash, abort, exit",
        held=Ends((Ending.SIGNALLED,), signal=11),
    ),
    program(
        "a crash starts no program of the host",
        """
        import resource
        def execute(input):
            # 1 is the one limit that the kernel heeds where it pipes memory to a program (fs/coredump.c)
            return [] if resource.getrlimit(resource.RLIMIT_CORE) == (1, 1) else [resource.getrlimit(resource.RLIMIT_CORE)]
        """,
        attack="crash, abort, exit",
    ),
    program(
        "abort is told as a signal",
        "def execute(input): os.abort()",
        attack="crash, abort, exit",
        # the first process of a pid namespace ignores SIGABRT from itself and runs into a trap
        held=Ends((Ending.SIGNALLED,), signal=11),
        at={L1: Ends((Ending.SIGNALLED,), signal=6), L0: Ends((Ending.SIGNALLED,), signal=6)},
    ),
    program(
        "an illegal instruction is told as what it was",
        """
        import mmap
        def execute(input):
            page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
            page.write(b'\\x0f\\x0b' * 8 if os.uname().machine == 'x86_64' else bytes(16))
            ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
        """,
        attack="crash, abort, exit",
        held=Ends((Ending.SIGNALLED,), signal=4),
    ),
    program(
        "a crash in a thread is told",
        """
        import threading
        def execute(input):
            threading.Thread(target=ctypes.string_at, args=(0,)).start()
            while True: pass
        """,
        attack="crash, abort, exit",
        held=Ends((Ending.SIGNALLED,), signal=11),
    ),
    program(
        "a crash while the answer is made is told",
        """
        class Trap(dict):
            def items(self): ctypes.string_at(0)
        def execute(input): return Trap(a=1)
        """,
        attack="crash, abort, exit",
        held=Ends((Ending.SIGNALLED,), signal=11),
        warm=True,
        then=Ends((Ending.SIGNALLED,), signal=11),
    ),
    program(
        "leaving in the middle is told with its code",
        "def execute(input): os._exit(77)",
        attack="crash, abort, exit",
        held=Ends((Ending.EXITED,), exit_code=77, reason=Reason.USER_EXIT),
        warm=True,
        then=Ends((Ending.EXITED,), exit_code=77),
    ),
    program(
        "leaving at once with zero is no result",
        "os._exit(0)",
        attack="crash, abort, exit",
        held=Ends((Ending.EXITED,), exit_code=0, reason=Reason.USER_EXIT),
    ),
    program(
        "leaving from a thread is told",
        """
        import threading
        def execute(input):
            threading.Thread(target=os._exit, args=(5,)).start()
            while True: pass
        """,
        attack="crash, abort, exit",
        held=Ends((Ending.EXITED,), exit_code=5),
    ),
    program(
        "sys.exit in a thread ends that thread alone",
        """
        import threading
        def execute(input):
            thread = threading.Thread(target=sys.exit, args=(5,))
            thread.start()
            thread.join()
            return 'went on'
        """,
        attack="crash, abort, exit",
        held=Returns("went on"),
    ),
    program(
        "an exit code that is none is one",
        "def execute(input): raise SystemExit({'code': object()})",
        attack="crash, abort, exit",
        held=Ends((Ending.EXITED,), exit_code=1),
    ),
    program(
        "a keyboard interrupt and a generator's exit are exceptions like others",
        "def execute(input): raise KeyboardInterrupt",
        attack="crash, abort, exit",
        held=Ends((Ending.RAISED,), reason=Reason.USER_EXCEPTION),
    ),
    program(
        "killing itself is told",
        """
        import signal, time
        def execute(input):
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
        """,
        attack="crash, abort, exit",
        # the first process of a pid namespace cannot be killed from within
        held=Ends((Ending.TIMED_OUT,)),
        at={L1: Ends((Ending.SIGNALLED,), signal=9), L0: Ends((Ending.SIGNALLED,), signal=9)},
        limits={"timeout_ms": 200},
    ),
    program(
        "another program in its place is no answer",
        """
        def execute(input): os.execv('/bin/sh', ['sh', '-c', 'echo {}; exit 42'])
        """,
        attack="crash, abort, exit",
        held=Ends((Ending.EXITED,), exit_code=42),
        at={L1: Ends((Ending.RAISED,))},
    ),
    program(
        "a thread that lives on holds up nothing",
        """
        import threading, time
        def execute(input):
            threading.Thread(target=time.sleep, args=(600,)).start()
            return 'answered'
        """,
        attack="crash, abort, exit",
        held=Returns("answered"),
    ),
    program(
        "a child that holds the output open holds up nothing",
        """
        import time
        def execute(input):
            try:
                if os.fork() == 0:
                    time.sleep(60)
                    os._exit(0)
            except OSError:
                pass
            os._exit(3)
        """,
        attack="crash, abort, exit",
        held=Ends((Ending.EXITED,), exit_code=3),
        at={L0: Unpromised("nothing keeps code from forking")},
    ),
    program(
        "an exit code that a child made is not the run's",
        """
        def execute(input):
            try:
                if os.fork() == 0: os._exit(55)
                os.wait()
            except OSError:
                pass
            return 'mine'
        """,
        attack="crash, abort, exit",
        held=Returns("mine"),
    ),
)
