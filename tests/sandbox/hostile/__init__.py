"""Hostile programs as data, the places where they are tried, and what is looked at from outside afterwards.

``catalogue`` says what a program is; the modules named by category hold them. ``places`` starts a server's sandbox in a
process of its own at every level that the machine can give, as root and as an ordinary user; ``traces`` is what must be
the same before and after. ``tests/sandbox/test_hostile.py`` puts them together.
"""
