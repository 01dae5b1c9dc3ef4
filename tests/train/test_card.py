import ast
import re

import pytest
from huggingface_hub import ModelCard
from PIL import Image

from synclora.train.adapter import load_adapter, save_adapter
from synclora.train.card import write_card
from tests.train.adapters import adapted, metadata, stream, tiny


def card(folder, facts=None, samples=(), of=None, **settings):
    return write_card(folder, of or metadata(), facts or {}, samples, **settings).read_text(encoding="utf-8")


def test_front_matter_is_what_the_hub_reads(tmp_path):
    data = ModelCard(card(tmp_path, license_id="apache-2.0")).data
    assert data.library_name == "diffusers"
    assert data.pipeline_tag == "video-to-video"
    assert data.license == "apache-2.0"
    assert data.base_model == "Lightricks/LTX-Video-0.9.5"
    assert {"lora", "in-context", "ltx-video"} <= set(data.tags)
    assert data.to_dict()["instance_prompt"] == "3d1t"


def test_license_is_a_placeholder_until_chosen(tmp_path):
    assert ModelCard(card(tmp_path)).data.license == "other"
    assert "Not chosen yet" in card(tmp_path)


@pytest.mark.parametrize("name", ["tiny:ltx-video", "/home/me/models/my-ltx", "models/my-ltx"])
def test_a_folder_is_no_hub_id_and_its_path_stays_private(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "my-ltx").mkdir(parents=True)
    text = card(tmp_path, of=metadata(base_model=name))
    assert ModelCard(text).data.base_model is None
    assert name.split("/")[-1] in text
    assert "models/my-ltx" not in text


def test_random_weights_are_said_before_anything_else(tmp_path):
    text = card(tmp_path, of=metadata(random_base=True))
    assert text.index("random weights") < text.index("## Use")
    assert "random weights" not in card(tmp_path)


def test_a_causal_adapter_warns_and_shows_no_pipeline_that_spoils_it(tmp_path):
    text = card(tmp_path, of=metadata(kind="ltx-2", attention_mode="causal-source"))
    assert re.search(r"wrong in\s+>?\s*pipelines in which all tokens see all", text)
    assert "from diffusers import" not in text
    assert "models/loras" not in text
    text = card(tmp_path, of=metadata(kind="ltx-2"))
    assert "wrong in" not in text
    assert "from diffusers import LTX2InContextPipeline" in text
    assert "comfyui.safetensors" in text


def test_trigger_caption_is_shown_exactly(tmp_path):
    assert "Prompt: exactly `3d1t`" in card(tmp_path)
    assert "exactly `` a `tick` | b ``" in card(tmp_path, of=metadata(caption="a `tick` | b"))
    assert "own caption" in card(tmp_path, of=metadata(caption=None))


@pytest.mark.parametrize("kind", ["ltx-video", "ltx-2"])
def test_code_in_the_card_is_python(tmp_path, kind):
    blocks = re.findall(r"```python\n(.*?)```", card(tmp_path, of=metadata(kind=kind, caption='it\'s "so"')), re.DOTALL)
    assert len(blocks) == (2 if kind == "ltx-2" else 1)
    for block in blocks:
        ast.parse(block)


def test_our_code_in_the_card_runs(tmp_path, monkeypatch):
    made = metadata(base_model="tiny:ltx-video", alpha=4.0, random_base=True)
    save_adapter(tmp_path, adapted(stream(), alpha=4.0), made)
    code = re.search(r"```python\n(.*?)```", card(tmp_path, of=made), re.DOTALL)[1]
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code.replace('"cuda"', '"cpu"'), names)
    assert names["metadata"] == load_adapter(tmp_path)[1]
    assert names["stream"].transformer.peft_config["default"].lora_alpha == 4.0


def test_code_for_diffusers_in_the_card_runs(tmp_path, monkeypatch):
    made = metadata(kind="ltx-2", base_model="tiny:ltx-2", alpha=4.0, width=64, height=64, frames=9)
    save_adapter(tmp_path, adapted(stream("ltx-2"), alpha=4.0), made)
    code = re.findall(r"```python\n(.*?)```", card(tmp_path, of=made), re.DOTALL)[1]
    code = code.replace('"tiny:ltx-2"', repr(str(tiny("ltx-2").folder))).replace("pipe.enable_model_cpu_offload()", "")
    code = code.replace("torch.bfloat16", "torch.float32").replace(
        "return_dict=False", "return_dict=False, num_inference_steps=2"
    )
    monkeypatch.chdir(tmp_path)
    frames = [Image.new("RGB", (64, 64), (20 * i, 100, 50)) for i in range(9)]
    names = {"source_frames": frames, "edited_first_frame": frames[0], "fps_of_the_source": 25.0}
    exec(code, names)
    assert len(names["video"][0]) == 9


def test_facts_stand_in_one_table_and_cannot_break_it(tmp_path):
    text = card(tmp_path, {"loss, last steps": 0.0123456, "GPU": "H100 | SXM\n80 GB", "note": "<img src=x>"})
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert "| loss, last steps | 0.01235 |" in rows
    assert r"| GPU | H100 \| SXM 80 GB |" in rows
    assert "| note | &lt;img src=x> |" in rows
    assert "| clips | 512×448, up to 81 frames, 24 to 29.97 fps |" in rows
    assert "| pairs | 42 |" in rows
    assert "| edited first frame given | 90% of samples |" in rows


def test_samples_are_shown_by_relative_paths(tmp_path):
    folder = tmp_path / "samples"
    text = card(tmp_path, samples=[folder / "one [a].jpg", folder / "edit.mp4"])
    assert r"![one \[a\]](<samples/one [a].jpg>)" in text
    assert "\n[edit](<samples/edit.mp4>)" in text
    assert "## Samples" not in card(tmp_path)
    with pytest.raises(ValueError, match="subpath"):
        card(tmp_path / "samples", samples=[tmp_path / "x.jpg"])


def test_use_by_consent_is_asked_for(tmp_path):
    assert "## Responsible use" in card(tmp_path)


def test_equal_facts_give_equal_cards_and_nothing_else_is_left(tmp_path):
    assert card(tmp_path, {"a": 1}) == card(tmp_path, {"a": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_a_card_says_what_clips_were_cut_to(tmp_path):
    text = " ".join(card(tmp_path, of=metadata(face_share=0.58)).split())
    assert "the face of the source's first frame has 58% of the width" in text
    assert "| Picture | cut so that the first frame's face has 58% of the width |" in text
    assert "Picture" not in card(tmp_path)
