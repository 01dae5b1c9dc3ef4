"""What a video may be. A recipe nests these under its own name, e.g. `media: {max_seconds: 60}`."""

from pydantic import Field

from synclora.settings import Settings


class MediaLimits(Settings):
    """Limits on one video and on the process that opens it. Breaking one quarantines the video with its reason."""

    max_bytes: int = Field(
        default=2 * 1024**3, gt=0
    )  # 120 s of 4K phone video at 100 Mbit/s is 1.5 GiB; more is no portrait clip
    max_seconds: float = Field(default=120.0, gt=0)  # beyond this, landmarks of one clip no longer fit one task's time
    min_frames: int = Field(default=9, ge=1)  # one latent step of the video autoencoders is 8 frames, plus the first
    max_frames: int = Field(default=3600, ge=1)  # 120 s at 30 fps, 60 s at 60 fps
    min_side: int = Field(default=64, ge=16)  # pixels; smaller than this a face mesh has nothing to hold on to
    max_side: int = Field(default=4096, ge=16)  # pixels; DCI 4K. Bounds the decoder's memory together with `memory_mb`
    min_fps: float = Field(default=7.5, gt=0)  # a blink lasts 0.1 to 0.4 s: at 5 fps it falls between frames, at 8 it leaves one
    max_fps: float = Field(default=120.0, gt=0)  # faster is slow motion: its seconds are not the performance's seconds
    max_streams: int = Field(
        default=8, ge=1
    )  # a camera writes video, two sound tracks, subtitles, telemetry; a bomb writes thousands
    analysis_side: int = Field(default=640, ge=64)  # pixels; longest side of the analysed picture, the landmarkers see 192 to 256
    wall_seconds: float = Field(
        default=90.0, gt=0
    )  # waiting for the child, per video; 120 s of 4K decode in about 80 s on one core
    cpu_seconds: int = Field(default=90, gt=0)  # the child's own time, per video; catches a loop even when nobody waits for it
    memory_mb: int = Field(default=2048, ge=256)  # the child's address space; 4096 x 4096 10-bit HEVC peaked at 1.5 GiB
    videos_per_child: int = Field(default=500, ge=1)  # then a fresh child: bounds what a leak in a codec can hold
