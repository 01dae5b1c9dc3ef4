"""What a recipe says of generating pairs: three models and their pools, the checks between them, the goal."""

from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from synclora.settings import Settings


class Stage(StrEnum):
    """What is made of a scene, in this order."""

    PORTRAIT = "portrait"
    EDIT = "edit"
    VIDEO = "video"


class Pool(Settings):
    """A model's actors. Never changes a result.

    Attributes:
        gpus: share of a GPU per actor; several models fit on one card where their shares add up to 1.
        min_actors: held from the start.
        max_actors: the pool grows to as many while work waits.
        batch: scenes per call of the model; halved for good when the card's memory ends.
        cpus: for the Python beside the GPU.
        memory_mb: of the machine, while weights are loaded; 0 asks for none.
        resource: a custom resource that only the nodes meant for this pool offer, "" for any node.
    """

    gpus: float = Field(default=1.0, ge=0)
    min_actors: int = Field(default=1, ge=1)
    max_actors: int = Field(default=1, ge=1)
    batch: int = Field(default=1, ge=1, le=64)
    cpus: float = Field(default=1.0, gt=0)
    memory_mb: int = Field(default=0, ge=0)
    resource: str = ""

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.max_actors < self.min_actors:
            raise ValueError(f"max_actors {self.max_actors} is less than min_actors {self.min_actors}")
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise ValueError(f"gpus {self.gpus}: above 1, whole cards only")
        return self


class ModelSettings(Settings):
    """One diffusers pipeline and how it is called.

    Attributes:
        model: hub id (`owner/name`), folder in diffusers' layout, or miniature (`tiny:…`).
        revision: of the hub's repository.
        pipeline: class of diffusers; "" is the one that the folder names.
        dtype: of the weights.
        steps: of the sampler.
        guidance: the pipeline's `guidance_scale`; None leaves the pipeline's own.
        negative_prompt: what to keep away from; "" gives none.
        width: of the picture that is asked for, in pixels.
        height: of it.
        arguments: more arguments of the pipeline's own call, by its names, such as `true_cfg_scale`.
        offload: where idle parts wait: on the card (`none`), or in the machine's memory part by part (`model`) or layer by layer (`sequential`).
        vae_tiling: decode in tiles: less memory, faint seams.
        expect_s: seconds of one GPU for one picture or video, for `--plan`, until this run's own are known.
        pool: its actors.
    """

    model: str
    revision: str | None = None
    pipeline: str = ""
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    steps: int = Field(default=28, ge=1, le=200)
    guidance: float | None = Field(default=None, ge=0)
    negative_prompt: str = ""
    width: int = Field(default=1024, ge=64, le=4096, multiple_of=16)  # 64: the smallest side that curation opens
    height: int = Field(default=1024, ge=64, le=4096, multiple_of=16)
    arguments: dict[str, Any] = Field(default_factory=dict)
    offload: Literal["none", "model", "sequential"] = "none"
    vae_tiling: bool = False
    expect_s: float = Field(default=10.0, gt=0)
    pool: Pool = Pool()

    def making(self) -> dict[str, Any]:
        """The settings that what is made depends on; the model itself stands in them by its identity."""
        return self.model_dump(mode="json", exclude={"model", "revision", "expect_s", "pool", "offload"})


class VideoSettings(ModelSettings):
    """The image-to-video model. `width` is that of the two halves together.

    Attributes:
        frames: of the video; of the form that the model makes (8k+1 for LTX, 4k+1 for Wan).
        fps: frames per second that the model was trained at, and the pairs are written at.
        crf: x264's quality of the halves.
    """

    frames: int = Field(default=81, ge=9, le=513)
    fps: int = Field(default=16, ge=8, le=60)
    crf: int = Field(default=12, ge=0, le=30)

    @model_validator(mode="after")
    def _halves(self) -> Self:
        if self.width % 32 or self.width < 128:
            raise ValueError(f"width {self.width}: of two halves, each a multiple of 16 and at least 64")
        return self


