"""What an operator's Prometheus reads of a server."""
