"""A small image-to-video backbone of this project's own: LTX-Video's classes, trained on two cores, for portraits of 128x128 and 17 frames.

    python -m synclora.embedded.autoencoder --portraits DIR --out OUT --minutes 60 [--resume]
    python -m synclora.embedded.gate --portraits DIR --vae OUT/vae --out OUT/gate

Clips to train on:

split.py        who is trained on, who is watched, who is held out
origin.py       real videos and puppets, as pictures
crop.py         the square around a face; eyes and lips in it
cache.py        all clips, cut once
clips.py        which clips a step sees

The autoencoder:

settings.py     every setting; autoencoder.yaml is the recipe of the shipped weights
model.py        its shape, its files
start.py        a start from principal components
loss.py         what a reconstruction is asked for
optimizer.py    how weights move
training.py     a step, the state, the average
autoencoder.py  the command: a run in a given time, taken up again later
gate.py         the command: may a transformer be trained on it?

What comes with the package:

weights/        the folder that `find_backbone("embedded")` opens, if it was shipped
shipped.py      what may be shipped
card.py         its card
ship.py         the command: checked, and put there whole

To come: the transformer (`transformer.py`: image-to-video on this autoencoder's latents), the adapter on it (`jobs/train.py` makes it), and the
weights of all three with a card, as package data. Ray is not imported here.
"""
