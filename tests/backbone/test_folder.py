"""A folder of the embedded backbone's layout: what it was trained on, its one caption, its shards; and the package's own, where it is."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from synclora.backbone import folder as folders
from synclora.backbone.base import Backbone, BackboneError
from synclora.backbone.find import find_backbone
from synclora.backbone.folder import EMBEDDED, Trained, adapters_of, embedded_folder, weights_digest
from synclora.train.tensorfile import write_tensors
from tests.embedded.small import TRAINED, write_adapter, write_small


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small(tmp_path_factory.mktemp("small"))


@pytest.fixture
def copy(small: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small, tmp_path / "model"))


def test_it_is_a_backbone_by_its_path(small):
    found = find_backbone(str(small))
    assert (found.kind, found.random, found.adapters) == ("ltx-video", False, None)
    assert found.trained == Trained(**TRAINED)
    codec = found.codec(torch.float32, "cpu")
    assert (codec.stride_t, codec.stride_s, codec.channels) == (4, 16, 12)
    latents = codec.encode(torch.rand(1, 3, 17, 128, 128) * 2 - 1)
    assert latents.shape == (1, 12, 5, 8, 8)
    assert latents.isfinite().all()


def test_a_released_model_says_nothing_of_the_kind(ltx_video):
    assert (ltx_video.trained, ltx_video.adapters, ltx_video.wordless) == (None, None, False)


def test_every_text_gives_the_one_caption_and_no_text_encoder_is_loaded(small, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)  # whoever imports it now fails
    found = find_backbone(str(small))
    assert found.wordless
    one, other, empty = (found.caption(text, "cpu", torch.bfloat16) for text in ("3d1t", "a man with a red hat", ""))
    assert one.embeds_bld.dtype == torch.bfloat16
    assert (one.embeds_bld.shape, one.mask_bl.tolist()) == ((1, 4, 8), [[1, 1, 1, 1]])
    assert torch.equal(one.embeds_bld, other.embeds_bld)
    assert torch.equal(one.embeds_bld, empty.embeds_bld)


def test_a_text_encoder_goes_before_the_one_caption(ltx_video, copy):
    for part in ("text_encoder", "tokenizer"):
        shutil.copytree(ltx_video.folder / part, copy / part)
    found = find_backbone(str(copy))
    assert not found.wordless
    assert found.caption("3d1t").embeds_bld.shape == (1, 256, 64)


@pytest.mark.parametrize(
    ("tensors", "why"),
    [
        ({"embeds": torch.zeros(1, 4, 8)}, "mask"),
        ({"embeds": torch.zeros(1, 4, 8), "mask": torch.ones(1, 5)}, "not (1, l, d) and (1, l)"),
        ({"embeds": torch.zeros(4, 8), "mask": torch.ones(4)}, "not (1, l, d) and (1, l)"),
        ({"embeds": torch.full((1, 4, 8), torch.nan), "mask": torch.ones(1, 4)}, "not finite"),
        ({"embeds": torch.zeros(1, 4, 8), "mask": torch.zeros(1, 4)}, "leaves nothing"),
    ],
)
def test_a_caption_that_is_none(copy, tensors, why):
    write_tensors(copy / "caption.safetensors", tensors, {})
    with pytest.raises(BackboneError, match=r"caption.safetensors cannot be loaded .*; mend the folder") as caught:
        find_backbone(str(copy)).caption("3d1t")
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "JSON"),
        ("[]", "TypeError"),
        ('{"made_by": {}}', "KeyError 'trained'"),
        (json.dumps({"trained": TRAINED | {"width": 0}}), "trained.width: input should be greater than or equal to 1"),
        (json.dumps({"trained": TRAINED | {"depth": 3}}), "trained.depth: extra inputs are not permitted"),
    ],
)
def test_a_model_json_that_makes_no_sense(copy, text, why):
    (copy / "model.json").write_text(text)
    with pytest.raises(BackboneError, match=r"model.json does not say what it was trained on .*; write width") as caught:
        _ = find_backbone(str(copy)).trained
    assert why in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_shared_memory_gives_what_plain_loading_of_half_precision_shards_gives(copy, tmp_path, monkeypatch, dtype):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert len(list((copy / "transformer").glob("*.safetensors"))) == 2
    plain, mapped = (find_backbone(str(copy), shared=shared) for shared in (False, True))
    for load in (lambda one: one.stream(dtype, "cpu", "shared").transformer, lambda one: one.codec(dtype, "cpu").vae):
        theirs, ours = (load(one).state_dict() for one in (plain, mapped))
        assert theirs.keys() == ours.keys()
        assert all(torch.equal(theirs[name], ours[name]) and ours[name].dtype == dtype for name in theirs)
    made = sorted(path.name.rsplit("-", 1)[0] for path in (tmp_path / "cache" / "synclora" / "weights").glob("[!.]*"))
    assert made == [f"{part}-{'f32' if dtype == torch.float32 else 'bf16'}" for part in ("transformer", "vae")]


def test_the_digest_is_of_the_weights_alone(small, copy):
    before = weights_digest(small)
    (copy / "model.json").write_text("{}")
    write_adapter(copy / "adapters" / "one", small)
    assert weights_digest(copy) == before
    write_tensors(copy / "caption.safetensors", {"embeds": torch.zeros(1, 4, 8), "mask": torch.ones(1, 4)}, {})
    assert weights_digest(copy) != before


def test_the_name_is_the_packages_own_folder(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / EMBEDDED).mkdir()  # a folder of that name where one happens to be is not meant
    monkeypatch.setattr(folders, "embedded_folder", lambda: small)
    found = find_backbone(EMBEDDED)
    assert (found.name, found.folder, found.random) == (EMBEDDED, small, False)


@pytest.mark.parametrize("left", ["nothing", "adapters", "vae"])
def test_without_the_weights_it_says_what_would_do(tmp_path, monkeypatch, left):
    (tmp_path / left).mkdir()
    monkeypatch.setattr(folders, "embedded_folder", lambda: tmp_path)
    with pytest.raises(
        BackboneError, match=r"^backbone embedded: its weights are not in this installation .*or choose tiny:"
    ) as it:
        find_backbone(EMBEDDED)
    assert "\n" not in str(it.value)


def test_the_folder_is_known_without_torch(small):
    code = "import sys; from pathlib import Path; from synclora.backbone.folder import adapters_of, embedded_folder, trained_of\n"
    code += f"assert trained_of('x', Path({str(small)!r})).frames == 17; assert adapters_of('tiny:ltx-video') is None\n"
    code += "assert embedded_folder().parent.name == 'embedded'; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


@pytest.fixture(scope="session")
def shipped() -> Backbone:
    if not (embedded_folder() / "vae").is_dir():
        pytest.skip(f"no weights in {embedded_folder()}: none were shipped with this checkout")
    return find_backbone(EMBEDDED)


def test_the_shipped_weights_load_and_have_the_documented_sizes(shipped):
    assert shipped.trained == Trained(**TRAINED)
    codec, stream = shipped.codec(torch.float32, "cpu"), shipped.stream(torch.float32, "cpu", "shared")
    assert (codec.stride_t, codec.stride_s, codec.channels, stream.channels) == (4, 16, 128, 128)
    assert shipped.caption("3d1t").embeds_bld.shape[-1] == stream.transformer.config.caption_channels
    sizes = {file: file.stat().st_size for file in shipped.folder.rglob("*") if file.is_file()}
    assert max(sizes.values()) <= 16_000_000
    assert sum(size for file, size in sizes.items() if file.parent.name in ("vae", "transformer")) <= 48_000_000
    assert {file.suffix for file in sizes} == {".safetensors", ".json", ".md"}


def test_the_shipped_adapters_were_made_for_the_shipped_weights(shipped):
    from synclora.train.adapter import load_adapter
    from synclora.train.lora import ready_lora

    folder = adapters_of(EMBEDDED)
    if folder is None:
        pytest.skip("no adapters were shipped with these weights")
    for path in sorted(folder.iterdir()):
        state, metadata = load_adapter(path)
        assert (metadata.base_model, metadata.base_digest) == (EMBEDDED, weights_digest(shipped.folder))
        ready_lora(shipped.stream(torch.float32, "cpu", "shared"), state, metadata.alpha, metadata.attention_mode)
