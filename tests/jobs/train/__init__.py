"""A package, so that its run ends with it."""
