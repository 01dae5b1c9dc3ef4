"""What a video may be. A recipe nests these under its own name, e.g. `media: {max_seconds: 60}`."""

from pydantic import Field

from synclora.settings import Settings


class MediaLimits(Settings):
    """Limits on one video and on the process that opens it. Breaking one quarantines the video with its reason."""

    # Of the file. 120 s of 4K phone video at 100 Mbit/s is 1.5 GiB; more is no portrait clip
    max_bytes: int = Field(default=2 * 1024**3, gt=0)
    # a camera writes video, two sound tracks, subtitles, telemetry; a bomb writes thousands
    max_streams: int = Field(default=8, ge=1)

    # Of its length. Beyond two minutes the landmarks of one clip no longer fit one task's time
    max_seconds: float = Field(default=120.0, gt=0)
    # one latent step of the video autoencoders is 8 frames, plus the first
    min_frames: int = Field(default=9, ge=1)
    # 120 s at 30 fps, 60 s at 60 fps
    max_frames: int = Field(default=3600, ge=1)

    # Of its picture, in pixels. Smaller than 64, a face mesh has nothing to hold on to
    min_side: int = Field(default=64, ge=16)
    # DCI 4K; bounds the decoder's memory together with `memory_mb`
    max_side: int = Field(default=4096, ge=16)
    # longest side of the analysed picture, larger is scaled down: the landmarkers look at 192 to 256
    analysis_side: int = Field(default=640, ge=64)

    # Of its rate. A blink lasts 0.1 to 0.4 s: at 5 fps it falls between frames, at 8 it leaves a trace
    min_fps: float = Field(default=7.5, gt=0)
    # faster is slow motion, whose seconds are not the performance's seconds
    max_fps: float = Field(default=120.0, gt=0)

    # Of the child. Seconds of waiting for it, per video: 3600 frames of 4K took 67 ms each on a busy core
    wall_seconds: float = Field(default=240.0, gt=0)
    # its own computing, per video; ends a loop even when nobody waits for it
    cpu_seconds: int = Field(default=240, gt=0)
    # its address space: 4096 x 4096 H.264 with 16 references peaked at 672 MB, 10-bit 4:4:4 may take three times that
    memory_mb: int = Field(default=2048, ge=256)
    # then a fresh one (0.1 s): bounds what a leak in a codec can hold
    videos_per_child: int = Field(default=500, ge=1)
