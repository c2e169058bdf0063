"""The Riza face: code comes with its request and runs at once, in one synchronous call."""
