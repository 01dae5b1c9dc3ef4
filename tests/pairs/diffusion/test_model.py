"""Every miniature through its true pipeline: right sizes, orders that do not see their batch, pictures and words that matter."""

from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from synclora.backbone.tiny import tiny_folder
from synclora.pairs.diffusion.call import pipeline_class
from synclora.pairs.diffusion.find import ModelError, look_up
from synclora.pairs.diffusion.model import Order, open_model
from synclora.pairs.diffusion.settings import Stage
from tests.pairs.diffusion.models import CASES, FLUX, KONTEXT, LTX2, QWEN_PLUS, WAN, copied, orders, rewrite

pytestmark = pytest.mark.usefixtures("one_thread")


@cache
def opened(name):
    stage, settings = CASES[name]
    return open_model(stage, settings, look_up(stage, settings), "cpu")


@pytest.mark.parametrize("name", CASES)
def test_an_order_s_result_does_not_depend_on_its_batch(name):
    stage, settings = CASES[name]
    asked = orders(stage, settings)
    both = opened(name).make(asked)
    alone = opened(name).make(asked[1:])
    frames = (settings.frames,) if name in ("wan", "ltx2") else ()
    assert [made.shape for made in both] == [(*frames, settings.height, settings.width, 3)] * 2
    assert all(made.dtype == np.float32 and made.min() >= 0 and made.max() <= 1 for made in both)
    np.testing.assert_allclose(both[1], alone[0], rtol=0, atol=2e-5)
    assert np.abs(both[0] - both[1]).max() > 1e-3


@pytest.mark.parametrize("name", ["kontext", "flux2-edit", "qwen", "wan", "ltx2"])
def test_words_and_picture_are_read(name):
    stage, settings = CASES[name]
    one, other = orders(stage, settings)
    made, words, picture = opened(name).make(
        [one, Order(other.prompt, one.seed, one.picture), Order(one.prompt, one.seed, other.picture)]
    )
    assert np.abs(made - words).max() > 1e-5
    assert np.abs(made - picture).max() > 1e-5


def test_a_class_that_takes_one_prompt_is_called_for_each():
    stage, _ = CASES["qwen"]
    model = open_model(stage, QWEN_PLUS, look_up(stage, QWEN_PLUS), "cpu")
    assert not model.batches
    assert [made.shape for made in model.make(orders(stage, QWEN_PLUS)[:1])] == [(64, 64, 3)]


def test_a_folder_of_words_to_video_animates_a_picture():
    settings = LTX2.model_copy(update={"model": str(tiny_folder("ltx-video")), "pipeline": "LTXImageToVideoPipeline"})
    model = open_model(Stage.VIDEO, settings, look_up(Stage.VIDEO, settings), "cpu")
    model.warm_up()
    one, other = model.make(orders(Stage.VIDEO, settings))
    assert one.shape == (9, 64, 128, 3)
    assert np.abs(one[0] - other[0]).max() > 0.01


@pytest.mark.parametrize("name", ["flux", "kontext", "wan"])
def test_warming_up_leaves_no_trace(name):
    stage, settings = CASES[name]
    asked = orders(stage, settings)[:1]
    before = opened(name).make(asked)[0]
    opened(name).warm_up()
    assert np.array_equal(before, opened(name).make(asked)[0])


def test_a_picture_in_another_size_is_fitted():
    large = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    small = np.asarray(Image.fromarray(large).resize((64, 64), Image.Resampling.LANCZOS))
    one, other = opened("kontext").make([Order("a hat", 1, large), Order("a hat", 1, small)])
    assert np.array_equal(one, other)


def test_a_wrong_size_is_seen_when_warming_up(monkeypatch):
    model = opened("wan")
    monkeypatch.setattr(model._pipe.video_processor, "postprocess_video", lambda video, output_type: np.zeros((1, 8, 64, 128, 3)))
    with pytest.raises(ModelError, match=r"^model tiny:wan-i2v: asked for 9 frames of 128x64, it makes 8 frames of 128x64; "):
        model.warm_up()


