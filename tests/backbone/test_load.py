"""Parts that do not load: one line each, with the value and the remedy; and libraries that keep quiet."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers.utils.logging as diffusers_log
import pytest
import torch
import transformers.utils.logging as transformers_log
from safetensors.torch import load, save_file
from torch import Tensor

from synclora.backbone.base import Backbone, BackboneError
from synclora.backbone.find import find_backbone
from synclora.backbone.load import quiet


@pytest.fixture
def copy(backbone: Backbone, tmp_path: Path) -> Backbone:
    return find_backbone(str(shutil.copytree(backbone.folder, tmp_path / "model")))


def _weights(copy: Backbone, part: str) -> Path:
    return next((copy.folder / part).glob("*.safetensors"))


def _change(file: Path, change: Callable[[dict[str, Tensor]], Any]) -> None:
    tensors = load(file.read_bytes())
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def _line(copy: Backbone, part: str, device: str = "cpu") -> str:
    use = {
        "transformer": lambda: copy.stream(torch.float32, device, "shared"),
        "vae": lambda: copy.codec(torch.float32, device),
        "text_encoder": lambda: copy.caption("3d1t"),
        "tokenizer": lambda: copy.caption("3d1t"),
    }
    with pytest.raises(BackboneError) as caught:
        use[part]()
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 500
    assert line.startswith(f"backbone {copy.name}: {part}")
    return line


@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder"])
@pytest.mark.parametrize("kept", [0, 4, 1000, -1])
def test_a_truncated_file(copy, part, kept):
    file = _weights(copy, part)
    file.write_bytes(file.read_bytes()[:kept])
    line = _line(copy, part)
    assert f"cannot be loaded ({file.name} is broken: " in line
    assert line.endswith("mend the folder or fetch it again")


@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder"])
def test_a_weight_of_another_shape(copy, part):
    name = sorted(load(_weights(copy, part).read_bytes()))[-1]
    _change(_weights(copy, part), lambda tensors: tensors.update({name: torch.zeros(3, 5, 7)}))
    line = _line(copy, part)
    assert "shape" in line
    assert name.split(".")[-1] in line


@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder"])
def test_a_weight_that_is_not_there_is_never_made_up(copy, part):
    name = sorted(load(_weights(copy, part).read_bytes()))[-1]
    _change(_weights(copy, part), lambda tensors: tensors.pop(name))
    assert "(the file lacks " in _line(copy, part)


def test_a_configuration_with_more_layers_than_the_file(copy):
    config = copy.folder / "transformer" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "num_layers": 5}))
    assert "(the file lacks transformer_blocks.4." in _line(copy, "transformer")


def test_a_configuration_that_does_not_make_a_model(copy):
    config = copy.folder / "transformer" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "num_attention_heads": "many"}))
    assert "cannot be loaded (" in _line(copy, "transformer")


def test_a_broken_tokenizer(copy):
    (copy.folder / "tokenizer" / "tokenizer.json").write_text('{"version": ')
    assert "cannot be loaded (" in _line(copy, "tokenizer")


@pytest.mark.parametrize("missing", ["tokenizer", "tokenizer/tokenizer.json"])
def test_no_tokenizer(copy, missing):
    path = copy.folder / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(BackboneError, match=r"no tokenizer/tokenizer\.json; give a whole folder"):
        copy.caption("3d1t")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there(copy):
    line = _line(copy, "transformer", device="cuda")
    assert "does not go to cuda (" in line
    assert line.endswith("choose another device or a shorter dtype")


@pytest.mark.parametrize(("bars", "verbosity"), [(True, logging.INFO), (False, logging.WARNING)])
def test_quiet_leaves_the_libraries_as_they_were(bars, verbosity):
    libraries = (diffusers_log, transformers_log)
    try:
        for log in libraries:
            (log.enable_progress_bar if bars else log.disable_progress_bar)()
            log.set_verbosity(verbosity)
        with quiet(), quiet():
            assert [(log.is_progress_bar_enabled(), log.get_verbosity()) for log in libraries] == [(False, logging.ERROR)] * 2
        assert [(log.is_progress_bar_enabled(), log.get_verbosity()) for log in libraries] == [(bars, verbosity)] * 2
        assert not logging.getLogger("DeepSpeed").filters
    finally:
        for log in libraries:
            log.enable_progress_bar()
            log.set_verbosity_warning()


def test_quiet_ends_with_an_error_too():
    def fail() -> None:
        with quiet():
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert transformers_log.is_progress_bar_enabled()
    assert diffusers_log.is_progress_bar_enabled()
