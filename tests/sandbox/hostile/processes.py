"""Programs that multiply, that will not end, and that reach for other processes."""

from __future__ import annotations

from polycall.sandbox.job import Ending
from tests.sandbox.hostile.catalogue import L0, L1, Breaks, Ends, Unpromised, program

__all__ = ["PROGRAMS"]

_NO_TREE = "nothing keeps code from forking, and no limit holds for a tree of processes"
_SAME_USER = "code may do what the user may whose process it is"
_SEEN = "processes of the host can be seen, though not read"
_TIMED_OUT = Ends((Ending.TIMED_OUT,))
_BRIEF = {"timeout_ms": 200}

PROGRAMS = (
    program(
        "a fork bomb is bounded and swept away",
        """
        import time
        def execute(input):
            made = 0
            try:
                while made < 200:
                    if os.fork() == 0:
                        time.sleep(60)
                    made += 1
            except OSError:
                pass
            return [] if made < 32 else [made]
        """,
        attack="fork bomb",
        at={L0: Unpromised(_NO_TREE)},
    ),
    program(
        "a fork bomb that never stops is ended",
        """
        def execute(input):
            while True:
                try: os.fork()
                except OSError: pass
        """,
        attack="fork bomb",
        # whichever limit it meets first: its time, or the memory of the whole tree
        held=Ends((Ending.TIMED_OUT, Ending.OUT_OF_MEMORY)),
        at={L0: Unpromised(_NO_TREE)},
        limits={"timeout_ms": 250},
    ),
    program(
        "processes that start each other and die are ended with the run",
        """
        def execute(input):
            def chase():
                for _ in range(300):
                    if os.fork():
                        os._exit(0)
            try:
                if os.fork() == 0:
                    chase()
                    while True: pass
            except OSError:
                pass
            return []
        """,
        attack="fork bomb",
        at={L0: Unpromised(_NO_TREE)},
    ),
    program(
        "a thread bomb is bounded",
        """
        import threading, time
        def execute(input):
            made = 0
            try:
                while made < 2000:
                    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
                    made += 1
            except RuntimeError:
                pass
            return [] if made < 64 else [made]
        """,
        attack="thread bomb",
    ),
    program(
        "a daemon that forked twice, left its session and ignores signals does not outlive its run",
        """
        import signal, time
        def execute(input):
            try:
                if os.fork() == 0:
                    os.setsid()
                    if os.fork() == 0:
                        for number in (1, 2, 15):
                            signal.signal(number, signal.SIG_IGN)
                        os.closerange(0, 5000)
                        while True: time.sleep(1)
                    os._exit(0)
            except OSError:
                pass
            return []
        """,
        attack="process that outlives its run",
        at={L0: Unpromised(_NO_TREE)},
    ),
    program(
        "a program of the system that is left running does not outlive its run",
        """
        import subprocess
        def execute(input):
            try:
                subprocess.Popen(['sh', '-c', 'trap "" TERM HUP; sleep 613 & sleep 613'], start_new_session=True)
            except OSError:
                pass
            return []
        """,
        attack="process that outlives its run",
        at={L0: Unpromised(_NO_TREE)},
    ),
    program(
        "a child that shares everything with its parent but its id does not outlive its run",
        """
        def execute(input):
            CLONE_VM, CLONE_FILES, CLONE_PARENT, CLONE_UNTRACED, SIGCHLD = 0x100, 0x400, 0x8000, 0x800000, 17
            for flags in (CLONE_PARENT, CLONE_FILES | CLONE_UNTRACED, CLONE_PARENT | CLONE_FILES):
                child = libc.syscall(ctypes.c_long(input['numbers']['clone']), ctypes.c_long(flags | SIGCHLD), 0, 0, 0, 0)
                if child == 0:
                    while True: pass
            return []
        """,
        attack="process that outlives its run",
        at={L0: Unpromised(_NO_TREE)},
    ),
    program(
        "ignoring every signal does not help",
        """
        import signal, time
        def execute(input):
            for number in range(1, 65):
                try: signal.signal(number, signal.SIG_IGN)
                except (OSError, ValueError): pass
            while True: time.sleep(1)
        """,
        attack="run that will not end",
        held=_TIMED_OUT,
        limits=_BRIEF,
    ),
    program(
        "blocking every signal in every thread does not help",
        """
        import signal, threading
        def spin():
            signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
            while True: pass
        def execute(input):
            for _ in range(4): threading.Thread(target=spin, daemon=True).start()
            spin()
        """,
        attack="run that will not end",
        held=_TIMED_OUT,
        limits=_BRIEF,
    ),
    program(
        "stopping itself does not help",
        """
        import signal, time
        def execute(input):
            os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(60)
        """,
        attack="run that will not end",
        held=_TIMED_OUT,
        limits=_BRIEF,
    ),
    program(
        "a call into C that never returns is ended",
        """
        import re
        def execute(input):
            return re.match('(a+)+$', 'a' * 64 + 'b') and []
        """,
        attack="run that will not end",
        held=_TIMED_OUT,
        limits=_BRIEF,
    ),
    program(
        "waiting for a lock that nobody gives is ended",
        """
        import threading
        def execute(input):
            lock = threading.Lock()
            lock.acquire()
            lock.acquire()
        """,
        attack="run that will not end",
        held=_TIMED_OUT,
        limits=_BRIEF,
    ),
    program(
        "an import that never ends is ended",
        "while True: pass",
        attack="run that will not end",
        held=_TIMED_OUT,
        limits=_BRIEF,
    ),
    program(
        "no other process is in sight",
        """
        def execute(input):
            seen = {name for name in os.listdir('/proc') if name.isdigit()} - {str(os.getpid())}
            return sorted(seen)
        """,
        attack="list of processes",
        at={L1: Ends((Ending.RAISED,)), L0: Breaks(_SEEN)},
    ),
    program(
        "signals reach nobody else",
        """
        def execute(input):
            others = {-1, 1, 2, os.getppid(), input['server'], input['neighbour'], *input['family']}
            others = {pid for pid in others if pid != os.getpid() and pid != 0}
            def reach(pid):
                os.kill(pid, 0)
                return True
            if input['level'] > 1:
                # in a namespace of its own the host's numbers are others': nobody there has them
                others -= {-1}
            return sorted(pid for pid in others if succeeded(it=lambda: reach(pid)))
        """,
        attack="signal to another process",
        at={L0: Breaks(_SAME_USER)},
    ),
    program(
        "killing everybody kills nobody else",
        """
        import signal
        def execute(input):
            succeeded(all=lambda: os.kill(-1, signal.SIGKILL), group=lambda: os.killpg(0, 0))
            return []
        """,
        attack="signal to another process",
        at={L0: Unpromised(_SAME_USER)},
    ),
    program(
        "no other process is reached by any call that takes a number",
        """
        import resource, struct
        def execute(input):
            nr, done = input['numbers'], []
            buffer = ctypes.create_string_buffer(256)
            vector = struct.pack('QQ', ctypes.addressof(buffer), 8)
            for pid in {os.getppid(), input['server'], input['neighbour']} - {os.getpid(), 0}:
                done += [[name, pid] for name, result in {
                    'prlimit64': call(nr['prlimit64'], pid, 7, None, buffer),
                    'sched_setaffinity': call(nr['sched_setaffinity'], pid, 8, b'\\xff' * 8),
                    'setpriority': call(nr['setpriority'], 0, pid, 19),
                    'ioprio_set': call(nr['ioprio_set'], 1, pid, 0x6000),
                    'tkill': call(nr['tkill'], pid, 0),
                    'tgkill': call(nr['tgkill'], pid, pid, 0),
                    'pidfd_open': call(nr['pidfd_open'], pid, 0),
                    'process_vm_readv': call(nr['process_vm_readv'], pid, vector, 1, vector, 1, 0),
                    'ptrace attach': call(nr['ptrace'], 16, pid, 0, 0),
                    'ptrace seize': call(nr['ptrace'], 0x4206, pid, 0, 0),
                    'kcmp': call(nr['kcmp'], os.getpid(), pid, 2, 0, 0),
                    'migrate_pages': call(nr['migrate_pages'], pid, 8, b'\\1' + b'\\0' * 7, b'\\1' + b'\\0' * 7),
                    'rt_sigqueueinfo': call(nr['rt_sigqueueinfo'], pid, 0, buffer),
                    'process_mrelease': call(nr['process_mrelease'], pid, 0),
                }.items() if result == 'done']
            return done
        """,
        attack="debugging and tuning of another process",
        at={L0: Unpromised(_SAME_USER)},
    ),
    program(
        "nobody's priority is changed but its own, and that not for the better",
        """
        def execute(input):
            nr = input['numbers']
            def better(call): call(); return True
            return succeeded(
                nice=lambda: better(lambda: os.nice(-5)),
                fifo=lambda: better(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))),
                lock=lambda: call(nr['mlockall'], 3) == 'done',
                io=lambda: call(nr['ioprio_set'], 1, 0, 0x2000) == 'done',
                users=lambda: call(nr['setpriority'], 2, os.getuid(), -1) == 'done',
            )
        """,
        attack="debugging and tuning of another process",
        at={L0: Unpromised("the priority of input and output is its own to choose")},
    ),
    program(
        "no descriptor of another process comes over a socket",
        """
        def execute(input):
            SOL_SOCKET, SO_PASSPIDFD, SO_PEERPIDFD, SO_PEERGROUPS = 1, 76, 77, 59
            found, length, on = (ctypes.c_int * 64)(), ctypes.c_int(), ctypes.c_int(1)
            done = []
            for fd in range(5000):
                for name in (SO_PEERPIDFD, SO_PEERGROUPS):
                    length.value = 256 if name == SO_PEERGROUPS else 4
                    if libc.getsockopt(fd, SOL_SOCKET, name, found, ctypes.byref(length)) == 0: done.append([fd, name])
                if libc.setsockopt(fd, SOL_SOCKET, SO_PASSPIDFD, ctypes.byref(on), 4) == 0: done.append([fd, 'pass'])
            return done
        """,
        attack="debugging and tuning of another process",
        at={L0: Unpromised(_SAME_USER)},
    ),
)
