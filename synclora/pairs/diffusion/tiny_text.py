"""What the miniatures read with: encoders of a layer or two, and vocabularies over bytes, so that every prompt can be told from every other."""

import json
from typing import Any

_SENTENCES = [
    "a portrait of a woman of thirty with short dark hair, seated in a bright kitchen, facing the camera",
    "add a red hat to the person, and keep the face, the pose and the background as they are",
    "both speak to the camera, blink, turn the head to the left and lift a hand",
]


def t5(vocabulary: int) -> Any:
    """T5's encoder."""
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(T5Config(vocab_size=vocabulary, d_model=32, d_kv=16, d_ff=64, num_layers=1, num_heads=2))


def mistral(hidden: int) -> tuple[Any, Any]:
    """Mistral 3 and its tokenizer. Its true processor, which needs torchvision, only adds pictures, for prompt upsampling."""
    from transformers import Mistral3Config, Mistral3ForConditionalGeneration, PreTrainedTokenizerFast

    marks = ["[IMG]", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_byte_pieces(["<pad>", "<s>", "</s>", *marks]),
        **{"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "additional_special_tokens": marks},
        padding_side="left",
    )
    tokenizer.chat_template = (
        "{{ bos_token }}{% for message in messages %}{% set mark = 'SYSTEM_PROMPT' if message['role'] == 'system' else 'INST' %}"
        "[{{ mark }}]{% for part in message['content'] %}{{ part['text'] }}{% endfor %}[/{{ mark }}]{% endfor %}"
    )
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8}
    text = {"model_type": "mistral", "hidden_size": hidden, "intermediate_size": 32, "num_hidden_layers": 30, **heads}
    sight = {
        "model_type": "pixtral",
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    config = Mistral3Config(
        text_config={**text, "vocab_size": len(tokenizer)},
        vision_config={**sight, "head_dim": 8, "image_size": 64, "patch_size": 16},
        image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"),
    )
    return Mistral3ForConditionalGeneration(config), tokenizer


def qwen_vl(hidden: int) -> tuple[Any, Any, Any]:
    """Qwen2.5-VL, its tokenizer, and a processor that shows it a picture as four tokens.

    Its true processor also loads one of videos, which needs torchvision; this one of a like model answers the same call.
    """
    from transformers import (
        PaddleOCRVLProcessor,
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2Tokenizer,
        Qwen2VLImageProcessorPil,
    )

    marks = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    vocabulary, merges = _trained(_byte_pieces(["<|endoftext|>", *marks]))
    named = {"image_token": "<|image_pad|>"}
    tokenizer = Qwen2Tokenizer(vocab=vocabulary, merges=merges, additional_special_tokens=marks, extra_special_tokens=named)
    ids = dict(zip(("vision_start", "vision_end", "image", "video"), tokenizer.convert_tokens_to_ids(marks[2:]), strict=True))
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]}
    text = {"hidden_size": hidden, "intermediate_size": 64, "num_hidden_layers": 2, **heads, "rope_parameters": rope}
    sight = {"depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": hidden}
    config = Qwen2_5_VLConfig(
        text_config={**text, "vocab_size": len(tokenizer), "bos_token_id": 0, "eos_token_id": 0},
        vision_config={**sight, "fullatt_block_indexes": [0]},
        **{f"{name}_token_id": id for name, id in ids.items()},
    )
    looks = Qwen2VLImageProcessorPil(min_pixels=56 * 56, max_pixels=56 * 56)
    return Qwen2_5_VLForConditionalGeneration(config), tokenizer, PaddleOCRVLProcessor(looks, tokenizer)


def clip_tokenizer() -> Any:
    """CLIP's own, 77 tokens long."""
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    vocabulary, merges = _trained(_byte_pieces(["<|startoftext|>", "<|endoftext|>"], suffix="</w>"))
    for byte in sorted(pre_tokenizers.ByteLevel.alphabet()):  # that a word may end with, and none of the sentences does
        vocabulary.setdefault(f"{byte}</w>", len(vocabulary))
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)


def _byte_pieces(special: list[str], suffix: str = "") -> Any:
    """A small vocabulary over bytes, so that every text can be told: the special tokens first, in this order."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    ending: dict[str, Any] = {"end_of_word_suffix": suffix} if suffix else {}
    tokenizer = Tokenizer(models.BPE(**ending))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=2 * len(alphabet) + 128,
        special_tokens=special,
        initial_alphabet=alphabet,
        show_progress=False,
        **ending,
    )
    tokenizer.train_from_iterator(_SENTENCES, trainer)
    return tokenizer


def _trained(tokenizer: Any) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges, for tokenizers that bring their own rules."""
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(merge) for merge in model["merges"]]
