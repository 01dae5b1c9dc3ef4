"""One copy of the weights per machine: what is mapped, what is converted, and what happens when it cannot be."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import LTXVideoTransformer3DModel
from safetensors.torch import load_file, save_file

from synclora.backbone import shared
from synclora.backbone.base import Backbone
from synclora.backbone.find import find_backbone
from synclora.backbone.load import quiet
from synclora.backbone.shared import shared_folder
from tests.benchmarks.midsize import CLASSES

MB = 1 << 20

_EDITOR = """
import json, sys, torch
from synclora.backbone import shared
from synclora.backbone.find import find_backbone
from synclora.incontext.layout import first_frame, lay_out
from synclora.incontext.positions import Grid
from synclora.train.lora import ready_lora

def memory(name):
    found, inside = dict.fromkeys(("Rss", "Pss", "Anonymous"), 0), name is None
    for line in open("/proc/self/smaps_rollup" if name is None else "/proc/self/smaps"):
        first = line.split(maxsplit=1)[0]
        if name is not None and not first.endswith(":"):
            inside = name in line
        elif inside and first[:-1] in found:
            found[first[:-1]] += int(line.split()[1]) * 1024
    return found

backbone = find_backbone(sys.argv[1], shared=True)
convert = shared._convert
def counted(*arguments):
    with open(sys.argv[2], "a") as seen:
        seen.write("converted\\n")
    convert(*arguments)
shared._convert = counted
from synclora.backbone.base import Caption
import synclora.backbone.ltx_video
print("ready", flush=True)
sys.stdin.readline()
before = memory(None)["Anonymous"]
stream = backbone.stream(torch.float32, "cpu", "causal-source")
width = stream.transformer.config.num_attention_heads * stream.transformer.config.attention_head_dim
name = "transformer_blocks.0.attn1.to_q.lora_"
stream.use(ready_lora(stream, {f"{name}A.weight": torch.ones(4, width), f"{name}B.weight": torch.ones(width, 4)}))
grid = Grid(2, 2, 2, 25.0)
tokens = lay_out(*torch.randn(2, 1, 8, 16), torch.tensor([0.5]), first_frame(torch.tensor([True]), grid), grid)
caption = Caption(torch.randn(1, 4, 64), torch.ones(1, 4))
with torch.no_grad():
    assert stream.velocity(tokens, caption).isfinite().all()
print("done", flush=True)
sys.stdin.readline()
print(json.dumps({"grown": memory(None)["Anonymous"] - before, **memory("/weights/transformer-f32-")}), flush=True)
sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "synclora" / "weights"


@pytest.fixture
def copy(backbone: Backbone, tmp_path: Path) -> Path:
    return shutil.copytree(backbone.folder, tmp_path / "model")


