"""A package, so that its cluster ends with it."""
