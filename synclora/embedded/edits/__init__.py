"""Edits of real videos and pictures that need no model: the motion stays the video's own.

twins.py        whole videos in another light or colour
still.py        the puppet's catalogue (hair, hat, beard, ...), drawn onto one picture
paint.py        face paint of any colour at any place
drawn.py        both, drawn on every frame of a video
"""
