"""polycall: one function engine, many contracts."""

__version__ = "0.1.0"
