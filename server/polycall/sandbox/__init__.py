"""Sandboxed processes: zygote, children, isolation levels, limits, wire frames.

What a zygote loads of this package (``kernel``, ``policy``, ``landlock``, ``rootfs``, ``confine``, ``zygote``,
``probe`` and ``inside``) imports the standard library only: a zygote runs without site-packages, and what it has
loaded every run would carry. Hence nothing is re-exported here; see ``polycall.sandbox.sandbox`` and ``.job``.
"""
