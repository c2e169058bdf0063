"""What every RPC passes on its way in and out: telemetry, errors, authentication."""
