"""The Guance face: functions of published scripts, called through the vendor's OpenAPI gateway."""
