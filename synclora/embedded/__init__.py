"""A small image-to-video backbone of this project's own: LTX-Video's classes, trained on two cores, for portraits of 128x128 and 17 frames.

    python -m synclora.embedded.autoencoder --portraits DIR --out OUT --minutes 60 [--resume]
    python -m synclora.embedded.gate --portraits DIR --vae OUT/vae --out OUT/gate
    python -m synclora.embedded.transformer --portraits DIR --vae OUT/vae --out OUT2 --minutes 60 [--resume]

The rooms, each with a map of its files:

clips/          what is trained on: who is on which side, the square around a face, which clips a step sees
autoencoder/    a command: settings, recipe, model, loss, a step
transformer/    a command, image-to-video on that autoencoder's latents; OUT2 is a backbone that `find_backbone` opens
edits/          edits of real videos and pictures that need no model: for the adapter's training pairs, and for the clips that are measured
evaluation/     measured clips, their videos, scores, intervals and tables; the ablation's training sets
shipping/       what may come with the package, and its card
weights/        the folder that `find_backbone("embedded")` opens, with a card that has all figures

The other commands, in the order of their use:

gate.py         may a transformer be trained on that autoencoder?
faces.py        faces of one side of the split, for the puppets that the adapter is trained on (`jobs/curate.py`, `jobs/train.py`)
joined.py       puppets and real pairs, with edits of real videos, in one table
measure.py      the numbers: how well edits move as their sources do
ablation.py     adapters on sets that differ in the filter alone
ship.py         all of it checked, and put into the package whole

What both trainings share:

runs.py         a run in a given time, taken up again later
moving.py       weights, moments and average from step to step

What was tried is in experiments.md. Ray is not imported here.
"""
