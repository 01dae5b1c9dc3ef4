"""Sync-LoRA: portrait video editing that stays on the beat.

The method itself, over numpy and paths. Nothing in this package imports ray: everything here runs in a notebook.
"""

__version__ = "0.1.0"
