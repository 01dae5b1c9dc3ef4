"""A small image-to-video backbone of this project's own: LTX-Video's classes, trained on two cores, for portraits of 128x128 and 17 frames.

    python -m synclora.embedded.autoencoder --portraits DIR --out OUT --minutes 60 [--resume]
    python -m synclora.embedded.gate --portraits DIR --vae OUT/vae --out OUT/gate
    python -m synclora.embedded.transformer --portraits DIR --vae OUT/vae --out OUT2 --minutes 60 [--resume]

Clips to train on:

split.py        who is trained on, who is watched, who is held out
origin.py       real videos and puppets, as pictures
crop.py         the square around a face; eyes and lips in it
cache.py        all clips, cut once
clips.py        which clips a step sees

The autoencoder:

settings.py     every setting; autoencoder.yaml is the recipe of the shipped weights
model.py        its shape; a model's files
start.py        a start from principal components
loss.py         what a reconstruction is asked for
optimizer.py    how weights move
training.py     a step
runs.py         a run in a given time, taken up again later: the transformer's too
moving.py       weights, moments and average from step to step: the transformer's too
autoencoder.py  the command
gate.py         the command: may a transformer be trained on it?

The transformer, image-to-video on that autoencoder's latents:

transformer_settings.py   every setting; transformer.yaml is the recipe of the shipped weights
latents.py                training clips, encoded once
latents_scale.py          how large each latent channel is made
flow.py                   which frames are given, the noise, the loss
transformer_optimizer.py  how weights move
transformer_training.py   a step
transformer_watch.py      fixed clips: losses, and what is made of first frames
transformer.py            the command; OUT is a backbone that `find_backbone` opens

What comes with the package:

weights/        the folder that `find_backbone("embedded")` opens, if it was shipped
shipped.py      what may be shipped
card.py         its card
ship.py         the command: checked, and put there whole

The adapter on it, made by `jobs/curate.py` and `jobs/train.py`, and what it does:

faces.py        the command: faces of one side of the split, for puppets
joined.py       the command: puppets and real pairs, with twins of real videos (twins.py) and edits drawn on them (drawn.py), in one table
measure.py      the command: the numbers, on measure_sets.py's clips (still.py draws edits on real first frames), made by measure_make.py,
                scored by measure_score.py, with measure_stats.py's intervals, in measure_report.py's tables
ablation.py     the command: adapters on sets that differ in the filter alone (ablation_sets.py)

Ray is not imported here.
"""
