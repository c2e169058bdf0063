"""What is kept: projects, keys, packages, executions. ``protocol`` is what others use; ``sql`` is how it is made."""
