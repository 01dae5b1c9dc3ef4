"""What is shipped is whole, small, half precision and no pickle, with a card; all else is refused in one line, and nothing is written."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from synclora.backbone.find import find_backbone
from synclora.backbone.folder import weights_digest
from synclora.edit.library import AdapterLibrary
from synclora.embedded.autoencoder import model
from synclora.embedded.ship import main
from synclora.embedded.shipping import checks
from synclora.train.adapter import AdapterMetadata, load_adapter, save_adapter
from synclora.train.tensorfile import write_tensors
from tests.embedded.small import TRAINED, write_adapter, write_small

GATE = {
    "open": False,
    "findings": ["real-a: speech r 0.87 < 0.9"],
    "clips": [
        {
            "name": f"real-{name}",
            "split": "held_out",
            "kind": "real",
            "frames": 100,
            "face": face,
            "std": {"blink": 0.06, "speech": speech, "gaze": 0.1},
            "r": {"blink": 0.95, "speech": r, "gaze": math.nan},
            "ceiling": {"blink": 0.99, "speech": 0.99, "gaze": 0.97},
            "psnr": 31.0,
        }
        for name, face, speech, r in (("a", 1.0, 0.1, 0.87), ("b", 0.9, 0.1, 0.97), ("c", 0.95, 0.01, 0.2))
    ],
}
NUMBERS = "weights {}, steps 2\n\n### 3. Real clips never trained on\n\n| | mean of cues |\n|---|---|\n| sync-lora | .51 |\n"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture(scope="module")
def trained(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its adapters."""
    folder = tmp_path_factory.mktemp("adapters")
    write_adapter(folder / "shared", small)
    write_adapter(folder / "causal", small, "causal-source")
    card = "## Training\n\n| | |\n|---|---|\n| Backbone | /home/me/run |\n| Loss | 0.5 in the first \\| 0.1 in the last |\n"
    (folder / "shared" / "README.md").write_text(card)
    return folder


@pytest.fixture
def copy(small: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small, tmp_path / "model"))


def _ship(backbone: Path, to: Path, *more: str) -> int:
    return main(["--backbone", str(backbone), "--to", str(to), *more])


def _refused(capsys: pytest.CaptureFixture[str], backbone: Path, *more: str) -> str:
    """The one line; where it would have gone, nothing is."""
    to = backbone.parent / "to" / "weights"
    assert _ship(backbone, to, *more) == 2
    line = capsys.readouterr().err
    assert line.startswith("synclora.embedded.ship: ")
    assert line.count("\n") == 1
    assert not to.parent.exists() or not list(to.parent.iterdir())
    return line


