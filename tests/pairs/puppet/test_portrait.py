import numpy as np
import pytest
from PIL import Image

from synclora.errors import MediaError, Reason
from synclora.pairs.puppet.portrait import default_picture, find_face, load_portrait
from synclora.pairs.puppet.probe import check_puppet
from synclora.pairs.puppet.render import Puppet


def test_the_embedded_portrait_is_ready(stage):
    portrait, puppet, _ = stage.astronaut()
    assert portrait.picture.shape == (stage.SIZE, stage.SIZE, 3)
    assert portrait.points.shape == (478, 3)
    assert 0.3 < portrait.face_width / stage.SIZE < 0.5
    assert portrait.hair.mean() > 0.05
    assert portrait.clothes.mean() > 0.05
    check_puppet(portrait, puppet)


def test_no_face_is_said():
    with pytest.raises(MediaError) as caught:
        find_face(np.full((200, 200, 3), 128, np.uint8))
    assert caught.value.reason is Reason.NO_FACE


def test_two_faces_are_said():
    with pytest.raises(MediaError) as caught:
        find_face(np.hstack([default_picture()[:300, 100:400]] * 2))
    assert caught.value.reason is Reason.TWO_FACES


def test_unreadable_is_said(stage, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    with pytest.raises(MediaError):
        load_portrait(broken, stage.SIZE)


def test_a_small_portrait_in_a_wide_picture_is_found(stage, tmp_path):
    wide = Image.new("RGB", (900, 512), (90, 100, 110))
    wide.paste(Image.fromarray(default_picture()), (200, 0))
    wide.save(tmp_path / "wide.png")
    portrait = load_portrait(tmp_path / "wide.png", stage.SIZE)
    assert 0.3 < portrait.face_width / stage.SIZE < 0.5


@pytest.mark.slow
def test_real_portraits_work_or_say_why(stage):
    outcomes = {}
    for path in sorted(stage.faces_folder().glob("*.jpg")):
        try:
            portrait = load_portrait(path, stage.SIZE)
            check_puppet(portrait, Puppet.of(portrait))
            outcomes[path.stem] = None
        except MediaError as error:
            outcomes[path.stem] = error.reason
    assert sum(reason is None for reason in outcomes.values()) >= 0.8 * len(outcomes), outcomes
    assert outcomes.get("f05_man_sunglasses_beach", Reason.NO_FACE) is Reason.NO_FACE