def test_processes_convert_once_and_hold_one_copy(ltx_video: Backbone, tmp_path: Path):
    """Two editors on one machine, each with an adapter in, after a forward pass."""
    model = shutil.copytree(ltx_video.folder, tmp_path / "model")
    shutil.rmtree(model / "transformer")
    config = dict(LTXVideoTransformer3DModel.load_config(ltx_video.folder / "transformer"))
    size = {"num_layers": 11, "num_attention_heads": 8, "attention_head_dim": 64, "cross_attention_dim": 512}
    with quiet():
        big = LTXVideoTransformer3DModel.from_config(config | size)
        big.to(torch.bfloat16).save_pretrained(model / "transformer")
    weight = 4 * sum(parameter.numel() for parameter in big.parameters())
    assert weight > 150 * MB
    command = [sys.executable, "-c", _EDITOR, str(model), str(tmp_path / "seen")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    editors = [
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]

    def answers() -> list[str]:
        lines = [editor.stdout.readline().strip() for editor in editors]
        for editor in editors:
            editor.stdin.write("\n")
            editor.stdin.flush()
        return lines

    try:
        assert answers() == ["ready"] * 2
        assert answers() == ["done"] * 2
        found = [json.loads(line) for line in answers()]
    finally:
        for editor in editors:
            editor.kill()
            editor.wait()
    assert (tmp_path / "seen").read_text() == "converted\n"
    assert all(one["Rss"] > 0.9 * weight for one in found), found  # each has them all mapped
    assert sum(one["Pss"] for one in found) < 1.1 * weight, found  # and together they hold them once
    assert all(one["Anonymous"] == 0 for one in found), found  # nothing was written to
    assert all(one["grown"] < 0.3 * weight for one in found), found  # nor copied


@pytest.mark.parametrize("part", ["transformer", "vae"])
def test_weights_of_the_wanted_dtype_are_used_where_they_lie(backbone, cache, part):
    assert shared_folder(backbone.folder / part, torch.float32) == backbone.folder / part
    assert not cache.exists()


@pytest.mark.parametrize("shards", [False, True])
def test_a_converted_copy_is_what_plain_loading_gives(backbone, copy, cache, shards):
    if shards:
        with quiet():
            whole = CLASSES[backbone.kind].from_pretrained(copy / "transformer")
            shutil.rmtree(copy / "transformer")
            whole.save_pretrained(copy / "transformer", max_shard_size="500KB")
        assert len(list((copy / "transformer").glob("*.safetensors"))) > 2
    plain, ours = (
        find_backbone(str(copy), shared=share).stream(torch.bfloat16, "cpu", "shared").transformer.state_dict()
        for share in (False, True)
    )
    assert plain.keys() == ours.keys()
    assert all(torch.equal(plain[name], ours[name]) and ours[name].dtype == torch.bfloat16 for name in plain)
    (made,) = [folder for folder in cache.iterdir() if folder.is_dir()]
    assert made.name.startswith("transformer-bf16-")
    assert shared_folder(copy / "transformer", torch.bfloat16) == made


def test_other_types_stay_and_every_tensor_lies_on_its_own_size(tmp_path):
    part = tmp_path / "vae"
    part.mkdir()
    tensors = {
        "a": torch.arange(3, dtype=torch.uint8),
        "b": torch.tensor(2.5, dtype=torch.float64),
        "c": torch.randn(3, 5, dtype=torch.float16),
        "d": torch.tensor([2**40, -1]),
        "e": torch.empty(0, 4),
        "f": torch.randn(7).to(torch.float8_e4m3fn),
    }
    save_file(tensors, part / "model.safetensors")
    made = shared_folder(part, torch.float32)
    found = load_file(made / "model.safetensors")
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor if name in "ad" else tensor.float())
        assert found[name].data_ptr() % found[name].element_size() == 0


def test_another_model_in_the_same_place_is_another_copy(copy):
    part = copy / "transformer"
    first = shared_folder(part, torch.bfloat16)
    assert shared_folder(part, torch.bfloat16) == first
    (file,) = part.glob("*.safetensors")
    os.utime(file, ns=(1, 1))
    second = shared_folder(part, torch.bfloat16)
    (part / "config.json").write_text((part / "config.json").read_text() + "\n")
    assert len({first, second, shared_folder(part, torch.bfloat16), shared_folder(part, torch.float16)}) == 4


def _full_at_once(monkeypatch):
    monkeypatch.setattr(shared.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))


def _full_on_the_way(monkeypatch):
    def fail(_file, _layout, to):
        to.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shared, "_convert_file", fail)


def _no_right_to_write(monkeypatch):
    Path(os.environ["XDG_CACHE_HOME"]).write_text("a file")


@pytest.mark.parametrize("wrong", [_full_at_once, _full_on_the_way, _no_right_to_write])
def test_where_no_copy_can_be_made_it_says_so_and_loads_plainly(copy, cache, monkeypatch, caplog, wrong):
    wrong(monkeypatch)
    stream = find_backbone(str(copy), shared=True).stream(torch.bfloat16, "cpu", "shared")
    assert stream.transformer.dtype == torch.bfloat16
    (record,) = [record for record in caplog.records if record.name == shared.__name__]
    assert "every process holds its own" in record.getMessage()
    assert "\n" not in record.getMessage()
    assert not cache.exists() or not [folder for folder in cache.iterdir() if folder.is_dir()]


def test_what_a_killed_process_left_is_cleared_away(copy, cache):
    made = shared_folder(copy / "transformer", torch.bfloat16)
    shutil.rmtree(made)
    left = cache / f".{made.name}.abc.part"
    left.mkdir()
    (left / "half").touch()
    assert shared_folder(copy / "transformer", torch.bfloat16) == made
    assert not left.exists()


def test_a_part_that_is_not_whole_is_left_to_the_loader(copy, tmp_path):
    (file,) = (copy / "transformer").glob("*.safetensors")
    file.rename(file.with_name("strange.safetensors"))
    assert shared_folder(copy / "transformer", torch.bfloat16) == copy / "transformer"
    index = {"weight_map": {"proj_in.weight": "../../../etc/passwd", "proj_out.weight": "missing.safetensors"}}
    (copy / "transformer" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    assert shared_folder(copy / "transformer", torch.bfloat16) == copy / "transformer"
