"""The autoencoder: `AutoencoderKLLTXVideo`, trained from principal components on.

    python -m synclora.embedded.autoencoder --portraits DIR --out OUT --minutes 60 [--resume]

settings.py     every setting; recipe.yaml is the recipe of the shipped weights
model.py        its shape; a model's files
start.py        a start from principal components
loss.py         what a reconstruction is asked for
optimizer.py    how weights move
training.py     a step
__main__.py     the command
"""