def test_a_call_that_fails_is_one_line_when_warming_up():
    settings = FLUX.model_copy(update={"arguments": {"max_sequence_length": 600}})
    stage = CASES["flux"][0]
    with pytest.raises(
        ModelError, match=r"^model tiny:flux: FluxPipeline fails when called \(ValueError: .*512.*\); correct its settings$"
    ):
        open_model(stage, settings, look_up(stage, settings), "cpu").warm_up()


def test_memory_errors_come_through_as_raised(monkeypatch):
    model = opened("flux")

    def full(*args, **kwargs):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(model._pipe, "encode_prompt", full)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        model.make([Order("a hat", 1)])
    with pytest.raises(torch.cuda.OutOfMemoryError):
        model.warm_up()


def test_what_is_not_finite_is_passed_on(monkeypatch):
    model = opened("flux")
    decode = model._pipe.vae.decode
    monkeypatch.setattr(model._pipe.vae, "decode", lambda *args, **rest: (decode(*args, **rest)[0] * float("nan"),))
    assert np.isnan(model.make([Order("a hat", 1)])[0]).all()


def test_weights_that_do_not_fit_are_one_line(tmp_path):
    folder = copied("flux", tmp_path / "model")
    rewrite(folder / "transformer" / "config.json", joint_attention_dim=48)
    settings, stage = FLUX.model_copy(update={"model": str(folder)}), CASES["flux"][0]
    with pytest.raises(
        ModelError, match=r"^model .*/model cannot be loaded \(.*\); mend the folder or fetch it again$"
    ) as caught:
        open_model(stage, settings, look_up(stage, settings), "cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("part", "weight"), [("transformer", "proj_out.weight"), ("text_encoder_2", "SelfAttention.q.weight")])
def test_a_weight_that_is_not_there_is_never_drawn(part, weight, tmp_path):
    folder = copied("flux", tmp_path / "model")
    file = next((folder / part).glob("*.safetensors"))
    held = load_file(file)
    lost = next(name for name in held if name.endswith(weight))
    del held[lost]
    file.unlink()
    save_file(held, file, metadata={"format": "pt"})
    settings, stage = FLUX.model_copy(update={"model": str(folder)}), CASES["flux"][0]
    with pytest.raises(ModelError, match=rf"/model cannot be loaded \({part} lacks .*{weight}.*\); mend the folder"):
        open_model(stage, settings, look_up(stage, settings), "cpu")


def test_a_device_that_is_not_there_is_one_line():
    if torch.cuda.is_available():
        pytest.skip("there is one")
    stage, settings = CASES["flux"]
    with pytest.raises(ModelError, match=r"^model tiny:flux does not go to cuda \(.*\); set `offload`"):
        open_model(stage, settings, look_up(stage, settings), "cuda")


def test_tiles_dtype_and_bars(capfd):
    stage, settings = CASES["kontext"]
    tiled = KONTEXT.model_copy(update={"vae_tiling": True, "dtype": "bfloat16", "offload": "model"})
    model = open_model(stage, tiled, look_up(stage, tiled), "cpu")
    assert model._pipe.vae.use_tiling
    assert {part.dtype for part in (model._pipe.vae, model._pipe.transformer, model._pipe.text_encoder)} == {torch.bfloat16}
    assert np.isfinite(model.make(orders(stage, settings))).all()
    assert capfd.readouterr() == ("", "")


def test_wan_s_decoder_stays_in_full_precision():
    stage = CASES["wan"][0]
    half = WAN.model_copy(update={"dtype": "bfloat16"})
    pipe = open_model(stage, half, look_up(stage, half), "cpu")._pipe
    assert (pipe.vae.dtype, pipe.transformer.dtype, pipe.transformer_2.dtype) == (torch.float32, torch.bfloat16, torch.bfloat16)


def test_nothing_but_safetensors_is_asked_for(monkeypatch):
    stage, settings = CASES["flux"]
    asked = {}
    pipeline = pipeline_class("", "FluxPipeline")
    true = pipeline.from_pretrained.__func__
    monkeypatch.setattr(pipeline, "from_pretrained", classmethod(lambda cls, *a, **k: asked.update(k) or true(cls, *a, **k)))
    open_model(stage, settings, look_up(stage, settings), "cpu")
    assert asked["use_safetensors"] is True
    assert asked["local_files_only"] is True
