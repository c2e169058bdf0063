"""Telling the outside that an execution has ended: who may be told, what is said, how it is signed and sent."""