def test_what_was_shipped_is_a_backbone_with_its_adapters_and_a_card(small, trained, tmp_path, capsys):
    to, gate = tmp_path / "weights", tmp_path / "gate.json"
    gate.write_text(json.dumps(GATE))
    adapters = (f"sync-lora={trained / 'shared'}", f"sync-lora-causal-source={trained / 'causal'}")
    assert _ship(small, to, "--gate", str(gate), "--adapter", adapters[0], "--adapter", adapters[1]) == 0
    assert f"digest {weights_digest(small)}, adapters sync-lora, sync-lora-causal-source" in capsys.readouterr().out
    found, before = find_backbone(str(to)), find_backbone(str(small))
    assert found.trained == before.trained
    ours, theirs = (one.stream(torch.float32, "cpu", "shared").transformer.state_dict() for one in (found, before))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert weights_digest(to) == weights_digest(small)
    assert "_name_or_path" not in (to / "vae" / "config.json").read_text()
    assert AdapterLibrary(found.adapters).names() == ["sync-lora", "sync-lora-causal-source"]
    state, metadata = load_adapter(to / "adapters" / "sync-lora")
    first = load_adapter(trained / "shared")[0]
    assert (metadata.base_model, metadata.base_digest) == ("embedded", weights_digest(small))
    assert all(state[name].dtype == torch.float16 and torch.equal(state[name], first[name].half()) for name in first)
    assert {path.name for path in (to / "adapters" / "sync-lora").iterdir()} == {"pytorch_lora_weights.safetensors", "README.md"}
    beside = (to / "adapters" / "sync-lora" / "README.md").read_text()
    assert "| Loss | 0.5 in the first \\| 0.1 in the last |" in beside
    assert "ComfyUI, put" not in beside
    assert all(str(tmp_path.parent) not in path.read_text("latin-1") for path in to.rglob("*") if path.is_file())
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_card_says_what_it_is_and_the_figures(copy, trained, tmp_path):
    gate, numbers = tmp_path / "gate.json", tmp_path / "numbers.md"
    gate.write_text(json.dumps(GATE))
    numbers.write_text(NUMBERS.format(weights_digest(copy)))
    words = ("--gate", str(gate), "--numbers", str(numbers), "--adapter", f"sync-lora={trained / 'shared'}")
    assert _ship(copy, tmp_path / "weights", *words) == 0
    card = (tmp_path / "weights" / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: diffusers\n")
    for said in (
        "license: apache-2.0",
        "Words are not understood",
        "Small, and of a narrow domain",
        "128×128 pixels",
        "58% of the picture's width",
        "Not for identifying people",
        "CC-BY 4.0",
        "MIT and Apache-2.0",
        "public domain",
        "generated faces",
        "| transformer, recipe | 0123456789ab |",
        "| adapters/sync-lora | rank 4, attention shared |",
        "LTXVideoTransformer3DModel, 2 blocks, 2 heads, 32 wide",
        weights_digest(copy),
        "| held out, real | 3 | 95.0% | 0.95 (0.95) | 0.92 (0.87) | – | 31.0 |",
        "Shut: real-a: speech r 0.87 &lt; 0.9.",
        "## Edits, measured",
        "### 3. Real clips never trained on",
        "| sync-lora | .51 |",
    ):
        assert said in card


@pytest.mark.parametrize("text", [NUMBERS.format("0123456789abcdef"), None])
def test_numbers_of_other_weights_are_no_figures_of_these(small, tmp_path, capsys, text):
    numbers = tmp_path / "numbers.md"
    if text is not None:
        numbers.write_text(text)
    assert _ship(small, tmp_path / "weights", "--numbers", str(numbers)) == 2
    assert "numbers.md: " in capsys.readouterr().err
    assert not (tmp_path / "weights").exists()


def test_without_measurements_the_card_says_so(small, tmp_path):
    assert _ship(small, tmp_path / "weights") == 0
    card = (tmp_path / "weights" / "README.md").read_text()
    assert card.count("Not measured") == 2


def test_the_folder_before_is_replaced_as_a_whole(small, trained, tmp_path):
    to = tmp_path / "weights"
    assert _ship(small, to, "--adapter", f"sync-lora={trained / 'shared'}") == 0
    assert _ship(small, to) == 0
    assert not (to / "adapters").exists()


def test_a_folder_of_something_else_is_left_alone(small, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert _ship(small, tmp_path) == 2
    assert "not empty and no folder of weights; choose another one" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_older_folder_stays_when_the_disk_is_full(small, tmp_path, monkeypatch, capsys):
    to = tmp_path / "weights"
    assert _ship(small, to) == 0
    (to / "mark").touch()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("synclora.embedded.ship.check_size", full)
    assert _ship(small, to) == 2
    assert "No space left" in capsys.readouterr().err
    assert (to / "mark").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["weights"]


def _weights(part: str, folder: Path) -> Path:
    return sorted((folder / part).glob("*.safetensors"))[0]


def _edit_weights(folder: Path, part: str, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    file = _weights(part, folder)
    tensors = load_file(file)
    name = sorted(name for name in tensors if "weight" in name)[0]
    save_file(tensors | {name: change(tensors[name]).contiguous()}, file)


def _moments(folder: Path) -> None:
    file = _weights("vae", folder)
    tensors = load_file(file)
    plain = {"latents_mean": torch.zeros_like(tensors["latents_mean"]), "latents_std": torch.ones_like(tensors["latents_std"])}
    save_file(tensors | plain, file)


def _told(folder: Path, **changes: object) -> None:
    told = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(told | changes))


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "no transformer": (lambda f: shutil.rmtree(f / "transformer"), "no transformer/config.json"),
    "no caption": (lambda f: (f / "caption.safetensors").unlink(), "needs caption.safetensors and no text encoder"),
    "a text encoder": (lambda f: (f / "text_encoder").mkdir(), "a text encoder is not shipped"),
    "no model.json": (lambda f: (f / "model.json").unlink(), "no model.json"),
    "a shard lost": (lambda f: _weights("transformer", f).unlink(), "-00001-of-00002.safetensors is missing"),
    "a shard left": (lambda f: shutil.copy(_weights("vae", f), f / "transformer" / "old.safetensors"), "no part of the model"),
    "a broken index": (
        lambda f: (f / "transformer" / checks.INDEX).write_text('{"weight_map": []}'),
        "no index of shards (AttributeError",
    ),
    "a pickle": (lambda f: (f / "vae" / "diffusion_pytorch_model.bin").touch(), "no safetensors; other formats can run code"),
    "a pickle by another name": (lambda f: _weights("vae", f).write_bytes(b"PK\3\4" + b"x" * 90), "a pickle, which can run code"),
    "float32": (
        lambda f: _edit_weights(f, "transformer", lambda t: t.float()),
        "is torch.float32, not float16; save the model in that",
    ),
    "no number": (lambda f: _edit_weights(f, "vae", lambda t: t * math.nan), "is not finite; take an earlier checkpoint"),
    "another shape": (lambda f: _edit_weights(f, "vae", lambda t: t[:-1]), "vae cannot be loaded"),
    "latents as they come": (_moments, "mean and deviation were never measured"),
    "too large a file": (lambda _f: None, "more than 400000 in one file"),
    "too large in all": (lambda _f: None, "more than 500000; make them smaller"),
    "another caption": (
        lambda f: write_tensors(f / "caption.safetensors", {"embeds": torch.ones(1, 4, 6), "mask": torch.ones(1, 4)}, {}),
        "its caption has 6 numbers a token, the transformer takes 8",
    ),
    "no whole cells": (lambda f: _told(f, trained=TRAINED | {"width": 120}), "does not fit a cell of 16 pixels, 4 frames"),
    "a path": (lambda f: _told(f, made_by={"set": {"folder": "/home/me/set"}}), "made_by.set.folder = /home/me/set is a path"),
}


@pytest.mark.parametrize("what", WRONG)
def test_models_that_cannot_be_shipped(copy, capsys, monkeypatch, what):
    if what == "too large a file":
        monkeypatch.setattr(checks, "LARGEST_BYTES", 400_000)
    if what == "too large in all":
        monkeypatch.setattr(checks, "MODELS_BYTES", 500_000)
    change, why = WRONG[what]
    change(copy)
    assert why in _refused(capsys, copy)


def test_models_of_two_runs(copy, capsys):
    from synclora.backbone.tiny import normalise_latents
    from synclora.embedded.autoencoder.settings import ModelSettings

    other = model.build(ModelSettings(latent_channels=8, fine=16, coarse=16, wide=16), seed=1).eval()
    normalise_latents(other)
    model.write_folder(other, copy / "vae")
    assert "latents of 8 channels, a transformer for 12; they are of two runs" in _refused(capsys, copy)


def test_no_folder_is_no_hub_either(tmp_path, capsys):
    assert "no such folder; give one with vae" in _refused(capsys, tmp_path / "owner" / "name")


ADAPTERS: dict[str, tuple[str, dict[str, object], str]] = {
    "random base": ("sync-lora", {"random_base": True}, "its base had random weights"),
    "other weights": ("sync-lora", {"base_digest": "0" * 16}, "trained on other weights"),
    "another folder": (
        "sync-lora",
        {"base_digest": None, "base_model": "Lightricks/LTX-Video"},
        "trained on Lightricks/LTX-Video;",
    ),
    "mode": ("sync-lora-causal-source", {}, "trained with attention shared, its name says causal-source"),
    "size": ("sync-lora", {"width": 256}, "trained on clips of 256x128x17, the backbone on 128x128x17"),
    "length": ("sync-lora", {"frames": 25}, "trained on clips of 128x128x25"),
    "picture": ("sync-lora", {"face_share": 0.4}, "trained on faces of 0.4 of the width, the backbone of 0.58"),
    "name": ("none", {}, "no name for an adapter"),
}


@pytest.mark.parametrize("what", ADAPTERS)
def test_adapters_that_do_not_go_with_it(small, trained, tmp_path, capsys, what):
    name, other, why = ADAPTERS[what]
    state, metadata = load_adapter(trained / "shared")
    save_adapter(tmp_path / "adapter", state, AdapterMetadata.model_validate(metadata.model_dump() | other))
    backbone = Path(shutil.copytree(small, tmp_path / "model"))
    assert why in _refused(capsys, backbone, "--adapter", f"{name}={tmp_path / 'adapter'}")


def test_an_adapter_of_another_shape_or_of_unknown_making(copy, trained, tmp_path, capsys):
    state, metadata = load_adapter(trained / "shared")
    wide = {name: torch.cat([tensor, tensor]) if ".lora_B." in name else tensor for name, tensor in state.items()}
    save_adapter(tmp_path / "wide", wide, metadata)
    assert "--adapter sync-lora=" in _refused(capsys, copy, "--adapter", f"sync-lora={tmp_path / 'wide'}")
    file = load_file(trained / "shared" / "pytorch_lora_weights.safetensors")
    save_file(file, tmp_path / "bare.safetensors")
    assert "does not say what it was trained on" in _refused(capsys, copy, "--adapter", f"a={tmp_path / 'bare.safetensors'}")
    assert "write NAME=DIR, each name once" in _refused(capsys, copy, "--adapter", "sync-lora")
    assert "no such file" in _refused(capsys, copy, "--adapter", f"a={tmp_path / 'nowhere'}").lower()


@pytest.mark.parametrize(
    ("text", "why"), [(None, "No such file"), ("{", "no JSON"), ("{}", "not what synclora.embedded.gate writes")]
)
def test_a_gate_that_is_none(small, tmp_path, capsys, text, why):
    gate = tmp_path / "gate.json"
    if text is not None:
        gate.write_text(text)
    backbone = Path(shutil.copytree(small, tmp_path / "model"))
    assert why in _refused(capsys, backbone, "--gate", str(gate))
