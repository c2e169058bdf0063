"""The gateway: Envoy, configured from the descriptor set and its annotations."""
