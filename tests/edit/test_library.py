"""Adapters by their headers: ours, the authors', strange and hostile ones. No torch is imported on the way."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from synclora.edit.library import RELEASED, AdapterLibrary, read_info
from synclora.errors import MediaError, Reason
from synclora.train.adapter import AdapterMetadata, save_adapter
from synclora.train.tensorfile import write_tensors

pytestmark = pytest.mark.timeout(60)


def lora(rank=4, prefix="diffusion_model.", width=64, layer="transformer_blocks.0.attn1.to_q"):
    shapes = {f"{prefix}{layer}.lora_A.weight": (rank, width), f"{prefix}{layer}.lora_B.weight": (width, rank)}
    return {name: torch.zeros(shape) for name, shape in shapes.items()}


def ours(folder: Path, **other) -> Path:
    fields = {
        "base_model": "tiny:ltx-video",
        "kind": "ltx-video",
        "rank": 4,
        "alpha": 4,
        "frames": 17,
        "width": 128,
        "height": 128,
    }
    fields |= {"fps_min": 24, "fps_max": 25, "caption": "3d1t", "attention_mode": "causal-source", "steps": 5, "trained_pairs": 2}
    fields |= {"first_frame_probability": 1.0, "recipe": "0123456789ab", "random_base": True}
    save_adapter(folder, lora(prefix=""), AdapterMetadata.model_validate(fields | other))
    return folder


def refused(path: Path) -> str:
    with pytest.raises(MediaError) as caught:
        read_info(path, path.stem)
    assert caught.value.reason is Reason.BAD_ADAPTER
    assert "\n" not in str(caught.value)
    return caught.value.detail


def test_a_trained_one_tells_everything(tmp_path):
    ours(tmp_path / "may-lora")
    library = AdapterLibrary(tmp_path)
    assert library.names() == ["may-lora"]
    info = library.info("may-lora")
    assert (info.kind, info.attention_mode, info.caption, info.rank) == ("ltx-video", "causal-source", "3d1t", 4)
    assert (info.frames, info.width, info.height, info.base_model, info.random_base) == (17, 128, 128, "tiny:ltx-video", True)
    assert info.path == tmp_path / "may-lora"
    assert library.all() == [info]


def test_the_released_one_is_known_by_its_file(tmp_path):
    write_tensors(tmp_path / f"{RELEASED}.safetensors", lora(rank=8, width=4096), {})
    info = AdapterLibrary(tmp_path).info(RELEASED)
    assert (info.kind, info.attention_mode, info.caption, info.rank) == ("ltx-2", "shared", "3d1t", 8)
    assert AdapterLibrary(tmp_path).info(f"{RELEASED}.safetensors") == info


@pytest.mark.parametrize(
    ("layer", "width", "name", "kind"),
    [
        ("transformer_blocks.0.audio_attn1.to_q", 2048, "x", "ltx-2"),
        ("transformer_blocks.0.video_to_audio_attn.to_q", 4096, "x", "ltx-2"),
        ("transformer_blocks.0.attn1.to_q", 2048, "x", "ltx-video"),
        ("transformer_blocks.0.attn1.to_q", 4096, "x", ""),
        ("transformer_blocks.0.attn1.to_q", 4096, "my-ltx2-look", "ltx-2"),
    ],
)
def test_the_kind_of_a_foreign_one_is_read_from_its_layers(tmp_path, layer, width, name, kind):
    write_tensors(tmp_path / f"{name}.safetensors", lora(width=width, layer=layer), {})
    info = AdapterLibrary(tmp_path).info(name)
    assert (info.kind, info.caption, info.attention_mode) == (kind, None, "shared")


def test_a_sidecar_speaks_for_a_foreign_one(tmp_path):
    write_tensors(tmp_path / "look.safetensors", lora(width=4096), {})
    (tmp_path / "look.json").write_text(json.dumps({"caption": "in-context edit", "mode": "causal-source", "kind": "ltx-2"}))
    info = AdapterLibrary(tmp_path).info("look")
    assert (info.caption, info.attention_mode, info.kind) == ("in-context edit", "causal-source", "ltx-2")
    (tmp_path / "look.json").write_text(json.dumps({"captoin": "x"}))
    with pytest.raises(MediaError, match=r"look\.json"):
        AdapterLibrary(tmp_path).info("look")


def test_a_replaced_file_is_read_again(tmp_path):
    write_tensors(tmp_path / "a.safetensors", lora(rank=4), {})
    library = AdapterLibrary(tmp_path)
    assert library.info("a").rank == 4
    write_tensors(tmp_path / "a.safetensors", lora(rank=8), {})
    assert library.info("a").rank == 8


@pytest.mark.parametrize(
    "name", ["../a", "a/../a", "/etc/passwd", "", ".", "..", ".a", "a\0b", "none", "a b", "A" * 200, "sub/a", "%2e%2e/a", "a\n"]
)
def test_names_are_names(tmp_path, name):
    (tmp_path / "lib").mkdir()
    write_tensors(tmp_path / "a.safetensors", lora(), {})
    write_tensors(tmp_path / "lib" / "none.safetensors", lora(), {})
    library = AdapterLibrary(tmp_path / "lib")
    assert library.names() == []
    with pytest.raises(MediaError) as caught:
        library.info(name)
    assert caught.value.reason is Reason.UNKNOWN_ADAPTER
    assert "\n" not in str(caught.value)


def test_no_folder_is_an_empty_library(tmp_path):
    assert AdapterLibrary(tmp_path / "nowhere").names() == []
    assert AdapterLibrary(tmp_path / "nowhere").all() == []


def raw(path: Path, header: bytes, data: bytes = b"", length: int | None = None) -> Path:
    path.write_bytes((len(header) if length is None else length).to_bytes(8, "little") + header + data)
    return path


ENTRY = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
KEY = "transformer.a.lora_A.weight"


@pytest.mark.parametrize(
    ("header", "data", "length", "words"),
    [
        (b"", b"", None, "not safetensors"),
        (b"{}", b"", 2**62, "not safetensors"),
        (b"{}", b"", 9 << 20, "not safetensors"),
        (b"[" * 100_000, b"", None, "no JSON"),
        (b"\xff\xfe{}", b"", None, "no JSON"),
        (b"[]", b"", None, "no list of"),
        (b'{"__metadata__": {"a": 1}}', b"", None, "no strings"),
        (json.dumps({KEY: {**ENTRY, "dtype": "I64"}}).encode(), bytes(16), None, "is I64"),
        (json.dumps({KEY: {**ENTRY, "shape": [2, -2]}}).encode(), bytes(16), None, "no whole number"),
        (json.dumps({KEY: {**ENTRY, "shape": [2, True]}}).encode(), bytes(16), None, "no whole number"),
        (json.dumps({KEY: {**ENTRY, "shape": [10**9, 10**9]}}).encode(), bytes(16), None, "cannot take"),
        (json.dumps({KEY: {**ENTRY, "data_offsets": [8, 24]}}).encode(), bytes(24), None, "overlap or leave gaps"),
        (json.dumps({KEY: ENTRY}).encode(), bytes(8), None, "holds 8 bytes"),
        (json.dumps({KEY: {"dtype": "F32"}}).encode(), b"", None, "no dtype, shape"),
        (json.dumps({KEY: ENTRY}).encode(), bytes(16), None, "not one LoRA layer"),
        (json.dumps({"unet.x": ENTRY}).encode(), bytes(16), None, "no LoRA weight"),
        (b"{}", b"", None, "ranks"),
    ],
)
def test_a_hostile_file_is_refused_with_one_line(tmp_path, header, data, length, words):
    assert words in refused(raw(tmp_path / "bad.safetensors", header, data, length))


def test_other_files_are_refused(tmp_path):
    (tmp_path / "pickle.safetensors").write_bytes(b"\x80\x04\x95" + bytes(100))
    assert "not safetensors" in refused(tmp_path / "pickle.safetensors")
    refused(tmp_path / "missing.safetensors")
    write_tensors(tmp_path / "two.safetensors", lora(rank=4) | lora(rank=8, layer="b"), {})
    assert "ranks [4, 8]" in refused(tmp_path / "two.safetensors")


def test_lies_of_our_own_metadata_are_seen(tmp_path):
    write_tensors(tmp_path / "a.safetensors", lora(), {"synclora.format": "1", "synclora.rank": "four"})
    assert "metadata" in refused(tmp_path / "a.safetensors")


def test_one_broken_file_hides_no_other(tmp_path):
    ours(tmp_path / "good")
    (tmp_path / "bad.safetensors").write_bytes(b"x")
    assert [info.name for info in AdapterLibrary(tmp_path).all()] == ["good"]


def test_a_fifo_is_no_adapter(tmp_path):
    os.mkfifo(tmp_path / "pipe.safetensors")
    assert AdapterLibrary(tmp_path).names() == []


def test_no_torch(tmp_path):
    ours(tmp_path / "good")
    code = "import sys; from pathlib import Path; from synclora.edit.library import AdapterLibrary\n"
    code += f"assert AdapterLibrary(Path({str(tmp_path)!r})).info('good').rank == 4; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2], timeout=50)
