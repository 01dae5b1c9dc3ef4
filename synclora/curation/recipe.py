"""The recipe of a curation: every setting of every room, in one value.

recipe = CurateRecipe.from_yaml(Path("jobs/recipes/curate.yaml"))
"""

from typing import Any

from pydantic import Field

from synclora.media.settings import MediaLimits
from synclora.motion.settings import LandmarkSettings, VerdictSettings
from synclora.pairs.diffusion.settings import GenerateSettings
from synclora.pairs.puppet.settings import PuppetSettings
from synclora.settings import Settings

_OF_THE_PROCESS = ("max_bytes", "wall_seconds", "cpu_seconds", "memory_mb", "videos_per_child")
"""Limits that say nothing of a video that was measured within them; size on disk is checked at every run."""


class Resources(Settings):
    """What Ray is asked for. Never changes a result."""

    actors: int = Field(default=0, ge=0)
    """Landmark actors; 0 is one per CPU of the cluster when the job starts."""
    actor_cpus: float = Field(default=0.75, gt=0)
    """Less than one, so that on every core a quarter is left to schedule the tasks that make or fetch the videos."""
    actor_gpus: float = Field(default=0.0, ge=0)
    """Share of a GPU to ask for, to place actors on GPU nodes. MediaPipe's wheel computes on the CPU either way."""
    actor_memory_mb: int = Field(default=1200, ge=0)
    """Measured: 462 MB at the peak with MediaPipe's graphs, 44 MB in its decoder. The rest is room for Ray's worker and large frames."""
    prepare_cpus: float = Field(default=0.25, gt=0)
    """The rest of each core: rendering puppets, fetching remote files."""
    prepare_ahead: int = Field(default=2, ge=1)
    """Preparing tasks at once per landmark actor: keeps actors fed and the disk from filling with videos nobody judges yet."""
    pin: bool = True
    """Hold each actor on one core: unpinned, MediaPipe's threads of two processes fight and both take twice the time."""


class Faults(Settings):
    """What happens to a video that takes its worker down."""

    attempts: int = Field(default=2, ge=1, le=10)
    """A pair that ended its worker so often is quarantined as crashed."""
    seconds_per_pair: float = Field(default=1200.0, gt=0)
    """A worker that holds one pair longer is ended. Two halves of 3600 frames take 80 s at 512 pixels and 570 s in 4K; twice that."""


class CurateRecipe(Settings):
    """Everything that decides a curation."""

    caption: str = "3d1t"
    """For pairs without one: the constant token that the released LoRA was trained with and must be prompted with."""
    media: MediaLimits = MediaLimits()
    landmarks: LandmarkSettings = LandmarkSettings()
    verdict: VerdictSettings = VerdictSettings()
    puppet: PuppetSettings = PuppetSettings()
    generate: GenerateSettings | None = None
    """Pairs made by diffusion models, in the place of puppets."""
    resources: Resources = Resources()
    faults: Faults = Faults()

    def measuring(self) -> dict[str, Any]:
        """The settings that a measurement depends on; when one changes, videos are measured again."""
        judged = {name: value for name, value in self.media.model_dump().items() if name not in _OF_THE_PROCESS}
        rooms = {"media": judged, "landmarks": self.landmarks.model_dump()}
        return {f"{room}.{name}": value for room, settings in rooms.items() for name, value in settings.items()}

    def result_fingerprint(self) -> str:
        """Changes when a verdict might: measuring and judging, not resources."""
        parts = Settings.fingerprint(self.landmarks), Settings.fingerprint(self.verdict), Settings.fingerprint(self.media)
        return "-".join(part[:6] for part in parts)
