"""The editor on a backbone of the embedded one's layout: bounded by what it was trained on, with the adapters that come with it."""

import shutil
from pathlib import Path

import pytest
import torch

from serve.settings import ServiceSettings
from synclora.edit.editor import Editor
from synclora.edit.library import AdapterLibrary
from synclora.edit.progress import Progress
from synclora.edit.request import EditRequest
from synclora.edit.result import EditResult
from synclora.edit.settings import EditSettings
from synclora.errors import MediaError
from synclora.media.decode import Decoder
from synclora.pairs.puppet.portrait import load_portrait
from synclora.pairs.puppet.render import Look, Puppet
from synclora.pairs.puppet.script import Script
from tests.edit.conftest import first_picture, grey, save
from tests.embedded.small import write_adapter, write_small
from tests.media.conftest import encode

QUICK = EditSettings(steps=1, preset="ultrafast", crf=35)
"""What decides the shape of the work is left at its default: 512x512 pixels, windows of 81 frames that overlap by 17."""


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_small(tmp_path_factory.mktemp("models") / "small")
    for name, mode in (("sync-lora", "shared"), ("sync-lora-causal-source", "causal-source")):
        write_adapter(folder / "adapters" / name, folder, mode)
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A puppet, two windows long."""
    portrait = load_portrait(None, 256)
    puppet = Puppet.of(portrait)
    pictures = list(puppet.frames(puppet.dress(Look.of(portrait)), Script.random(3, 24, 25)))
    return encode(tmp_path_factory.mktemp("clip") / "puppet.mp4", pictures, fps=25)


@pytest.fixture(scope="module")
def first(clip: Path) -> Path:
    return save(grey(first_picture(clip)), clip.with_name("first.png"))


@pytest.fixture(scope="module")
def editor(backbone: Path, landmarker, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        with Editor(str(backbone), settings=QUICK, landmarker=landmarker) as one:
            yield one


@pytest.fixture(scope="module")
def edited(editor: Editor, clip: Path, first: Path) -> tuple[EditResult, list[Progress], Path]:
    """An edit of which nothing is asked."""
    told: list[Progress] = []
    out = clip.with_name("edited.mp4")
    return editor.edit(EditRequest(source=clip, first_frame=first), out, told.append), told, out


def test_a_puppet_is_edited_within_what_was_seen(edited):
    result, told, out = edited
    assert (result.frames, result.adapter, result.prompt, result.random_base) == (24, "sync-lora", "3d1t", False)
    assert result.working_size == "128x128"
    assert {now.windows for now in told if now.stage == "sampling"} == {2}  # 17 frames, and 15 of which 8 are new
    with Decoder() as decoder:
        assert len(list(decoder.frames(out, analysis=False))) == 24


def test_the_bare_model_is_bounded_too(editor, clip, first, tmp_path, monkeypatch):
    encoded = []
    encode_pictures = type(editor._engine).encode
    monkeypatch.setattr(
        type(editor._engine), "encode", lambda self, pictures: encoded.append(len(pictures)) or encode_pictures(self, pictures)
    )
    result = editor.edit(EditRequest(source=clip, first_frame=first, adapter="none"), tmp_path / "edited.mp4")
    assert (result.adapter, result.working_size) == ("none", "128x128")
    assert sorted(encoded) == [1, 9, 17, 17]  # of either window the source; the first frame, then nine frames of what was made


def test_the_prompt_changes_nothing(editor, edited, clip, first, tmp_path):
    request = EditRequest(source=clip, first_frame=first, prompt="a man with a red hat")
    assert editor.edit(request, tmp_path / "other.mp4").prompt == "a man with a red hat"
    assert (tmp_path / "other.mp4").read_bytes() == edited[2].read_bytes()


def test_its_caption_is_its_own_whoever_else_would_embed_one(backbone):
    def never(_text):
        raise AssertionError("asked for a caption")

    with Editor(str(backbone), captions=never) as editor:
        assert torch.equal(editor._engine._caption("3d1t").embeds_bld, editor._engine.backbone.caption("").embeds_bld)


def test_another_caption_in_the_same_place_is_seen(backbone, tmp_path, monkeypatch):
    from synclora.train.tensorfile import write_tensors

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    copy = shutil.copytree(backbone, tmp_path / "model")
    seen = []
    for value in (0.25, 0.5):
        write_tensors(copy / "caption.safetensors", {"embeds": torch.full((1, 4, 8), value), "mask": torch.ones(1, 4)}, {})
        with Editor(str(copy)) as editor:
            seen.append(float(editor._engine._caption("3d1t").embeds_bld.mean()))
    assert seen == [0.25, 0.5]


def test_adapters_that_come_with_it_are_known_beside_a_librarys(backbone, tmp_path, editor):
    assert [info.name for info in editor.adapters()] == ["sync-lora", "sync-lora-causal-source"]
    mine = tmp_path / "mine"
    write_adapter(mine / "look", backbone)
    write_adapter(mine / "sync-lora", backbone, caption="of my own")
    with Editor(str(backbone), library=AdapterLibrary(mine)) as other:
        assert {info.name: info.caption for info in other.adapters()} == {
            "look": "3d1t",
            "sync-lora": "of my own",
            "sync-lora-causal-source": "3d1t",
        }


def test_a_folder_where_one_works_is_not_taken_for_the_usual_adapter(backbone, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sync-lora").mkdir()
    with Editor(str(backbone), paths=True) as editor:
        assert editor._of_library(editor._default).path == backbone / "adapters" / "sync-lora"
        with pytest.raises(MediaError, match="bad_adapter"):
            editor._info("sync-lora")  # asked for by a word that is also a folder, the folder is meant


def test_the_service_offers_them_and_takes_the_usual_one(backbone, tmp_path):
    settings = ServiceSettings(data=tmp_path, backbone=str(backbone))
    assert settings.usual_adapter == "sync-lora"
    assert settings.library.names() == ["sync-lora", "sync-lora-causal-source"]
    assert settings.model_copy(update={"default_adapter": "none"}).usual_adapter == "none"
    plain = ServiceSettings(data=tmp_path, backbone="tiny:ltx-video")
    assert (plain.usual_adapter, plain.library.names()) == ("none", [])