class CheckSettings(Settings):
    """What a portrait and its edit must show before anything is animated.

    Attributes:
        faces: look for faces; off for random weights only, whose pictures show none.
        min_face: width of the face, from ear to ear, over the picture's. The paper's own portraits have .15 to .20.
        second_face: width of a second face over the first one's from which there are two people; curation's rule.
        min_edit: see `change.edit_strength`. Of 35 portraits, passed through JPEG 60, an imitated autoencoder's blur and noise, two pixels of
            shift or one percent of zoom, none had more than .001; through an imitated drift of colours the largest had .024, the 90th percentile
            .009. Of real models' outputs with nothing edited, five first frames were at hand: all 0.
            A drawn earring had .017 at least, glasses .056, real edits .07 and more; through autoencoder and drift together 2 of 35 earrings and
            6 of 35 tinted lips fell below. Light that moves all colours by less than .03 is no edit.
        min_likeness: see `Look.likeness`: below, it is another person or view. 31 real edits had .60 and more, 69 new backgrounds .45 and more
            but for one of .24, of a blurred clip; 255 strangers whose faces lay in the same place .11 in the 90th percentile and .33 at most.
        max_misalignment: mean distance of eleven points of the face, in face widths; curation's rule for first frames.
        cpus: of a checking task.
    """

    faces: bool = True
    min_face: float = Field(default=0.12, ge=0, le=1)
    second_face: float = Field(default=0.4, ge=0, le=1)
    min_edit: float = Field(default=0.01, ge=0, le=1)
    min_likeness: float = Field(default=0.35, ge=-1, le=1)
    max_misalignment: float = Field(default=0.35, gt=0)
    cpus: float = Field(default=0.5, gt=0)


MAX_SCENES = 10_000_000


class Goal(Settings):
    """When a run ends.

    Attributes:
        target_kept: pairs to keep; 0 goes through all scenes.
        scenes: scenes to try at most. `--target-kept` without `--scenes` lifts it.
        gpu_hours: GPU time to spend in this run at most; 0 sets no limit.
        ahead: scenes begun at once at most, the oldest unfinished one included; 0 is four times what all pools hold in a batch.
    """

    target_kept: int = Field(default=0, ge=0)
    scenes: int = Field(default=64, ge=1, le=MAX_SCENES)
    gpu_hours: float = Field(default=0.0, ge=0)
    ahead: int = Field(default=0, ge=0)


class Expect(Settings):
    """Shares that pass, for `--plan`, until this run's own are known.

    Attributes:
        portrait: of the portraits made, that pass the check.
        edit: of the edits made, that pass the check.
        video: of the videos made, that curation keeps.
    """

    portrait: float = Field(default=0.9, gt=0, le=1)
    edit: float = Field(default=0.6, gt=0, le=1)
    video: float = Field(default=0.04, gt=0, le=1)


class GenerateSettings(Settings):
    """Everything that decides how pairs are generated.

    Attributes:
        seed: everything random follows from it.
        prompts: folder with files of the user's own prompts, added to or put in place of the shipped ones; None for the shipped ones alone.
        kinds: kinds of edits, in equal numbers; () for all of the catalogue.
        caption: `instruction` gives each pair its edit in words, without what the edit model is told to keep; `token` the constant caption.
        portrait: text to picture.
        edit: picture and instruction to picture.
        video: picture and words to video.
        checks: between them.
        goal: when to end.
        expect: for `--plan`.
        attempts: a scene that ended its worker so often is quarantined as crashed.
        seconds_per_call: a call of a model that takes longer ends its worker.
    """

    seed: int = Field(default=0, ge=0)
    prompts: Path | None = None
    kinds: tuple[str, ...] = ()
    caption: Literal["instruction", "token"] = "instruction"
    portrait: ModelSettings = ModelSettings(model="black-forest-labs/FLUX.1-dev", guidance=3.5)
    edit: ModelSettings = ModelSettings(model="black-forest-labs/FLUX.1-Kontext-dev", guidance=2.5)
    video: VideoSettings = VideoSettings(model="Wan-AI/Wan2.2-I2V-A14B-Diffusers", width=960, height=480, steps=40, guidance=3.5)
    checks: CheckSettings = CheckSettings()
    goal: Goal = Goal()
    expect: Expect = Expect()
    attempts: int = Field(default=2, ge=1, le=10)
    seconds_per_call: float = Field(default=3600.0, gt=0)

    @model_validator(mode="after")
    def _one_shape(self) -> Self:
        half = self.video.width // 2, self.video.height
        for name, stage in (("portrait", self.portrait), ("edit", self.edit)):
            if stage.width * half[1] != stage.height * half[0]:
                raise ValueError(
                    f"{name} of {stage.width}x{stage.height} has another shape than half a video, {half[0]}x{half[1]}"
                )
        return self

    def stage(self, stage: Stage) -> ModelSettings:
        """The model of a stage."""
        return {Stage.PORTRAIT: self.portrait, Stage.EDIT: self.edit, Stage.VIDEO: self.video}[stage]
