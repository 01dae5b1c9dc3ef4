"""The card of the shipped weights: what they are, what they were made from, what they can and cannot do, in figures.

text = card(models, adapters, gate=json.loads(...), numbers=None)
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import mean, median
from typing import Any

import yaml

from synclora.embedded.shipping.checks import Adapter, Models

_FRONT = {
    "library_name": "diffusers",
    "pipeline_tag": "image-to-video",
    "license": "apache-2.0",
    "tags": ["ltx-video", "portrait", "sync-lora", "small", "for-demonstration"],
}

_WHAT = """\
# The embedded backbone

A very small image-to-video model in the LTX-Video architecture, for portraits of {size}, so that Sync-LoRA can be tried and measured on a
laptop without a GPU: **without the adapter it animates an edited portrait freely; with it, the edit is to move as the source video does.** How
far that is so, the figures below say. It is there to show the method, and for nothing else; whoever wants good pictures takes a large backbone.

```sh
python -m synclora.edit source.mp4 first.png --out edited.mp4 --backbone embedded
```"""

_WORDS = """\
**Words are not understood.** There is no text encoder: every prompt is answered with one and the same embedding (`caption.safetensors`), and
guidance on text changes nothing. What the edit shows is said by its first frame."""

_DATA = """\
## Training data

- Short portrait clips that are committed in public repositories under the MIT and Apache-2.0 licences. Some are generated, or filmed by models
  contracted for it; of most, the repository does not say where they come from or whom they show.
- Clips under CC-BY 4.0 (Intel Corporation, sample-videos; cropped and re-encoded) and under the Pexels licence (Wolfgang Langer).
- Portraits in the public domain, and generated faces.
- Puppets: performances that this project renders from those pictures by a script, in many looks.

No clip is part of this repository. A few people are kept out of training, some to be watched meanwhile and some for the final figures;
`synclora/embedded/clips/split.py` names their clips."""

_LIMITS = """\
## Limits

- **Small, and of a narrow domain**: one upright head and shoulders, its face {share} of the picture's width, in pictures of {size},
  {frames} frames at a time. A longer clip is edited in windows, each beginning from the one before. Fine lines (hair, glasses, teeth) blur.
  What is unlike the training data comes out as something like it: profiles, hands, several people, children, drawings.
- Trained on a few dozen faces. Faces unlike those may be changed in ways that nobody asked for.
- Not for identifying people, for judging who or how they are, for impersonation or deception, nor for any use beyond showing the method.
- Edit people who agreed to it, and say that the result is edited."""

_LICENSE = """\
## License

