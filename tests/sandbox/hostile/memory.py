"""Programs that take memory of every kind."""

from __future__ import annotations

from typing import Any

from polycall.sandbox.job import Ending
from tests.sandbox.hostile.catalogue import (
    L0,
    L1,
    L2,
    L3,
    Breaks,
    Ends,
    Expectation,
    Program,
    Returns,
    Unpromised,
    program,
)

__all__ = ["PROGRAMS"]

_NO_TREE = "without a cgroup memory is bounded process by process"
_OUT = Ends((Ending.OUT_OF_MEMORY,))
# What was asked for beyond the limit was refused: the program had at most that, and says so.
_REFUSED = Returns([])


def _grab(name: str, how: str, *, contained: Expectation, without: Expectation, **rest: Any) -> Program:
    """A program that takes 40 pieces of 8 MiB, five times its limit, writes to all of them and keeps them."""
    return program(
        name,
        f"""
import mmap
{how}
def execute(input):
    held = []
    try:
        for _ in range(40):
            held.append(grab(8 << 20))
    except OSError:
        return [] if len(held) < 9 else [len(held)]
    return [len(held)]
""",
        attack="memory of one process",
        held=without,
        at={L3: contained, **rest.pop("at", {})},
        **rest,
    )


PROGRAMS = (
    _grab("objects are bounded", "def grab(n): return bytearray(n)", contained=_OUT, without=_OUT),
    _grab(
        "private mappings are bounded",
        """
def grab(n):
    piece = mmap.mmap(-1, n, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    piece[::4096] = b'x' * (n // 4096)
    return piece
""",
        contained=_REFUSED,
        without=_REFUSED,
    ),
    _grab(
        "shared mappings are bounded",
        """
def grab(n):
    piece = mmap.mmap(-1, n)
    piece[::4096] = b'x' * (n // 4096)
    return piece
""",
        contained=_OUT,
        without=_REFUSED,
    ),
    _grab(
        "anonymous files are bounded",
        """
def grab(n):
    fd = os.memfd_create('x')
    os.write(fd, bytes(n))
    return fd
""",
        contained=_OUT,
        without=_REFUSED,
        at={L0: Breaks("nothing keeps code from making anonymous files, which count against no process")},
    ),
    program(
        "one enormous object is refused",
        "def execute(input): return bytearray(1 << 40)",
        attack="memory of one process",
        held=_OUT,
    ),
    program(
        "a string that doubles is bounded",
        """
        def execute(input):
            text = 'x'
            while True: text += text
        """,
        attack="memory of one process",
        held=_OUT,
    ),
    program(
        "a small archive that unpacks to gigabytes is bounded",
        """
        import zlib
        def execute(input):
            packer = zlib.compressobj(1)
            packed = b''.join(packer.compress(bytes(1 << 20)) for _ in range(128)) + packer.flush()
            return len(zlib.decompress(packed))
        """,
        attack="memory of one process",
        held=_OUT,
    ),
    program(
        "a recursion without end is an error of the code",
        "def execute(input): return execute(input)",
        attack="memory of one process",
        held=Ends((Ending.RAISED,)),
    ),
    program(
        "a recursion in C without end is the end of one process",
        """
        import threading
        def execute(input):
            sys.setrecursionlimit(1 << 30)
            threading.stack_size(32 << 10)
            value = []
            for _ in range(1 << 16): value = [value]
            return repr(value)[:0]
        """,
        attack="memory of one process",
        held=Ends((Ending.SIGNALLED, Ending.RAISED, Ending.OUT_OF_MEMORY)),
    ),
    program(
        "pages that are shared with the zygote cannot be changed for anybody else",
        """
        def execute(input):
            # small integers, interned names and the empty tuple are the zygote's own pages
            for number in range(-5, 257):
                ctypes.memmove(id(number) + 24, (12345).to_bytes(4, 'little'), 4)
            return []
        """,
        attack="memory of another process",
        held=Ends(tuple(Ending)),
    ),
    program(
        "a tree of processes has one memory",
        """
        import time
        def execute(input):
            try:
                for _ in range(8):
                    if os.fork() == 0:
                        held = bytearray(20 << 20)
                        held[::4096] = b'x' * len(held[::4096])
                        time.sleep(30)
            except OSError:
                return []
            time.sleep(1)
            return ['all lived']
        """,
        attack="memory of a tree of processes",
        at={L3: _OUT, L0: Unpromised(_NO_TREE)},
    ),
    program(
        "memory that killed a child is told even if the parent goes on",
        """
        import subprocess
        EAT = "import mmap\\nheld = []\\nwhile True:\\n  held.append(mmap.mmap(-1, 8 << 20))"
        EAT += "\\n  held[-1][::4096] = b'x' * 2048"
        def execute(input):
            try: subprocess.run([sys.executable, '-c', EAT])
            except OSError: return []
            return ['lived']
        """,
        attack="memory of a tree of processes",
        at={L3: _OUT, L0: Unpromised(_NO_TREE)},
    ),
    program(
        "what is written to disk counts as memory",
        """
        import mmap
        def execute(input):
            held = mmap.mmap(-1, 70 << 20)
            held[::4096] = b'x' * (70 << 8)
            for number in range(14):
                with open(str(number), 'wb') as stream: stream.write(bytes(1 << 20))
            return ['both']
        """,
        attack="memory of a tree of processes",
        at={
            L3: _OUT,
            L2: Unpromised("without a cgroup a run may have its memory and its disk in memory, both"),
            L1: Unpromised("the disk is the host's"),
            L0: Unpromised("the disk is the host's"),
        },
    ),
    program(
        "buffers of pipes in the kernel are bounded",
        """
        import fcntl
        def execute(input):
            held, size = [], 0
            try:
                while size < 256 << 20:
                    held.append(os.pipe())
                    capacity = fcntl.fcntl(held[-1][1], 1031, 1 << 20)
                    os.set_blocking(held[-1][1], False)
                    size += os.write(held[-1][1], bytes(1 << 20))
            except OSError:
                pass
            return [] if size <= 64 << 20 else [size]
        """,
        attack="memory of the kernel",
    ),
    program(
        "buffers of sockets in the kernel are bounded",
        """
        import socket
        def execute(input):
            held, size = [], 0
            try:
                while size < 256 << 20:
                    pair = socket.socketpair()
                    held.append(pair)
                    pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30)
                    pair[0].setblocking(False)
                    while True:
                        try: size += pair[0].send(bytes(1 << 16))
                        except BlockingIOError: break
            except OSError:
                pass
            return [] if size <= 64 << 20 else [size]
        """,
        attack="memory of the kernel",
        at={L3: _OUT, L0: Unpromised("nothing keeps code from making the buffers of its sockets larger")},
    ),
    program(
        "timers and other things of the kernel are counted",
        """
        def execute(input):
            nr, made, timer = input['numbers'], 0, ctypes.c_int()
            while made < 5000 and call(nr['timer_create'], 1, None, ctypes.byref(timer)) == 'done':
                made += 1
            return [] if made <= 256 else [made]
        """,
        attack="memory of the kernel",
    ),
    program(
        "memory cannot be pinned",
        """
        def execute(input):
            nr = input['numbers']
            page = ctypes.create_string_buffer(1 << 16)
            return succeeded(
                mlock=lambda: call(nr['mlock'], ctypes.addressof(page), 1 << 16) == 'done',
                mlock2=lambda: call(nr['mlock2'], ctypes.addressof(page), 1 << 16, 0) == 'done',
                mlockall=lambda: call(nr['mlockall'], 7) == 'done',
                huge=lambda: libc.mmap(None, 2 << 20, 3, 0x40022, -1, 0) not in (-1, 0xffffffff) and False,
            )
        """,
        attack="memory of the kernel",
    ),
    program(
        "a table of half a gigabyte cannot be had of the kernel at a word",
        """
        def execute(input):
            PR_FUTEX_HASH, SET_SLOTS = 78, 1
            word = ctypes.c_ulong
            return succeeded(slots=lambda: libc.prctl(PR_FUTEX_HASH, word(SET_SLOTS), word(1 << 23), word(0), word(0)) == 0)
        """,
        attack="memory of the kernel",
        at={L0: Unpromised("no filter of system calls")},
    ),
)
