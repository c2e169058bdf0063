"""A Domo Code Engine package: inputs are declared in the manifest and passed by position."""

import os
import sys


def getExecutionDetails(param):
    print(f"called with {param!r}")
    return {"paramName": param, "python": sys.version.split()[0], "process": os.getpid()}


def add(a, b):
    print(f"adding {a} and {b}")
    return a + b
