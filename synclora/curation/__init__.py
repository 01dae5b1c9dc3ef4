"""Judging a whole set: recipe, store of measurements, the worker that turns a row into a verdict, and what is written at the end.

Plain functions and classes; `jobs/curate.py` wires them to Ray.
"""
