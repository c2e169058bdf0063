"""The fork server's process: started by exec, enters its namespaces, stays tiny.

Run as ``python -I -S zygote.py <control fd> <none | own | range> <first uid> <uids>``: without namespaces, with the
server's own uid in them, or with a range of the host's. Standard library only. This first process only waits for the
one that serves, which is PID 1 of the new pid namespace: so it loads next to nothing.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

if __name__ == "__main__":
    # -I -S leaves no way to find this package but the place of this very file
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from polycall.sandbox import kernel, userns

__all__ = ["main"]


def main(control_fd: int, kind: str, uids: range) -> NoReturn:
    """Be a zygote on a control socket."""
    if kind != "none":
        # without namespaces there is more to end than this process: the end of the control socket tells
        kernel.die_with_parent()
    if kind == "range":
        userns.enter_range(uids, userns.ALL_NAMESPACES)
    elif kind == "own":
        userns.enter_single(0, userns.ALL_NAMESPACES)
    if kind != "none":
        process = os.fork()
        if process:
            os.close(control_fd)
            os.waitpid(process, 0)
            os._exit(0)
        kernel.die_with_parent()

    from polycall.sandbox.nursery import Nursery

    nursery = Nursery(control_fd)
    if kind != "none":
        nursery.move_in(kind == "range")
    nursery.prepare()
    nursery.run()


if __name__ == "__main__":
    first, count = int(sys.argv[3]), int(sys.argv[4])
    main(int(sys.argv[1]), sys.argv[2], range(first, first + count))
