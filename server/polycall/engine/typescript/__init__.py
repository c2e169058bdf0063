"""What TypeScript and JavaScript sources say of their functions, read from their text; nothing of them runs.

Run in a sandbox, as its counterpart for Python is. Standard library and tree-sitter only.
"""
