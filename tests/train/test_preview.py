"""A look at an adapter under way: the held-out pair, edited by the sampler, with the adapter as it is, on the frames that were encoded."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from synclora.backbone.find import find_backbone
from synclora.incontext.layout import to_latents
from synclora.incontext.sampler import Given, sample
from synclora.media.decode import Decoder
from synclora.report.validations import read_validations, step_folder
from synclora.train import preview
from synclora.train.captions import CaptionStore
from synclora.train.latents import LatentStore
from synclora.train.lora import LoraSettings, add_lora, named_lora_parameters
from synclora.train.preview import Preview, to_pixels
from synclora.train.strategy import Worker
from synclora.train.trainset import TrainSet
from tests.train.conftest import BACKBONE, recipe_of


@pytest.fixture
def stream():
    """With an adapter that changes what comes out."""
    one = find_backbone(BACKBONE).stream(torch.float32, "cpu", "shared")
    add_lora(one, LoraSettings(rank=4), 0)
    with torch.no_grad():
        for name, parameter in named_lora_parameters(one.transformer).items():
            if "lora_B" in name:
                parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(1))
    one.transformer.train()
    return one


@pytest.fixture
def clips(prepared):
    def of(*names):
        rows = [row for row in prepared.rows if row.pair_id in names]
        captions = CaptionStore(prepared.out / "captions", BACKBONE)
        texts = dict.fromkeys("abcd", "3d1t")
        return TrainSet(rows, LatentStore(prepared.out / "latents"), captions, texts, "cpu", torch.float32)

    return of


def preview_of(out, clips, samples, rank=0, **changes):
    return Preview(out, recipe_of(**changes), find_backbone(BACKBONE), clips, samples, Worker(rank, rank + 1))


@pytest.fixture
def kept(monkeypatch):
    """What would be recorded."""
    clips = []

    class Nothing:
        @staticmethod
        def scalars():
            return {"sync": 0.5}

    def record(out, step, edits, rule, *, random_base):
        clips.extend(edits)
        return Nothing

    monkeypatch.setattr(preview, "record", record)
    return clips


def frames_of(path):
    with Decoder() as decoder:
        return np.stack(list(decoder.frames(path, analysis=False)))


def test_it_is_the_samplers_edit_decoded(prepared, clips, stream, kept, tmp_path):
    looked = preview_of(tmp_path, clips("b", "d"), prepared.samples)
    assert looked.show(3, stream, None) == {"sync": 0.5}
    assert [clip.pair_id for clip in kept] == ["b", "d"]
    codec, settings = find_backbone(BACKBONE).codec(torch.float32, "cpu"), recipe_of().validation.sampler
    for number, clip in enumerate(kept):
        batch = clips("b", "d").batch([number])
        with torch.no_grad():
            given = Given.start(batch.edited_bnc[:, :4], batch.grid)
            tokens = sample(stream.sampling(batch.caption), batch.source_bnc, given, batch.grid, settings)
        video = codec.decode(to_latents(tokens, batch.grid))[0].permute(1, 2, 3, 0).numpy()
        expected = np.clip(np.round((video.astype(np.float64) + 1) * 127.5), 0, 255)
        assert clip.edit_tyxc.shape == (17, 64, 64, 3)
        true = batch.edited_bnc.double().numpy()
        distances = [np.abs(half.double().numpy() - true)[:, 4:].mean() for half in (tokens, batch.source_bnc)]
        assert clip.latent_distance == pytest.approx(distances, rel=1e-5)
        assert distances[0] != pytest.approx(distances[1], rel=0.01)
        assert np.abs(clip.edit_tyxc - expected).max() <= 1
        assert np.array_equal(clip.source_tyxc, frames_of(prepared.samples[clip.pair_id].source))
        assert np.array_equal(clip.target_tyxc, frames_of(prepared.samples[clip.pair_id].edited))
        assert clip.name == f"pair {clip.pair_id}"
    assert [clip.fps for clip in kept] == [Fraction(25), Fraction(30000, 1001)]


def test_the_adapter_shows(prepared, clips, stream, kept, tmp_path):
    looked = preview_of(tmp_path, clips("b"), prepared.samples)
    looked.show(3, stream, None)
    for parameter in named_lora_parameters(stream.transformer).values():
        parameter.data.zero_()
    looked.show(4, stream, None)
    looked.show(5, stream, None)
    with_adapter, without, again = (clip.edit_tyxc.astype(int) for clip in kept)
    assert np.abs(with_adapter - without).max() > 3
    assert np.array_equal(without, again)


def test_training_goes_on_as_before(prepared, clips, stream, kept, tmp_path):
    modes = []
    stream.transformer.register_forward_hook(lambda module, *_: modes.append((module.training, torch.is_grad_enabled())))
    random = torch.random.get_rng_state()
    preview_of(tmp_path, clips("b"), prepared.samples).show(3, stream, None)
    assert set(modes) == {(False, False)}
    assert stream.transformer.training
    assert all(parameter.grad is None for parameter in stream.transformer.parameters())
    assert torch.equal(torch.random.get_rng_state(), random)


def test_a_look_that_fails_leaves_the_transformer_in_training(prepared, clips, stream, kept, tmp_path):
    def broken(*_):
        raise RuntimeError("card is gone")

    hook = stream.transformer.register_forward_pre_hook(broken)
    with pytest.raises(RuntimeError, match="card is gone"):
        preview_of(tmp_path, clips("b"), prepared.samples).show(3, stream, None)
    hook.remove()
    assert stream.transformer.training


@pytest.mark.parametrize(
    ("rank", "strategy", "bare", "wrapped"), [(0, "ddp", 2, 0), (1, "ddp", 0, 0), (0, "zero3", 0, 2), (1, "zero3", 0, 2)]
)
def test_who_looks_and_through_what(prepared, clips, stream, kept, tmp_path, rank, strategy, bare, wrapped):
    """Under ZeRO-3 all workers must call the wrapper, which gathers weights from all; else the first one alone may, without its hooks."""
    calls = {"bare": 0, "wrapped": 0}

    def through(**inputs):
        calls["wrapped"] += 1
        calls["bare"] -= 1
        return stream.transformer(**inputs)

    stream.transformer.register_forward_hook(lambda *_: calls.update(bare=calls["bare"] + 1))
    looked = preview_of(tmp_path, clips("b"), prepared.samples, rank, parallel={"strategy": strategy})
    shown = looked.show(3, stream, through)
    assert calls == {"bare": bare, "wrapped": wrapped}
    assert bool(shown) == bool(kept) == (rank == 0)


def test_nothing_held_out(prepared, clips, stream, kept, tmp_path):
    assert preview_of(tmp_path, clips(), prepared.samples).show(3, stream, None) == {}
    assert not kept


def test_what_it_leaves(prepared, clips, stream, tmp_path):
    scalars = preview_of(tmp_path, clips("d"), prepared.samples).show(3, stream, None)
    (result,) = read_validations(tmp_path)
    assert (result.step, result.random_base) == (3, True)
    assert [pair.pair_id for pair in result.pairs] == ["d"]
    assert scalars == result.scalars()
    assert frames_of(step_folder(tmp_path, 3) / "d.mp4").shape == (17, 64, 64, 3)


def test_levels_are_rounded_and_cut():
    video = (
        torch.tensor([-1.3, -1.0, -1 + 0.4 / 127.5, -1 + 0.6 / 127.5, 0.0, 1.0, 7.0]).reshape(1, 1, 7, 1, 1).expand(1, 3, 7, 2, 4)
    )
    pixels = to_pixels(video)
    assert (pixels.shape, pixels.dtype) == ((7, 2, 4, 3), np.uint8)
    assert pixels[:, 1, 3, 2].tolist() == [0, 0, 0, 1, 128, 255, 255]


def test_colours_and_axes_are_not_mixed_up():
    video = torch.zeros(1, 3, 2, 4, 5)
    video[0, 1, 1, 2, 3] = 1
    assert np.argwhere(to_pixels(video) == 255).tolist() == [[1, 2, 3, 1]]
