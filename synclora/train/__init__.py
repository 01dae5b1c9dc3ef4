"""Latents to a trained adapter.

From a curated set to what is trained on:

curated.py      a curated set as training sees it
clips.py        which frames, which part of the picture, which size
finder.py       what a clip is made of, and whether its latents are there
encoder.py      a clip to latents
latents.py      latents on disk, under ids made of content
index.py        what became of every clip of a set
captions.py     embedded captions on disk
trainset.py     what is trained on, what is held out

From there to an adapter:

recipe.py       every setting of a run
batches.py      which samples a step trains on
step.py         one step's mathematics
strategy.py     how several workers train one adapter: DDP, ZeRO
checkpoint.py   where a run can be taken up again
loop.py         the loop of one worker
ceiling.py      what the bare transformer needs
watch.py        the log

What one looks at, and the result:

preview.py      edits of held-out pairs on the way
validation.py   kept, measured, shown
lora.py         the adapter inside the transformer
adapter.py      its files
card.py         its card
tensorfile.py   safetensors, the same bytes for the same content
closing.py      how a run ends
command.py, outdir.py    the command line, the output folder

jobs/train.py wires them to Ray.
"""
