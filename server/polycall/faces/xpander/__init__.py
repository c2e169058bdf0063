"""The xpander face: custom functions whose parameters are the whole request and whose result is the whole answer."""
