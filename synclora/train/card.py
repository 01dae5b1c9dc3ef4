"""The model card of an adapter: a README.md as model hubs show it, with what one must know to use the adapter rightly.

write_card(out / "adapter", metadata, {"loss, last 100 steps": 0.0123}, samples=[out / "adapter" / "samples" / "heldout.jpg"])
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from synclora.train.adapter import COMFYUI_FILE, DIFFUSERS_FILE, AdapterMetadata

Fact = str | int | float

_PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".gif"}
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")

_INTRODUCTION = """\
An in-context LoRA for portrait video editing. It takes a source video and that video's first frame, edited; it makes the whole edited video,
which moves as the source does: every blink, glance, syllable and gesture on the same frame. The method is that of
[In-Context Sync-LoRA for Portrait Video Editing](https://arxiv.org/abs/2512.03013)."""

_RANDOM = """\
> [!WARNING]
> **The base model has random weights.** This adapter shows that training, saving and loading work. It edits nothing; do not
> publish it as a model."""

_ANY_CAPTION = "Each pair was trained with its own caption: describe the edited video."
_SHARED = "Trained with `shared` attention: source and target tokens all see each other, as in other in-context pipelines."
_CAUSAL = """\
> [!IMPORTANT]
> **Trained with `causal-source` attention**: source tokens see only source tokens, with noise level 0 in every modulation. It is wrong in
> pipelines in which all tokens see all, `LTX2InContextPipeline` and ComfyUI's in-context workflows among them: they load it without
> complaint and edit badly."""

_OURS = """\
With this project, on the layers and with the token layout of training:

```python
import torch
from pathlib import Path
from synclora.backbone.find import find_backbone
from synclora.train.adapter import load_adapter
from synclora.train.lora import attach_lora

state, metadata = load_adapter(Path("{file}"))
stream = find_backbone("{base}").stream(torch.bfloat16, "cuda", metadata.attention_mode)
attach_lora(stream, state, metadata.alpha)
```"""

_DIFFUSERS_LTX2 = """\
With diffusers. `crf=0` because the first frames of training were not compressed again:

```python
import torch
from diffusers import LTX2InContextPipeline
from diffusers.pipelines.ltx2 import LTX2ReferenceCondition, LTX2VideoCondition

pipe = LTX2InContextPipeline.from_pretrained("{base}", dtype=torch.bfloat16)
pipe.enable_model_cpu_offload()
pipe.load_lora_weights(".", weight_name="{file}")
video, _ = pipe(
    prompt={caption},
    reference_conditions=LTX2ReferenceCondition(frames=source_frames),
    conditions=LTX2VideoCondition(frames=edited_first_frame, index=0, crf=0),
    width={width}, height={height}, num_frames={frames}, frame_rate=fps_of_the_source,
    guidance_scale=1.0, stg_scale=0.0, modality_scale=1.0,  # none of them in training
    audio_guidance_scale=1.0, audio_stg_scale=0.0, audio_modality_scale=1.0,
    return_dict=False,
)
```

The audio that comes out is invented: put the source's own under the video."""

_DIFFUSERS_LTX_VIDEO = """\
With diffusers, `load_lora_weights(".", weight_name="{file}")` loads it into any LTX-Video pipeline. None of these takes a source video, so
edits need a token layout such as this project's: the source's tokens before the target's, at timestep 0 and on the same coordinates
(`video_coords` and a timestep per token are arguments of `LTXVideoTransformer3DModel`)."""

_COMFYUI = """\
In ComfyUI, put `{file}` into `models/loras` and load it for the model alone in an in-context workflow for this base model: the source video
as reference, full strength and resolution, the edited frame as first frame. Its scale is 1."""

_RESPONSIBLE = """\
## Responsible use

This makes videos of people doing and saying what they did in another video, with another look. Use it on people who agreed to it, and on
footage that you may change. Say that the result is edited, in the video or beside it, and keep provenance data where your tools write them.
Not for impersonation, for deceiving viewers or systems that check who someone is, for harassment, or for sexual content. Edits follow the
first frame: one that is not aligned with the source's first frame, and rapid motion, give poor ones. Faces unlike those it was trained on may
be changed in ways that nobody asked for; look at the result before you show it."""


def write_card(
    folder: Path,
    metadata: AdapterMetadata,
    facts: Mapping[str, Fact],
    samples: Sequence[Path] = (),
    *,
    license_id: str = "other",
    pipeline_tag: str = "video-to-video",
    title: str | None = None,
    comfyui: bool = True,
) -> Path:
    """Write folder/README.md.

    Args:
        folder: where the adapter's files are.
        metadata: the adapter's.
        facts: more rows for the table of the training.
        samples: pictures and videos to show; they must lie in the folder.
        license_id: as the hub names it; `other` leaves the choice open.
        pipeline_tag: the hub's task.
        title: None makes one from the base model's name.
        comfyui: its file for ComfyUI is in the folder.

    Raises:
        ValueError: a sample that lies elsewhere.
        OSError: the folder cannot be written.
    """
    base = _base(metadata)
    sections = [
        _front(metadata, license_id, pipeline_tag),
        f"# {_text(title or f'Sync-LoRA for {base}')}",
        _RANDOM if metadata.random_base else "",
        _INTRODUCTION,
        _usage(metadata, base, comfyui=comfyui),
        _table(metadata, base, facts),
        _shown([sample.resolve().relative_to(folder.resolve()) for sample in samples]),
        _RESPONSIBLE,
        _license(license_id, base),
    ]
    path = folder / "README.md"
    scratch = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        scratch.write_text("\n\n".join(filter(None, sections)) + "\n", encoding="utf-8")
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
    return path


def _base(metadata: AdapterMetadata) -> str:
    """The base model's name without the way to it: a card is published, a folder's path is the user's own."""
    name = metadata.base_model
    return name if _HUB_ID.fullmatch(name) and not Path(name).is_dir() else Path(name).name or name


def _front(metadata: AdapterMetadata, license_id: str, pipeline_tag: str) -> str:
    front: dict[str, object] = {"library_name": "diffusers", "pipeline_tag": pipeline_tag, "license": license_id}
    if "/" in (base := _base(metadata)):  # hubs refuse anything but their own ids
        front |= {"base_model": base, "base_model_relation": "adapter"}
    front["tags"] = ["lora", "in-context", "video-editing", "portrait", "sync-lora", metadata.kind]
    if metadata.caption:
        front["instance_prompt"] = metadata.caption
    return f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---"


def _usage(metadata: AdapterMetadata, base: str, *, comfyui: bool) -> str:
    prompt = _ANY_CAPTION
    if metadata.caption is not None:
        prompt = (
            f"Prompt: exactly {_code(metadata.caption)}, the one caption it was trained with. The first frame says what to edit."
        )
    size = f"{metadata.width}×{metadata.height}, up to {metadata.frames} frames, {_fps(metadata)} frames per second"
    shared = metadata.attention_mode == "shared"
    diffusers = _DIFFUSERS_LTX2 if metadata.kind == "ltx-2" else _DIFFUSERS_LTX_VIDEO
    names = {"base": base, "caption": repr(metadata.caption or "what the edited video shows"), "width": metadata.width}
    names |= {"height": metadata.height, "frames": metadata.frames}
    parts = [
        "## Use",
        prompt,
        f"Give the source's own frame rate; it was trained on {size}.",
        _SHARED if shared else _CAUSAL,
        _OURS.format(file=DIFFUSERS_FILE, **names),
    ]
    if shared:
        parts += [diffusers.format(file=DIFFUSERS_FILE, **names), _COMFYUI.format(file=COMFYUI_FILE) if comfyui else ""]
    return "\n\n".join(filter(None, parts))


def _table(metadata: AdapterMetadata, base: str, facts: Mapping[str, Fact]) -> str:
    rows: dict[str, Fact] = {
        "base model": base + (f" ({metadata.revision})" if metadata.revision else ""),
        "rank, alpha": f"{metadata.rank}, {metadata.alpha:g}",
        "pairs": metadata.trained_pairs,
        "steps": metadata.steps,
        "clips": f"{metadata.width}×{metadata.height}, up to {metadata.frames} frames, {_fps(metadata)} fps",
        "caption": _code(metadata.caption) if metadata.caption is not None else "each pair's own",
        "attention": metadata.attention_mode,
        "edited first frame given": f"{metadata.first_frame_probability:.0%} of samples",
        "recipe": metadata.recipe,
        "made with": f"synclora {metadata.version}",
    }
    lines = [f"| {_cell(name)} | {_cell(value)} |" for name, value in {**rows, **facts}.items()]
    return "## Training\n\n| | |\n|---|---|\n" + "\n".join(lines)


def _shown(samples: Sequence[Path]) -> str:
    if not samples:
        return ""
    links = [
        f"{'!' if sample.suffix.lower() in _PICTURES else ''}[{_text(sample.stem)}](<{sample.as_posix()}>)" for sample in samples
    ]
    return "## Samples\n\n" + "\n\n".join(links)


def _license(license_id: str, base: str) -> str:
    if license_id == "other":
        return f"## License\n\nNot chosen yet. The license of {_text(base)} binds whoever uses this adapter with it."
    return f"## License\n\n{_text(license_id)}. The license of {_text(base)} binds whoever uses this adapter with it as well."


def _fps(metadata: AdapterMetadata) -> str:
    low, high = f"{metadata.fps_min:g}", f"{metadata.fps_max:g}"
    return low if low == high else f"{low} to {high}"


def _code(text: str) -> str:
    """A code span, whatever is in it."""
    text = " ".join(text.split())
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text}{fence}"


def _text(text: str) -> str:
    """Plain text that Markdown leaves as it is, on one line."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))


def _cell(value: Fact) -> str:
    text = " ".join(f"{value:.4g}".split() if isinstance(value, float) else str(value).split()).replace("|", r"\|")
    return text if text.startswith("`") else text.replace("<", "&lt;")
