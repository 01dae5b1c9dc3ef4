"""Training that begins with an adapter: it does from the first step what it did where it came from."""

import pytest
import torch

from synclora.train.adapter import DIFFUSERS_FILE, save_adapter
from synclora.train.lora import AdapterError, LoraSettings, add_lora, named_lora_parameters
from synclora.train.start import begin_with, read_start
from tests.train.adapters import adapted, metadata, stream, velocity
from tests.train.conftest import one_line


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """An adapter with an alpha of its own, as files, and what a stream says with it."""
    folder, one = tmp_path_factory.mktemp("kept"), stream()
    save_adapter(folder, adapted(one, rank=8, alpha=16), metadata(alpha=16))
    return folder, velocity(one)


@pytest.mark.parametrize("file", [DIFFUSERS_FILE, "comfyui.safetensors", ""])
@pytest.mark.parametrize("alpha", [None, 4.0])
def test_it_does_what_it_did_under_whatever_alpha(kept, file, alpha):
    folder, said = kept
    settings = LoraSettings(rank=8, alpha=alpha, start=str(folder / file))
    one = stream()
    add_lora(one, settings, seed=0)
    assert not torch.allclose(velocity(one), said)
    begin_with(one, read_start(settings, "ltx-video"))
    torch.testing.assert_close(velocity(one), said, rtol=1e-5, atol=1e-6)
    assert all(p.requires_grad and p.dtype == torch.float32 for p in named_lora_parameters(one.transformer).values())


def test_what_does_not_fit_is_one_line(kept, tmp_path):
    folder, _ = kept
    with pytest.raises(AdapterError) as error:
        read_start(LoraSettings(rank=4, start=str(folder)), "ltx-video")
    assert one_line(error.value).endswith("rank 8, but lora.rank = 4; set lora.rank: 8")
    with pytest.raises(AdapterError) as error:
        read_start(LoraSettings(rank=8, start=str(folder)), "ltx-2")
    assert "trained on ltx-video, not for ltx-2" in one_line(error.value)
    with pytest.raises(AdapterError) as error:
        read_start(LoraSettings(rank=8, start=str(tmp_path / "missing")), "ltx-video")
    assert "missing" in one_line(error.value)
    settings = LoraSettings(rank=8, targets="attention", start=str(folder))
    one = stream()
    add_lora(one, settings, seed=0)
    with pytest.raises(AdapterError) as error:
        begin_with(one, read_start(settings, "ltx-video"))
    assert "is not among the adapted layers" in one_line(error.value)
