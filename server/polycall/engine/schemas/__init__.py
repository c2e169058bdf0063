"""JSON Schema: whether a schema is one, and whether a value fits it.

Standard library only: with expressions (``pattern``) in a schema this runs in a sandbox, for nobody can say how long an
expression of a stranger takes. Numbers are ``Decimal``, whatever they look like: 1 and 1.0 are one number, and none is
too large to be exact.
"""

from __future__ import annotations
