"""Where a latent cell lies, in seconds and pixels: one rule for training and editing, for the source and the target alike.

The autoencoders are causal in time: latent frame 0 holds one video frame, every later one holds `stride_t`. So latent frame f covers the
video frames [8f - 7, 8f + 1), cut at 0, for a stride of 8. Lightricks' first trainer put it at 8f and its sampler at 8f - 7; here there is
only this function, the rule of both samplers and of LTX-2's trainer. Time is in seconds: 16 and 25 frames per second are not the same motion.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Grid:
    """The latent cells of one clip.

    Attributes:
        frames: latent frames.
        height: latent rows.
        width: latent columns.
        fps: video frames per second.
        stride_t: video frames per latent frame, the first one excepted.
        stride_s: pixels per latent row and column.
    """

    frames: int
    height: int
    width: int
    fps: float
    stride_t: int = 8
    stride_s: int = 32

    def __post_init__(self) -> None:
        if not self.fps > 0:
            raise ValueError(f"fps = {self.fps}: positions are in seconds, give the clip's frames per second")

    @property
    def tokens(self) -> int:
        """Tokens of one stream: every cell is one."""
        return self.frames * self.height * self.width

    @property
    def frame_tokens(self) -> int:
        """Tokens of one latent frame; the first so many are the first frame's."""
        return self.height * self.width

    @property
    def video_frames(self) -> int:
        """Frames of the video that the cells stand for."""
        return (self.frames - 1) * self.stride_t + 1

    @classmethod
    def of_video(cls, frames: int, height: int, width: int, fps: float, stride_t: int = 8, stride_s: int = 32) -> "Grid":
        """The cells of a video of so many frames and pixels.

        Raises:
            ValueError: frames are not 8k + 1, or a side is no multiple of the stride.
        """
        if frames < 1 or (frames - 1) % stride_t or height % stride_s or width % stride_s or not height or not width:
            raise ValueError(
                f"{width}x{height}, {frames} frames: sides must be multiples of {stride_s} and frames {stride_t}k + 1"
            )
        return cls((frames - 1) // stride_t + 1, height // stride_s, width // stride_s, fps, stride_t, stride_s)

    def bounds_anz(self, device: torch.device | str | None = None) -> Tensor:
        """Start and end of every cell: (3, n, 2) float32, time in seconds, row and column in pixels."""
        edges = torch.arange(self.frames + 1, dtype=torch.float32, device=device)
        seconds = (edges * self.stride_t + 1 - self.stride_t).clamp(min=0) / self.fps
        return self._boxes_anz(seconds)

    def picture_bounds_anz(self, frame: int, device: torch.device | str | None = None) -> Tensor:
        """The same for one picture in the place of a video frame, as latent frame 0 is in the place of the first: (3, frame tokens, 2)."""
        return self._boxes_anz(torch.tensor([frame, frame + 1], dtype=torch.float32, device=device) / self.fps)

    def _boxes_anz(self, seconds: Tensor) -> Tensor:
        rows, columns = (
            torch.arange(cells + 1, dtype=torch.float32, device=seconds.device) * self.stride_s
            for cells in (self.height, self.width)
        )
        edges = [
            torch.stack(torch.meshgrid(seconds[i], rows[j], columns[k], indexing="ij")).flatten(1)
            for i, j, k in ((slice(None, -1),) * 3, (slice(1, None),) * 3)
        ]
        return torch.stack(edges, dim=-1)
