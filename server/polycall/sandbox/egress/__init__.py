"""The way out of a sandbox: an HTTP proxy in the server that each run has for itself.

A sandbox has no network but a loopback of its own. A child of the egress class listens there and hands the socket to
the server, which accepts connections on it: the socket itself says whose they are, so there is no token that could be
forged or stolen. Names are resolved, addresses checked, credentials added here, outside.
"""
