"""A package, so that its warm Ray ends with it."""
