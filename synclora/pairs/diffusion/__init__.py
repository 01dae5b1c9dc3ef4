"""The paper's source of pairs: pictures and videos made by diffusion models.

What is asked for
    settings.py    what a recipe says: three models, their pools, the checks, the goal
    lists.py       one file of prompts as rows
    catalogue.py   prompts/*.yaml and the user's own files: all that can be asked for
    scenes.py      one scene: everything that is asked of the three models, drawn from the catalogue by seed and number
    plan.py        what a run will need, without loading anything

The models
    find.py        a model's name to its folder, its identity and its size
    index.py       what a model's folder says of itself, and what is refused
    hub.py         a hub's models: looked up, and fetched once per machine
    weights.py     identity and size of weights from their files
    call.py        which of a pipeline's own arguments carry which setting
    quirks.py      what single pipelines need beyond that
    loading.py     a folder to a pipeline
    model.py       a pipeline behind one call: orders in, pictures or videos out
    tiny.py        miniatures of the pipelines, random weights; tiny_text.py their tokenizers

From scene to pair
    take.py        a scene on its way through the stages: what passes between workers
    maker.py       one stage: what is there is taken, what is missing is made
    orders.py      what a stage asks of its model, and the ids of what comes back
    batches.py     batches that shrink when memory ends
    halves.py      two pictures side by side, one video cut in two
    store.py       what was made, under ids made of content
    look.py        what is measured on a still picture
    change.py      how much an edit shows
    checks.py      cheap checks on still pictures, before anything is animated

What came of it
    funnel.py      how many scenes came how far, and why the others did not
    costs.py       what the pictures and videos of a set cost, from the note beside each
"""
