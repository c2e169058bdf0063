"""The verbs (interface first; see the module's implementation below)."""
