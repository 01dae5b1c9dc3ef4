"""Edits of real videos and pictures that need no model: the motion stays the video's own.

twins.py        whole videos in another light or colour
still.py        the puppet's catalogue (hair, hat, beard, ...), drawn onto one picture
drawn.py        the same, drawn on every frame of a video
"""
