import numpy as np
import pytest

from synclora.pairs.puppet.edits import EDITS
from synclora.pairs.puppet.render import Look
from synclora.pairs.puppet.script import Script


@pytest.mark.parametrize("name", EDITS)
def test_every_choice_shows_and_keeps_the_face(stage, name):
    portrait, puppet, plain = stage.astronaut()
    script = Script.random(11, 16, stage.FPS)
    before = puppet.frame(plain, script, 0).astype(float)
    for index, choice in enumerate(EDITS[name].choices):
        look = EDITS[name].draw(portrait, choice, np.random.default_rng(index))
        layers = puppet.dress(look)
        after = puppet.frame(layers, script, 0).astype(float)
        moved = np.abs(after - before).max(axis=-1) > 25
        assert moved.mean() > 0.004, f"{name} {choice}: {moved.mean():.4f} of the picture differs"
        if index == 0:
            assert all(p is not None for p in stage.landmarks(puppet.frames(layers, script)))


@pytest.mark.parametrize("name", EDITS)
def test_edits_are_deterministic_and_leave_the_portrait_alone(stage, name):
    portrait, _, _ = stage.astronaut()
    original = portrait.picture.copy()
    choice = EDITS[name].choose(np.random.default_rng(1))
    a, b = (EDITS[name].draw(portrait, choice, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(a.picture, b.picture)
    assert np.array_equal(portrait.picture, original)
    assert choice in EDITS[name].caption(choice)


def test_glasses_leave_the_eyes_clear(stage):
    portrait, _, _ = stage.astronaut()
    look = EDITS["glasses"].draw(portrait, "brown", np.random.default_rng(0))
    for iris in (468, 473):
        x, y = portrait.points[iris, :2].round().astype(int)
        assert look.worn is not None
        assert look.worn[y, x, 3] < 30


def test_a_look_as_it_is_has_nothing_worn(stage):
    portrait, _, _ = stage.astronaut()
    assert Look.of(portrait).worn is None
