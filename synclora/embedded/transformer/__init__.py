"""The transformer: `LTXVideoTransformer3DModel`, image-to-video, trained on an autoencoder's latents.

    python -m synclora.embedded.transformer --portraits DIR --vae AE/vae --out OUT --minutes 60 [--resume]

settings.py     every setting; recipe.yaml is the recipe of the shipped weights
latents.py      training clips, encoded once
scale.py        how large each latent channel is made
flow.py         which frames are given, the noise, the loss
optimizer.py    how weights move
training.py     a step
watch.py        fixed clips: losses, and what is made of first frames
__main__.py     the command
"""
