"""The paper's source of pairs: pictures and videos made by diffusion models.

settings.py    what a recipe says: three models, their pools, the checks, the goal
catalogue.py   prompts/*.yaml and the user's own files: what can be asked for
scenes.py      one scene: everything that is asked of the three models, drawn from the catalogue by seed and number
find.py        a model's name to its folder, its identity and its size; fetched once per machine
model.py       a diffusers pipeline behind one call: orders in, pictures or videos out
call.py        which of a pipeline's own arguments carry which setting
tiny.py        miniatures of the pipelines, random weights
store.py       what was made, under ids made of content
maker.py       one stage: what is there is taken, what is missing is made, in batches that shrink when memory ends
checks.py      cheap checks on still pictures, before anything is animated
halves.py      two pictures side by side, one video cut in two
take.py        a scene on its way through the stages: what passes between workers
funnel.py      how many scenes came how far, why the others did not, at which cost
plan.py        what a run will need, without loading anything
"""
