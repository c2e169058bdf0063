"""Faces: the vendors' REST contracts, adapted to the engine."""
