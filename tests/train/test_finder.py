"""Ids are of content: everything that latents depend on changes them, nothing else does."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from synclora.backbone.find import find_backbone
from synclora.errors import MediaError, Reason
from synclora.train.clips import EncodeSettings
from synclora.train.curated import read_set
from synclora.train.finder import Finder, codec_fingerprint
from synclora.train.latents import LatentStore
from tests.train.sets import add_pair, finish

PLAIN = EncodeSettings(buckets=("128x128x9",))
CUT = PLAIN.model_copy(update={"face_share": 0.6})


@pytest.fixture(scope="module")
def backbone():
    return find_backbone("tiny:ltx-video")


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    (one,) = read_set(finish(folder, [add_pair(folder, "a", frames=27, size=(192, 128))]))
    return one


def identity(backbone, sample, settings=PLAIN, window=0, **how):
    return Finder(backbone, settings, LatentStore(Path("nowhere")), **how).clip(sample, window).id


def test_an_id_is_sixteen_digits_and_always_the_same(backbone, sample):
    first = identity(backbone, sample)
    assert len(first) == 16
    int(first, 16)
    assert identity(backbone, sample) == first


def moved(sample, folder):
    paths = {half: folder / f"{half}.mp4" for half in ("source", "edited")}
    for half, path in paths.items():
        shutil.copy(getattr(sample, half), path)
    return replace(sample, **paths)


def test_words_and_places_are_no_part_of_it(backbone, sample, tmp_path):
    other = replace(moved(sample, tmp_path), pair_id="b", name="other", caption="other", sync=None)
    assert identity(backbone, other) == identity(backbone, sample)


def test_all_that_latents_depend_on_changes_it(backbone, sample, tmp_path):
    def with_byte(half):
        other = moved(sample, tmp_path)
        with getattr(other, half).open("ab") as file:
            file.write(b"\0\0\0\x08free")
        return other

    far = tuple((x + 0.5, y) for x, y in sample.face)
    ids = [
        identity(backbone, sample),
        identity(backbone, replace(sample, source=sample.edited, edited=sample.source)),
        identity(backbone, with_byte("source")),
        identity(backbone, with_byte("edited")),
        identity(backbone, replace(sample, face=far)),
        identity(backbone, sample, PLAIN.model_copy(update={"crop": "center"})),
        identity(backbone, sample, PLAIN.model_copy(update={"face_share": 0.5})),
        identity(backbone, sample, PLAIN.model_copy(update={"face_share": 0.6})),
        identity(backbone, sample, EncodeSettings(buckets=("128x128x17",))),
        identity(backbone, sample, EncodeSettings(buckets=("192x128x9",))),
        identity(backbone, sample, PLAIN.model_copy(update={"dtype": "bfloat16"})),
        identity(backbone, sample, PLAIN.model_copy(update={"windows_per_pair": 2}), window=1),
        identity(backbone, sample, device="cuda"),
        identity(backbone, sample, PLAIN.model_copy(update={"dtype": "float32"}), device="cuda"),
    ]
    assert len(set(ids)) == len(ids)


def test_only_cut_latents_tell_of_a_share(backbone, sample):
    made_of = [Finder(backbone, one, LatentStore(Path("nowhere"))).clip(sample, 0).made_of for one in (PLAIN, CUT)]
    assert ["face_share" in one for one in made_of] == [False, True]
    assert made_of[1]["face_share"] == "0.6"


def test_settings_that_change_nothing_keep_it(backbone, sample):
    same = EncodeSettings(buckets=("512x512x81", "128x128x9"), windows_per_pair=3, dtype="float32")
    assert identity(backbone, sample, same) == identity(backbone, sample)


def test_the_codec_is_its_weights_and_its_configuration(backbone, tmp_path):
    folder = tmp_path / "vae"
    shutil.copytree(backbone.folder / "vae", folder)
    first = codec_fingerprint(backbone.folder / "vae")
    assert codec_fingerprint(folder) == first
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"_diffusers_version": "0.1", "_name_or_path": "/elsewhere"}))
    assert codec_fingerprint(folder) == first
    (folder / "config.json").write_text(json.dumps(config | {"scaling_factor": 2.0}))
    assert codec_fingerprint(folder) != first
    (folder / "config.json").write_text(json.dumps(config))
    (weights,) = folder.glob("*.safetensors")
    state = load_file(weights)
    name = next(iter(state))
    save_file({**state, name: torch.nextafter(state[name], torch.tensor(9.0))}, weights)
    assert codec_fingerprint(folder) != first


def test_what_can_never_be_encoded_is_found_without_trying(backbone, sample, tmp_path):
    store = LatentStore(tmp_path)
    finder = Finder(backbone, PLAIN, store)
    assert finder.find(sample) is None
    gone = finder.find(replace(sample, edited=tmp_path / "none.mp4"))
    assert (gone.outcome, gone.reason, gone.detail) == ("dropped", Reason.MISSING, "edited none.mp4: no such file")
    short = Finder(backbone, EncodeSettings(buckets=("128x128x81",)), store).find(sample)
    assert (short.outcome, short.reason) == ("dropped", Reason.TOO_SHORT)
    assert "add the bucket 128x128x25" in short.detail
    faceless = Finder(backbone, CUT, store).find(replace(sample, face=None))
    assert (faceless.outcome, faceless.reason) == ("dropped", Reason.NO_FACE)


def test_a_folder_in_place_of_a_video_is_unreadable(backbone, sample, tmp_path):
    with pytest.raises(MediaError) as error:
        identity(backbone, replace(sample, source=tmp_path))
    assert error.value.reason is Reason.UNREADABLE
