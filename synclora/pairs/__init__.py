"""Where pairs come from: folders, side-by-side videos, tables, a puppet (later: a diffusion pipeline)."""
