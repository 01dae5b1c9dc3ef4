"""A name to a backbone: what is found, and the one line for what is not."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub.constants as hub
import pytest
import torch

from synclora.backbone.base import Backbone, BackboneError
from synclora.backbone.find import find_backbone
from synclora.backbone.kinds import LTX2, LTXVideo


def _line(name: str) -> str:
    with pytest.raises(BackboneError) as caught:
        find_backbone(name)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(f"backbone {name}: ")
    return line


@pytest.fixture
def copy(backbone: Backbone, tmp_path: Path) -> Path:
    return Path(shutil.copytree(backbone.folder, tmp_path / "model"))


def test_miniatures_are_found_and_marked_random(ltx_video, ltx2):
    assert (type(ltx_video), ltx_video.kind, ltx_video.name, ltx_video.random) == (LTXVideo, "ltx-video", "tiny:ltx-video", True)
    assert (type(ltx2), ltx2.kind, ltx2.name, ltx2.random) == (LTX2, "ltx-2", "tiny:ltx-2", True)


def test_a_folder_that_save_pretrained_wrote_is_a_backbone(backbone, copy, tokens_of):
    found = find_backbone(str(copy))
    assert (type(found), found.name, found.random) == (type(backbone), str(copy), False)
    assert found.folder.is_absolute()
    tokens, caption = tokens_of(), found.caption("3d1t").expand(2)
    with torch.no_grad():
        ours, theirs = (one.stream(torch.float32, "cpu", "shared").velocity(tokens, caption) for one in (found, backbone))
    assert torch.equal(ours, theirs)


def test_the_text_encoder_may_be_missing_until_a_caption_is_wanted(copy):
    shutil.rmtree(copy / "text_encoder")
    found = find_backbone(str(copy))
    found.codec(torch.float32, "cpu")
    with pytest.raises(BackboneError, match=r"^backbone .*model: no text_encoder/config.json; give a whole folder"):
        found.caption("3d1t")


def test_an_unknown_miniature():
    assert "no such miniature; choose tiny:ltx-video or tiny:ltx-2" in _line("tiny:wan")


@pytest.mark.parametrize("name", ["/no/such/folder", "./models/ltx", "~/ltx", "ltx", "a/b/c"])
def test_a_missing_folder(name):
    assert "no such folder; give an existing folder, a hub id (owner/name) or tiny:ltx-video" in _line(name)


def test_a_foreign_folder(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    assert "no transformer/config.json; give a whole folder in diffusers' layout" in _line(str(tmp_path))


def test_pickled_weights_only(copy):
    weights = next((copy / "transformer").glob("*.safetensors"))
    weights.rename(weights.with_suffix(".bin"))
    assert "transformer holds no .safetensors; convert it, other formats can run code" in _line(str(copy))


def test_a_model_of_another_kind(copy):
    config = copy / "transformer" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "_class_name": "WanTransformer3DModel"}))
    line = _line(str(copy))
    assert "a WanTransformer3DModel; this project knows LTXVideoTransformer3DModel, LTX2VideoTransformer3DModel" in line


def test_a_broken_configuration(copy):
    (copy / "transformer" / "config.json").write_text('{"_class_name": "LTX')
    assert "transformer/config.json is no JSON" in _line(str(copy))


@pytest.fixture
def offline_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def test_a_hub_id_comes_from_the_hub_s_cache(ltx2, offline_hub):
    repository = offline_hub / "models--someone--ltx"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    shutil.copytree(ltx2.folder, repository / "snapshots" / ("0" * 40))
    found = find_backbone("someone/ltx")
    assert (found.kind, found.name, found.random) == ("ltx-2", "someone/ltx", False)
    assert torch.equal(found.caption("3d1t").embeds_bld, ltx2.caption("3d1t").embeds_bld)


def test_a_hub_id_that_cannot_be_fetched(offline_hub):
    assert "no such folder, and the hub does not give it (" in _line("someone/ltx")


def test_a_backbone_is_found_without_the_libraries_of_its_parts():
    """Every process of a cluster does this; diffusers, transformers and peft are four seconds of a processor."""
    code = """
import sys
from synclora.backbone.find import find_backbone
import synclora.train.lora
for name in ("tiny:ltx-video", "tiny:ltx-2"):
    find_backbone(name, shared=True)
print([name for name in ("diffusers", "transformers", "peft", "tokenizers", "torch._dynamo") if name in sys.modules])
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100)
    assert said.stdout == "[]\n"
