"""What a stage's model is asked for one scene, and under which id the answer lies.

identity = identity_of(take, Stage.EDIT, settings, found, store)      # reads no picture
order = order_of(take, Stage.EDIT, settings, store)                   # the portrait among it
"""

from synclora.errors import MediaError, Reason
from synclora.media.decode import Picture
from synclora.pairs.diffusion.find import Found
from synclora.pairs.diffusion.halves import brought, side_by_side
from synclora.pairs.diffusion.model import Order
from synclora.pairs.diffusion.settings import GenerateSettings, Stage
from synclora.pairs.diffusion.store import MadeStore, made_id, stage_seed
from synclora.pairs.diffusion.take import Scene, Take

INPUTS = {Stage.PORTRAIT: (), Stage.EDIT: (Stage.PORTRAIT,), Stage.VIDEO: (Stage.PORTRAIT, Stage.EDIT)}
"""The pictures that a stage is given."""


def identity_of(take: Take, stage: Stage, settings: GenerateSettings, found: Found, store: MadeStore) -> str:
    """The id of what the stage makes of the scene.

    Raises:
        MediaError: MISSING, a picture that it is made of is not there.
    """
    digests = []
    for given in INPUTS[stage]:
        identity = take.made.get(given.value, "")
        digests.append(store.digest(given, identity) if identity else "")
        if not digests[-1]:
            raise MediaError(Reason.MISSING, f"the scene's {given.value} {identity or '(none)'} is not in the store; run again")
    prompt, seed = prompt_of(take.scene, stage), stage_seed(take.scene.seed, stage)
    return made_id(stage, found.identity, settings.stage(stage), prompt, seed, digests)


def order_of(take: Take, stage: Stage, settings: GenerateSettings, store: MadeStore) -> Order:
    """What the model is given: words, seed and picture, the picture at the size that is asked for.

    Raises:
        MediaError: a picture that it is made of is not there, or damaged.
    """
    work = settings.stage(stage)
    pictures = [store.picture(given, take.made[given.value]) for given in INPUTS[stage]]
    return Order(prompt_of(take.scene, stage), stage_seed(take.scene.seed, stage), _joined(pictures, work.width, work.height))


def _joined(pictures: list[Picture], width: int, height: int) -> Picture | None:
    if not pictures:
        return None
    return brought(pictures[0], width, height) if len(pictures) == 1 else side_by_side(pictures[0], pictures[1], width, height)


def prompt_of(scene: Scene, stage: Stage) -> str:
    """What the stage's model is told."""
    return {Stage.PORTRAIT: scene.portrait, Stage.EDIT: scene.instruction, Stage.VIDEO: scene.performance}[stage]
