"""What Python sources say of their functions, read from their text; nothing of them runs.

Standard library only: this package is run in a sandbox (see ``polycall.engine.reader``), for a parser can be made to
take gigabytes, and a compiler minutes.
"""

__all__ = ["SOURCE"]

SOURCE = "source"  # the folder of the source beside this package, in the bundle that is run
