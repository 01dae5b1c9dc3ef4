"""Real portraits and their real edits pass; every kind of wrong one is told from them, by the exact word."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from synclora.errors import Reason
from synclora.media.decode import Decoder, Picture
from synclora.pairs.diffusion import checks
from synclora.pairs.diffusion.checks import Checker
from synclora.pairs.diffusion.settings import GenerateSettings, Stage
from synclora.pairs.diffusion.store import MadeStore
from synclora.pairs.diffusion.take import Take
from tests.pairs.diffusion.stand_in import take_of

PORTRAIT, EDIT = "a" * 16, "b" * 16
EDITS = (
    "ginger_beard_man/bandana", "ginger_beard_man/wildfire", "headset_man/noheadset_Ours", "mic_woman/blonde_VACE", "synth_acc1/edited",
    "synth_paired/edited", "synth_rej2/edited", "taichi_man/punk",
)  # fmt: skip


@pytest.fixture(scope="module")
def first(portraits) -> dict[str, Picture]:
    """First frames, by pair."""
    names = {
        *EDITS,
        *(f"{name.split('/')[0]}/source" for name in EDITS),
        "glass_man/source",
        "glasses_man/source",
        "glasses_man/expr_sad",
    }
    with Decoder() as decoder:
        return {name: next(iter(decoder.frames(portraits / "pairs" / f"{name}.mp4", analysis=False))) for name in sorted(names)}


def looked_at(
    out: Path, portrait: Picture | None, edit: Picture | None = None, *, stage: Stage | None = None, **rule: Any
) -> Take:
    """The scene after its checks."""
    store, settings = MadeStore(out), GenerateSettings.model_validate({"checks": rule})
    made = {}
    for one, identity, picture in ((Stage.PORTRAIT, PORTRAIT, portrait), (Stage.EDIT, EDIT, edit)):
        if picture is not None:
            store.put_picture(one, identity, picture, {})
            made[one.value] = identity
    take = replace(take_of(), made=made)
    for one in [stage] if stage else (Stage.PORTRAIT, Stage.EDIT):
        take = Checker(one, settings, out).check(take)
    return take


def source(first: dict[str, Picture], name: str) -> Picture:
    return first[f"{name.split('/')[0]}/source"]


@pytest.mark.parametrize("name", EDITS)
def test_true_pairs_pass(tmp_path, first, name):
    take = looked_at(tmp_path, source(first, name), first[name])
    assert (take.dropped, take.detail) == (None, "")


def shifted(picture: Picture, share: float) -> Picture:
    matrix = np.array([[1, 0, share * picture.shape[1]], [0, 1, 0]])
    return np.asarray(cv2.warpAffine(picture, matrix, picture.shape[1::-1], borderMode=cv2.BORDER_REPLICATE), np.uint8)


def painted_over(picture: Picture) -> Picture:
    picture = picture.copy()
    picture[40:420, 120:420] = 120
    return picture


def joined(picture: Picture, other: Picture) -> Picture:
    """Another person in the lower left quarter."""
    picture, half = picture.copy(), picture.shape[0] // 2
    picture[half:, :half] = cv2.resize(other, (half, half), interpolation=cv2.INTER_AREA)
    return picture


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda first, picture: first["ginger_beard_man/source"], Reason.NO_EDIT),
        (lambda first, picture: shifted(picture, 0.2), Reason.MISALIGNED),
        (lambda first, picture: np.ascontiguousarray(picture[:, ::-1]), Reason.MISALIGNED),
        (lambda first, picture: painted_over(picture), Reason.NO_FACE),
        (lambda first, picture: first["taichi_man/punk"], Reason.MISALIGNED),
    ],
    ids=["copy", "shifted", "mirrored", "painted over", "a stranger elsewhere"],
)
def test_wrong_edits_are_rejected(tmp_path, first, spoil, reason):
    take = looked_at(tmp_path, first["ginger_beard_man/source"], spoil(first, first["ginger_beard_man/bandana"]))
    assert (take.dropped, take.at, take.rejected) == (reason, "edit", True)
    assert take.detail
    assert "\n" not in take.detail


def test_an_edit_that_brought_a_second_person_is_rejected(tmp_path, first):
    edit = joined(first["synth_acc1/edited"], first["mic_woman/source"])
    take = looked_at(tmp_path, first["synth_acc1/source"], edit)
    assert (take.dropped, take.rejected) == (Reason.TWO_FACES, True)


def test_a_stranger_in_the_same_place_is_told_from_an_edit(tmp_path, first):
    take = looked_at(tmp_path, first["mic_woman/source"], first["glasses_man/expr_sad"])
    assert (take.dropped, take.rejected) == (Reason.FACE_LOST, True)
    assert "another person or view" in take.detail


def test_an_edit_whose_face_is_too_small_lost_its_person(tmp_path, first):
    take = looked_at(tmp_path, first["synth_acc1/source"], first["synth_acc1/edited"], stage=Stage.EDIT, min_face=0.25)
    assert take.dropped is Reason.FACE_LOST
    assert "0.20 of the picture's width, less than 0.25" in take.detail


def test_portraits_of_nobody_of_two_and_of_somebody_far_away_are_quarantined(tmp_path, first):
    face = first["taichi_man/source"]
    cases = {
        Reason.NO_FACE: (np.random.default_rng(0).integers(0, 256, (256, 256, 3)).astype(np.uint8), {}, "shows no face"),
        Reason.TWO_FACES: (
            np.hstack([first["ginger_beard_man/source"], first["mic_woman/source"]]), {}, "shows a second face 0.9",
        ),
        "small": (face, {"min_face": 0.3}, "face is 0.18 of the picture's width, less than 0.3"),
    }  # fmt: skip
    for name, (picture, rule, detail) in cases.items():
        take = looked_at(tmp_path / str(name), picture, **rule)
        assert (take.dropped, take.at, take.rejected) == (Reason.NO_FACE if name == "small" else name, "portrait", False)
        assert detail in take.detail
    assert looked_at(tmp_path / "well", face).dropped is None


def test_another_size_of_the_edit_is_no_misalignment(tmp_path, first):
    small = cv2.resize(first["ginger_beard_man/bandana"], (384, 384), interpolation=cv2.INTER_AREA)
    assert looked_at(tmp_path, first["ginger_beard_man/source"], small).dropped is None


def test_other_limits_need_no_mediapipe_and_no_picture(tmp_path, first, monkeypatch):
    portrait, edit = first["ginger_beard_man/source"], first["ginger_beard_man/bandana"]
    take = looked_at(tmp_path, portrait, edit)
    store = MadeStore(tmp_path)
    look = store.look(Stage.EDIT, EDIT)
    assert look
    assert look.faces
    assert len(look.faces) == 1
    assert len(look.faces[0]) == 11
    assert look.change > 0.2
    assert look.likeness > 0.5
    monkeypatch.setattr(checks, "_stills", None)
    monkeypatch.setattr(MadeStore, "picture", None)
    stricter = {"min_edit": 0.9, "min_likeness": 0.99, "max_misalignment": 0.001}
    again = Checker(Stage.EDIT, GenerateSettings.model_validate({"checks": stricter}), tmp_path).check(take)
    assert again.dropped is Reason.NO_EDIT
    assert again.detail.count(";") == 2
    nearer = GenerateSettings.model_validate({"checks": {"min_face": 0.9}})
    assert Checker(Stage.PORTRAIT, nearer, tmp_path).check(take).dropped is Reason.NO_FACE


def test_without_faces_only_the_edit_is_looked_at(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    edit = noise.copy()
    edit[20:40, 20:40] = 0
    assert looked_at(tmp_path / "edited", noise, edit, faces=False).dropped is None
    take = looked_at(tmp_path / "same", noise, noise, faces=False)
    assert (take.dropped, take.detail) == (Reason.NO_EDIT, "edit strength 0.0000 < 0.01: nothing was edited")
    look = MadeStore(tmp_path / "edited").look(Stage.EDIT, EDIT)
    assert look
    assert look.faces is None
    # faces asked for later: it is looked at again
    take = replace(take_of(), made={"portrait": PORTRAIT, "edit": EDIT})
    again = Checker(Stage.EDIT, GenerateSettings(), tmp_path / "edited").check(take)
    look = MadeStore(tmp_path / "edited").look(Stage.EDIT, EDIT)
    assert look
    assert look.faces == ()
    assert again.dropped is None


def test_a_scene_dropped_at_its_edit_has_no_video(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    store, settings = MadeStore(tmp_path), GenerateSettings.model_validate({"checks": {"faces": False}})
    store.put_picture(Stage.PORTRAIT, PORTRAIT, noise, {})
    store.put_picture(Stage.EDIT, EDIT, noise, {})
    take = replace(take_of(), made={"portrait": PORTRAIT, "edit": EDIT, "video": "c" * 16})
    assert Checker(Stage.EDIT, settings, tmp_path).check(take).made == {"portrait": PORTRAIT, "edit": EDIT}


def test_dropped_ones_and_those_without_a_picture_pass(tmp_path):
    checker = Checker(Stage.PORTRAIT, GenerateSettings(), tmp_path)
    dropped = replace(take_of(), made={"portrait": PORTRAIT}).drop(Stage.PORTRAIT, Reason.CRASHED, "a")
    assert checker.check(dropped) == dropped
    assert checker.check(take_of()) == take_of()


def test_a_picture_that_is_gone_or_damaged_is_the_scenes_own_failure(tmp_path, first):
    store, take = MadeStore(tmp_path), replace(take_of(), made={"portrait": PORTRAIT})
    gone = Checker(Stage.PORTRAIT, GenerateSettings(), tmp_path).check(take)
    assert (gone.dropped, gone.rejected) == (Reason.MISSING, False)
    store.put_picture(Stage.PORTRAIT, PORTRAIT, first["taichi_man/source"], {})
    path = store.folder(Stage.PORTRAIT, PORTRAIT) / "picture.png"
    path.write_bytes(path.read_bytes()[:3000])
    assert Checker(Stage.PORTRAIT, GenerateSettings(), tmp_path).check(take).dropped is Reason.BROKEN_MEDIA


def test_a_full_disk_ends_the_run(tmp_path, first, monkeypatch):
    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(MadeStore, "keep_look", full)
    with pytest.raises(OSError, match="No space"):
        looked_at(tmp_path, first["taichi_man/source"])
