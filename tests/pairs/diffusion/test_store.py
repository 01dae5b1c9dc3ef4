"""Whole or not there: ids, renames, torn folders, full disks, two writers."""

import errno
import json
import threading
from pathlib import Path

import numpy as np
import pytest

from synclora.curation.outdir import CURATION
from synclora.errors import MediaError, Reason
from synclora.media.decode import Decoder
from synclora.outdir import open_output
from synclora.pairs.diffusion import store as module
from synclora.pairs.diffusion.look import Look
from synclora.pairs.diffusion.settings import ModelSettings, Pool, Stage, VideoSettings
from synclora.pairs.diffusion.store import EDITED, SOURCE, MadeStore, made_id, stage_seed

ID = "ab" + "0" * 14
MODEL = ModelSettings(model="house/a", width=64, height=64)
PICTURE = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)


def files(out: Path) -> list[str]:
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())


def test_a_picture_comes_back_as_it_was(tmp_path):
    store = MadeStore(tmp_path)
    assert not store.has(Stage.EDIT, ID)
    assert store.facts(Stage.EDIT, ID) == {}
    assert store.digest(Stage.EDIT, ID) == ""
    store.put_picture(Stage.EDIT, ID, PICTURE, {"prompt": "a hat"})
    assert store.has(Stage.EDIT, ID)
    assert (store.picture(Stage.EDIT, ID) == PICTURE).all()
    facts = store.facts(Stage.EDIT, ID)
    assert (facts["stage"], facts["prompt"], facts["width"], facts["height"]) == ("edit", "a hat", 64, 48)
    assert files(tmp_path) == [f"generated/edit/ab/{ID}/made.json", f"generated/edit/ab/{ID}/picture.png"]
    assert not store.has(Stage.PORTRAIT, ID)


def test_halves_are_encoded_once_and_have_their_frames(tmp_path):
    store = MadeStore(tmp_path)
    frames = np.stack([np.full((64, 64, 3), 20 * number, np.uint8) for number in range(9)])
    store.put_video(ID, frames, 255 - frames, 16, 12, {})
    assert store.has(Stage.VIDEO, ID)
    with Decoder() as decoder:
        for name, expected in ((SOURCE, frames), (EDITED, 255 - frames)):
            video = decoder.frames(store.folder(Stage.VIDEO, ID) / name)
            pictures = np.stack(list(video))
            assert (len(pictures), video.info.fps) == (9, 16)
            assert abs(pictures.astype(int) - expected).max() <= 3


def test_without_a_picture_there_is_one_word(tmp_path):
    with pytest.raises(MediaError) as caught:
        MadeStore(tmp_path).picture(Stage.EDIT, ID)
    assert caught.value.reason is Reason.MISSING


@pytest.mark.parametrize("harm", ["shorter", "gone", "no facts", "odd facts"])
def test_a_torn_folder_is_made_again(tmp_path, harm):
    store = MadeStore(tmp_path)
    store.put_picture(Stage.EDIT, ID, PICTURE, {})
    picture, made = store.folder(Stage.EDIT, ID) / "picture.png", store.folder(Stage.EDIT, ID) / "made.json"
    if harm == "shorter":
        picture.write_bytes(picture.read_bytes()[:100])
    elif harm == "gone":
        picture.unlink()
    else:
        made.write_text("{" if harm == "no facts" else "[1]")
    assert not store.has(Stage.EDIT, ID)
    store.put_picture(Stage.EDIT, ID, PICTURE, {})
    assert store.has(Stage.EDIT, ID)
    assert (store.picture(Stage.EDIT, ID) == PICTURE).all()
    assert len(files(tmp_path)) == 2


