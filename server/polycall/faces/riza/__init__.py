"""The Riza face: code that comes with its request, tools, secrets, runtimes, and what was run."""
