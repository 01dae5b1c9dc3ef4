"""What single classes need: equal to what diffusers does with a single picture, or to what the library's own processor says."""

import numpy as np
import pytest
from PIL import Image

from synclora.pairs.diffusion import quirks
from synclora.pairs.diffusion.find import look_up
from synclora.pairs.diffusion.model import open_model
from tests.pairs.diffusion.models import CASES, orders

pytestmark = pytest.mark.usefixtures("one_thread")


def opened(name):
    stage, settings = CASES[name]
    return open_model(stage, settings, look_up(stage, settings), "cpu")


def test_a_single_edit_is_qwen_s_own():
    stage, settings = CASES["qwen"]
    order, model = orders(stage, settings)[0], opened("qwen")
    encode, seen = model._pipe.encode_prompt, []

    def watched(**given):
        pictures = given["image"] if isinstance(given["image"], list) else [given["image"]]
        seen.append([picture.size for picture in pictures])
        return encode(**given)

    model._pipe.encode_prompt = watched
    own = model._pipe(
        image=Image.fromarray(order.picture),
        prompt=order.prompt,
        negative_prompt=" ",
        true_cfg_scale=4.0,
        **{"width": 64, "height": 64, "num_inference_steps": 2, "output_type": "np"},
        generator=quirks.generator("QwenImageEditPipeline", order.seed, "cpu"),
    ).images[0]
    np.testing.assert_allclose(model.make([order])[0], own, rtol=0, atol=1e-6)
    assert seen == [[(1024, 1024)]] * 4  # instruction and negative prompt, by itself and through us


def test_a_single_video_is_ltx_2_s_own():
    stage, settings = CASES["ltx2"]
    order, model = orders(stage, settings)[0], opened("ltx2")
    own = model._pipe(
        image=Image.fromarray(order.picture),
        prompt=order.prompt,
        **{"width": 128, "height": 64, "num_frames": 9, "frame_rate": 24, "num_inference_steps": 2, "output_type": "np"},
        generator=quirks.generator("LTX2ImageToVideoPipeline", order.seed, "cpu"),
    ).frames[0]
    np.testing.assert_allclose(model.make([order])[0], own, rtol=0, atol=1e-6)


def test_qwen_is_told_which_tokens_are_a_picture_s():
    pipe = opened("qwen")._pipe
    text = [pipe.prompt_template_encode.format(words) for words in ("a hat", "a hat and a much longer coat")]
    read = pipe.processor(text=text, images=[Image.new("RGB", (56, 56))] * 2, padding=True, return_tensors="pt")
    expected = read.pop("mm_token_type_ids")
    _, told = quirks._mark_pictures(pipe.text_encoder, (), dict(read))
    assert told["mm_token_type_ids"].tolist() == expected.tolist()
    assert expected.sum() == 2 * 4
    without = pipe.text_encoder(**read).logits
    np.testing.assert_array_equal(
        without.detach().numpy(), pipe.text_encoder(**read, mm_token_type_ids=expected).logits.detach().numpy()
    )
    assert quirks._mark_pictures(pipe.text_encoder, (), {"input_ids": read["input_ids"]}) == (
        (),
        {"input_ids": read["input_ids"]},
    )