def test_whoever_comes_second_finds_the_first_ones(tmp_path):
    store, start = MadeStore(tmp_path), threading.Barrier(4)

    def put(shade: int) -> None:
        start.wait()
        store.put_picture(Stage.EDIT, ID, np.full((32, 32, 3), shade, np.uint8), {"shade": shade})

    threads = [threading.Thread(target=put, args=(shade,)) for shade in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shade = store.facts(Stage.EDIT, ID)["shade"]
    assert (store.picture(Stage.EDIT, ID) == shade).all()
    store.put_picture(Stage.EDIT, ID, PICTURE, {"shade": 99})
    assert store.facts(Stage.EDIT, ID)["shade"] == shade
    assert len(files(tmp_path)) == 2


@pytest.mark.parametrize("at", ["picture", "rename"])
def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch, at):
    def full(*_arguments: object, **_named: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    store = MadeStore(tmp_path)
    monkeypatch.setattr(*((module.Image.Image, "save") if at == "picture" else (Path, "rename")), full)
    with pytest.raises(OSError, match="No space"):
        store.put_picture(Stage.EDIT, ID, PICTURE, {})
    monkeypatch.undo()
    assert not list((tmp_path / "generated" / "edit" / "ab").iterdir())


def test_what_a_killed_run_leaves_is_hidden_and_swept(tmp_path, monkeypatch):
    store = MadeStore(tmp_path / "out")
    with open_output(tmp_path / "out", CURATION):
        store.put_picture(Stage.EDIT, ID, PICTURE, {})
        monkeypatch.setattr(module.shutil, "rmtree", lambda *_a, **_k: None)  # killed before it could clear up
        monkeypatch.setattr(MadeStore, "_place", lambda *_a: None)
        store.put_picture(Stage.EDIT, "ab" + "1" * 14, PICTURE, {})
        monkeypatch.undo()
    folder = store.folder(Stage.EDIT, ID).parent
    assert len(list(folder.iterdir())) == 2
    with open_output(tmp_path / "out", CURATION):
        assert list(folder.iterdir()) == [store.folder(Stage.EDIT, ID)]


def test_looks_lie_beside_the_picture(tmp_path):
    store, look = MadeStore(tmp_path), Look(64, 48, (((1.0, 2.0), (3.5, 4.0)),), 0.1, 0.2)
    store.keep_look(Stage.EDIT, ID, look)  # no picture: none is kept, and nothing is raised
    assert store.look(Stage.EDIT, ID) is None
    store.put_picture(Stage.EDIT, ID, PICTURE, {})
    store.keep_look(Stage.EDIT, ID, look)
    assert store.look(Stage.EDIT, ID) == look
    assert store.has(Stage.EDIT, ID)
    path = store.folder(Stage.EDIT, ID) / "look.json"
    for text in ("", "[]", json.dumps(json.loads(path.read_text()) | {"format": 0}), '{"format": 1}'):
        path.write_text(text)
        assert store.look(Stage.EDIT, ID) is None


def test_ids_hold_what_the_result_depends_on_and_nothing_else():
    def named(**changes: object) -> str:
        words = {"stage": Stage.EDIT, "identity": "m", "settings": MODEL, "prompt": "p", "seed": 1, "inputs": ["aa"]}
        return made_id(**(words | changes))  # type: ignore[arg-type]

    same = MODEL.model_copy(update={"model": "/elsewhere", "pool": Pool(gpus=0.25, batch=4), "offload": "model", "expect_s": 1.0})
    assert named() == named(settings=same) == named(inputs=[b"\xaa"])
    others = [
        named(stage=Stage.PORTRAIT), named(identity="n"), named(prompt="q"), named(seed=2), named(inputs=["ab"]), named(inputs=[]),
        named(settings=MODEL.model_copy(update={"steps": 5})), named(settings=VideoSettings(model="a", width=128, height=64)),
    ]  # fmt: skip
    assert len({named(), *others}) == 1 + len(others)
    assert len(named()) == 16
    assert int(named(), 16) >= 0


def test_each_stage_draws_its_own_seed():
    seeds = [stage_seed(seed, stage) for seed in (0, 1) for stage in Stage]
    assert len(set(seeds)) == 6
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert stage_seed(7, Stage.EDIT) == 2614637933
