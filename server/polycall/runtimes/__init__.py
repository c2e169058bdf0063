"""What code finds beside the standard library: manifests, built environments, and the default packages of Python.

Knows files only: neither the sandbox that builds and runs, nor the store that remembers.
"""
