"""How a training run ends: the adapter's files and card from the newest checkpoint, and a table of what was done."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from rich.markup import escape
from rich.table import Table

from synclora.backbone.find import find_backbone
from synclora.backbone.folder import weights_digest
from synclora.report.runlog import read_steps
from synclora.report.validations import read_validations
from synclora.train import checkpoint
from synclora.train.adapter import AdapterMetadata, save_adapter
from synclora.train.card import cut_words, write_card
from synclora.train.index import Encoded, read_index
from synclora.train.latents import LatentStore
from synclora.train.loop import Job
from synclora.train.recipe import TrainRecipe
from synclora.train.trainset import split


def write_adapter(job: Job, facts: Mapping[str, str]) -> None:
    """OUT/adapter: both layouts, the card, and the last validation's sheet.

    Raises:
        CheckpointError: there is no intact checkpoint.
        OSError: the disk is full; an older adapter stays.
    """
    folder = job.out / "adapter"
    kept = checkpoint.newest_or_refuse(job.checkpoints)
    trained, _ = split(read_index(LatentStore(job.out / "latents").index), job.recipe.validation.pairs)
    metadata = _metadata(job.recipe, trained, kept.step)
    save_adapter(folder, kept.weights(), metadata)
    samples = []
    if looked := [result for result in read_validations(job.out) if (result.folder / "contact.png").exists()]:
        samples = [folder / "samples" / "held-out.png"]
        samples[0].parent.mkdir(exist_ok=True)
        shutil.copyfile(looked[-1].folder / "contact.png", samples[0])
    write_card(folder, metadata, facts, samples, license_id=job.recipe.license)


def _metadata(recipe: TrainRecipe, trained: list[Encoded], steps: int) -> AdapterMetadata:
    backbone = find_backbone(recipe.backbone, recipe.revision)
    rates = [float(row.fps) for row in trained if row.fps]
    grids = [row.grid for row in trained if row.grid]
    largest = max(grids, key=lambda grid: grid.tokens)
    return AdapterMetadata(
        base_model=recipe.backbone,
        base_digest=weights_digest(backbone.folder) if backbone.trained else None,
        kind=backbone.kind,
        revision=recipe.revision,
        rank=recipe.lora.rank,
        alpha=recipe.lora.alpha or recipe.lora.rank,
        frames=max(grid.video_frames for grid in grids),
        width=largest.width * largest.stride_s,
        height=largest.height * largest.stride_s,
        face_share=recipe.encode.face_share,
        fps_min=min(rates),
        fps_max=max(rates),
        caption=recipe.caption,
        attention_mode=recipe.context.mode,
        first_frame_probability=recipe.context.first_frame,
        given_frames=max(count for count, share in enumerate(recipe.context.given_frames, start=1) if share),
        steps=steps,
        trained_pairs=len({row.pair_id for row in trained}),
        recipe=recipe.fingerprint(),
        random_base=backbone.random,
    )


def facts_of(job: Job, workers: int) -> dict[str, str]:
    """Lines for the report, the card and the closing table."""
    recipe, steps = job.recipe, list(read_steps(job.out))
    facts = {
        "Backbone": recipe.backbone,
        "Adapter": f"rank {recipe.lora.rank}, attention {recipe.context.mode}",
        "Workers": f"{workers}, {recipe.parallel.strategy}"
        + ("" if recipe.parallel.offload == "none" else f", offload {recipe.parallel.offload}"),
        "Steps": f"{len(steps)} of {recipe.batch} samples",
    }
    if recipe.encode.face_share is not None:
        facts["Picture"] = cut_words(recipe.encode.face_share)
    if len(shares := recipe.context.given_frames) > 1:
        given = ", ".join(f"{count} in {share:.0%}" for count, share in enumerate(shares, start=1))
        facts["Given"] = f"first latent frames of the edit: {given} of samples"
    if recipe.lora.start:
        facts["Begun with"] = f"{recipe.lora.start}, instead of a new adapter"
    if recipe.context.edit_share:
        facts["Weighed"] = f"{recipe.context.edit_share:.0%} of the loss goes by how far the halves are apart at a token"
    if not steps:
        return facts
    tenth = max(1, len(steps) // 10)
    first, last = (sum(step["loss"] for step in part) / len(part) for part in (steps[:tenth], steps[-tenth:]))
    facts["Loss"] = f"{first:.4g} in the first tenth of the steps, {last:.4g} in the last"
    seconds = median(step["seconds"] for step in steps)
    facts["Rate"] = (
        f"{seconds:.3g} s a step (median), {median(step['tokens'] / step['seconds'] for step in steps):.0f} tokens per second"
    )
    if bare := [step["ceiling_s"] / step["seconds"] for step in steps if step["ceiling_s"]]:
        facts["Ceiling"] = f"{median(bare):.0%} of the bare transformer's forward and backward pass"
    facts["Memory"] = f"{max(max(step['memory_mb']) for step in steps):.0f} MB at most in a worker"
    if looked := read_validations(job.out):
        facts["Held out"] = looked[-1].line
    if find_backbone(recipe.backbone, recipe.revision).random:
        facts["Weights"] = "random: this proves the plumbing, not a picture"
    return facts


def closing_table(out: Path, facts: Mapping[str, str]) -> Table:
    """What was done, and where it is."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, fact in facts.items():
        table.add_row(name.lower(), escape(fact))
    table.add_row("adapter", escape(str(out / "adapter")))
    table.add_row("report", escape(str(out / "report.html")))
    return table
