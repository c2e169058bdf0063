"""What Domo's packages find in the sandbox: ``codeengine``, and ``axios`` for JavaScript.

Read as text and put beside the code, so standard library only, and trusted for nothing. What a run is told (its
accounts, its execution) comes with the call: in JavaScript as a global, in Python as a module that ``hooks`` makes.
"""