Apache-2.0, for the weights. The training data have licences of their own, above."""


def card(
    models: Models, adapters: Sequence[Adapter], *, gate: Mapping[str, Any] | None = None, numbers: str | None = None
) -> str:
    """The whole README.md.

    Args:
        models: autoencoder and transformer.
        adapters: that are shipped beside them.
        gate: gate.json, as `synclora.embedded.gate` writes it; None says that nothing was measured.
        numbers: numbers.md, as `synclora.embedded.measure` writes it; None likewise.
    """
    trained = models.trained
    size = f"{trained.width}×{trained.height} pixels"
    share = f"{trained.face_share:.0%}" if trained.face_share else "any share"
    sections = [
        f"---\n{yaml.safe_dump(_FRONT, sort_keys=False)}---",
        _WHAT.format(size=size),
        _WORDS,
        _architecture(models, adapters),
        _DATA,
        _recipe(models),
        _autoencoder(gate),
        _edits(numbers),
        _LIMITS.format(share=share, size=size, frames=trained.frames),
        _LICENSE,
    ]
    return "\n\n".join(sections) + "\n"


def _architecture(models: Models, adapters: Sequence[Adapter]) -> str:
    config = models.stream.transformer.config
    heads, deep = config.num_attention_heads, config.num_layers  # type: ignore[union-attr]
    wide = heads * config.attention_head_dim  # type: ignore[union-attr,operator]
    rows = [
        ["autoencoder", "AutoencoderKLLTXVideo", _millions(models.parameters["vae"]), _megabytes(models.bytes["vae"])],
        [
            "transformer",
            f"LTXVideoTransformer3DModel, {deep} blocks, {heads} heads, {wide} wide",
            _millions(models.parameters["transformer"]),
            _megabytes(models.bytes["transformer"]),
        ],
    ]
    for adapter in adapters:
        facts, count = adapter.metadata, sum(tensor.numel() for tensor in adapter.state.values())
        rows.append(
            [
                f"adapters/{adapter.name}",
                f"rank {facts.rank}, attention {facts.attention_mode}",
                _millions(count),
                _megabytes(2 * count),
            ]
        )
    return (
        f"## Architecture\n\n{_table(['part', 'what', 'parameters', 'size'], rows)}\n\nAll weights are float16, in safetensors."
    )


def _recipe(models: Models) -> str:
    rows = [[name, _text(value)] for name, value in _flat(models.made_by)]
    said = _table(["", ""], rows) if rows else "Not said."
    return (
        "## Recipe\n\nMade by `python -m synclora.embedded.autoencoder` and `python -m synclora.embedded.transformer`, each from a seed.\n"
        "Adapters by `jobs/train.py`: `jobs/recipes/train-embedded.yaml`, and from there on `train-embedded-2.yaml`, which says the commands.\n"
        f"What was tried is in `synclora/embedded/experiments.md`.\n\n{said}\n\nDigest of the weights: `{models.digest}`."
    )


def _autoencoder(gate: Mapping[str, Any] | None) -> str:
    title = "## The autoencoder on unseen clips"
    if gate is None:
        return f"{title}\n\nNot measured."
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for clip in gate["clips"]:
        groups.setdefault((clip["split"], clip["kind"]), []).append(clip)
    rows = [[f"{split.replace('_', ' ')}, {kind}", *_judged(clips)] for (split, kind), clips in sorted(groups.items())]
    head = ["clips", "number", "face found", "blink r", "speech r", "gaze r (ceiling)", "dB"]
    said = "Open." if gate["open"] else f"Shut: {_text('; '.join(gate['findings']))}."
    return (
        f"{title}\n\nEvery cue measured again after encoding and decoding, as correlation with the source. Blink and speech are medians\n"
        "over the clips in which they move enough to tell, with the lowest in brackets; gaze is a median, its ceiling the same picture\n"
        "merely made small.\n\n"
        f"{_table(head, rows)}\n\nThe gate (a face in 95 % of frames, blink and speech r ≥ .9 in every clip): {said}"
    )


def _judged(clips: Sequence[Mapping[str, Any]]) -> list[str]:
    from synclora.embedded.gate import LIMITS

    frames = sum(clip["frames"] for clip in clips)
    cells = [str(len(clips)), f"{sum(clip['face'] * clip['frames'] for clip in clips) / max(1, frames):.1%}"]
    for cue, least in LIMITS.items():
        values = _finite(clip["r"][cue] for clip in clips if clip["std"][cue] >= least)
        cells.append(f"{median(values):.2f} ({min(values):.2f})" if values else "–")
    gaze, most = _finite(clip["r"]["gaze"] for clip in clips), _finite(clip["ceiling"]["gaze"] for clip in clips)
    cells.append(f"{median(gaze):.2f} ({median(most):.2f})" if gaze and most else "–")
    return [*cells, f"{mean(clip['psnr'] for clip in clips):.1f}"]


def _edits(numbers: str | None) -> str:
    return f"## Edits, measured\n\n{numbers or 'Not measured for these weights.'}".rstrip()


def _flat(values: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}, ")
        else:
            yield f"{before}{name}", value


def _finite(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None and math.isfinite(value)]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(value: Any) -> str:
    """A table's cell, on one line."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    text = f"{value:.4g}" if isinstance(value, float) else " ".join(str(value).split())
    return text.replace("|", "\\|").replace("<", "&lt;")


def _millions(count: int) -> str:
    return f"{count / 1e6:.2f} M"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
