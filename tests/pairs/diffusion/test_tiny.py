"""The miniatures: true classes, small, in the hub's layout, and prompts that they can tell apart."""

import pytest

from synclora.pairs.diffusion.tiny import MINIATURES, tiny_pipeline


@pytest.mark.parametrize("kind", MINIATURES)
def test_they_are_small_and_in_the_hub_s_layout(kind):
    folder = tiny_pipeline(kind)
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert (folder / "model_index.json").is_file()
    assert list(folder.glob("transformer/*.safetensors"))
    assert {file.suffix for file in files} <= {".json", ".txt", ".jinja", ".safetensors"}
    assert sum(file.stat().st_size for file in files) < 20e6
    assert tiny_pipeline(kind) == folder


def test_an_unknown_miniature():
    with pytest.raises(KeyError):
        tiny_pipeline("sdxl")


@pytest.mark.parametrize(("kind", "part"), [("flux", "tokenizer"), ("flux2", "tokenizer"), ("qwen-image-edit", "tokenizer")])
def test_every_text_can_be_told(kind, part):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_pipeline(kind) / part)
    told = [tuple(tokenizer(text).input_ids) for text in ("a green hat", "a grown cat", "ein Bart, größer", "鬍子")]
    assert len(set(told)) == 4
    assert all(tokenizer.unk_token_id is None or tokenizer.unk_token_id not in ids[1:-1] for ids in told)
