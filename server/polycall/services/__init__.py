"""Native gRPC services: read the request, ask the engine, render its answer. One service a module."""
