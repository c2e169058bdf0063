"""The Domo face: Code Engine packages, whose released versions have typed functions."""
