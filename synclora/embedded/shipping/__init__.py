"""Weights that come with the package; `ship.py` beside this room is the command.

checks.py       what may be shipped
card.py         its card
"""
