"""The Cognite Functions face: functions that are called by number, answered with 201, and asked about afterwards."""
