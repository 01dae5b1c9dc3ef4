"""What is trained on: real clips and puppets, cut around the face.

settings.py     how clips are cut, and changed before a step sees them
split.py        who is trained on, who is watched, who is held out
origin.py       real videos and puppets, as pictures
crop.py         the square around a face; eyes and lips in it
cache.py        all clips, cut once
feed.py         which clips a step sees, and how they are changed
"""
