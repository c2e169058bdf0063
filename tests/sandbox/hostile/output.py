"""Programs that print too much, too little, or at the wrong time."""

from __future__ import annotations

from polycall.sandbox.job import Ending
from tests.sandbox.hostile.catalogue import Ends, Returns, program

__all__ = ["PROGRAMS"]

_TIMED_OUT = Ends((Ending.TIMED_OUT,))
_FLOODED = Ends((Ending.OUTPUT_TOO_LARGE,))

PROGRAMS = (
    program(
        "a flood of output is ended",
        """
        def execute(input):
            while True: os.write(1, b'x' * 65536)
        """,
        attack="flood of output",
        held=_FLOODED,
    ),
    program(
        "a flood of errors by many threads is ended",
        """
        import threading
        def flood():
            while True: os.write(2, b'y' * 65536)
        def execute(input):
            for _ in range(4): threading.Thread(target=flood, daemon=True).start()
            flood()
        """,
        attack="flood of output",
        held=_FLOODED,
    ),
    program(
        "output without an end of line is cut at its limit",
        """
        def execute(input):
            for _ in range(40): sys.stdout.write('z' * (1 << 16))
            return 'done'
        """,
        attack="flood of output",
        held=Returns("done"),
    ),
    program(
        "output that trickles for ever is ended in time",
        """
        import time
        def execute(input):
            while True:
                os.write(1, b'.')
                time.sleep(0.001)
        """,
        attack="flood of output",
        held=_TIMED_OUT,
        limits={"timeout_ms": 200},
    ),
    program(
        "a closed output is no trouble",
        """
        def execute(input):
            sys.stdout.close()
            os.close(2)
            return 'done'
        """,
        attack="flood of output",
        held=Returns("done"),
        warm=True,
        then=Ends((Ending.RETURNED, Ending.RAISED)),
    ),
    program(
        "output that is no text is output",
        r"""
        def execute(input):
            os.write(1, bytes(range(256)) * 16 + b'\xed\xa0\x80\xff\xfe')
            os.write(2, b'\x1b]0;title\x07\x1b[2J\x1b[6n')
            return 'done'
        """,
        attack="hostile texts",
        held=Returns("done"),
    ),
    program(
        "a pipe that is made larger and filled before the answer holds up nothing",
        """
        import fcntl
        def execute(input):
            try: fcntl.fcntl(1, 1031, 1 << 20)
            except OSError: pass
            os.set_blocking(1, False)
            try:
                while True: os.write(1, b'q' * 65536)
            except BlockingIOError: pass
            return 'done'
        """,
        attack="flood of output",
        held=Ends((Ending.RETURNED, Ending.OUTPUT_TOO_LARGE)),
    ),
    program(
        "output made non-blocking or read by the run itself is the run's own loss",
        """
        def execute(input):
            os.set_blocking(1, False)
            os.write(1, b'first')
            try:
                fd = os.open('/proc/self/fd/1', os.O_RDONLY | os.O_NONBLOCK)
                os.read(fd, 100)
            except OSError:
                pass
            return 'done'
        """,
        attack="flood of output",
        held=Returns("done"),
    ),
)
