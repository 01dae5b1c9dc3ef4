"""The miniatures: small, the same everywhere, built once, and not a word of it to the user."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from synclora.backbone import tiny
from synclora.backbone.base import Backbone

_USE = """
import torch
from synclora.backbone.find import find_backbone
for name in ("tiny:ltx-video", "tiny:ltx-2"):
    backbone = find_backbone(name)
    backbone.codec(torch.float32, "cpu"), backbone.caption("3d1t"), backbone.stream(torch.float32, "cpu", "shared")
"""


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return {f"{file.parent.name}.{k}": v for file in sorted(folder.glob("*/*.safetensors")) for k, v in load_file(file).items()}


@pytest.mark.slow
def test_two_processes_at_once_build_the_same_and_keep_quiet(ltx_video, ltx2, tmp_path):
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    racers = [
        subprocess.Popen([sys.executable, "-c", _USE], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for racer in racers:
        said = racer.communicate(timeout=200)
        assert (racer.returncode, *said) == (0, "", "")
    built = tmp_path / "synclora" / "tiny"
    assert sorted(folder.name for folder in built.iterdir()) == sorted(one.folder.name for one in (ltx_video, ltx2))
    for one in (ltx_video, ltx2):
        # the latents' statistics are sums, whose last bit depends on the number of threads
        torch.testing.assert_close(_weights(built / one.folder.name), _weights(one.folder), rtol=0, atol=1e-6)


def test_a_miniature_is_built_once(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(tiny.MINIATURES, "stub", lambda folder: (folder / "made").touch())
    folder = tiny.tiny_folder("stub")
    monkeypatch.setitem(tiny.MINIATURES, "stub", lambda folder: pytest.fail("built again"))
    assert tiny.tiny_folder("stub") == folder
    assert (folder / "made").exists()


def test_a_build_that_fails_leaves_nothing(monkeypatch, tmp_path):
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError("disk full")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(tiny.MINIATURES, "stub", fail)
    with pytest.raises(OSError, match="disk full"):
        tiny.tiny_folder("stub")
    assert not list((tmp_path / "synclora" / "tiny").iterdir())


def test_building_leaves_the_caller_s_randomness_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(tiny.MINIATURES, "stub", lambda folder: torch.rand(3))
    torch.manual_seed(7)
    expected = torch.rand(2)
    torch.manual_seed(7)
    tiny.tiny_folder("stub")
    assert torch.equal(torch.rand(2), expected)


def test_an_unknown_miniature():
    with pytest.raises(KeyError):
        tiny.tiny_folder("wan")


def test_they_are_small_and_in_the_hub_s_layout(backbone: Backbone):
    transformer = load_file(next((backbone.folder / "transformer").glob("*.safetensors")))
    assert 0.5e6 < sum(weight.numel() for weight in transformer.values()) < 3e6
    assert sum(file.stat().st_size for file in backbone.folder.rglob("*") if file.is_file()) < 20e6
    assert (backbone.folder / "model_index.json").is_file()
    assert not [file for file in backbone.folder.rglob("*") if file.suffix in (".bin", ".pt", ".pkl")]


def test_ltx_2_is_like_2_3_where_it_matters(ltx2):
    config = ltx2.stream(torch.float32, "cpu", "causal-source").transformer.config
    assert config.cross_attn_mod
    assert config.use_prompt_adaln_single
    assert config.gated_attn
    assert config.rope_type == "split"
