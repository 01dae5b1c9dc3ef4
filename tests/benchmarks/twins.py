"""Photometric edits: pictures change, motion does not. Each is a pure function of one frame, or of all for the re-encoding."""

import io
from collections.abc import Callable, Sequence

import av
import cv2
import numpy as np

Picture = np.ndarray


def recolour(frame: Picture) -> Picture:
    hsv = cv2.cvtColor(frame, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(int) + 60) % 180
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def relight(frame: Picture) -> Picture:
    ramp = np.linspace(0.5, 1.4, frame.shape[1])[None, :, None]
    return np.clip(frame * ramp + 8, 0, 255).astype(np.uint8)


def dark_blur(frame: Picture) -> Picture:
    return cv2.GaussianBlur((frame * 0.6).astype(np.uint8), (0, 0), 1.5)


def overlay(frame: Picture) -> Picture:
    frame, (height, width) = frame.copy(), frame.shape[:2]
    cv2.rectangle(frame, (0, 0), (width, int(height * 0.08)), (200, 30, 30), -1)
    cv2.circle(frame, (int(width * 0.9), int(height * 0.9)), int(height * 0.08), (240, 240, 20), -1)
    return frame


def half_size_grey(frame: Picture) -> Picture:
    height, width = frame.shape[:2]
    small = cv2.resize(frame, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def reencode(frames: Sequence[Picture]) -> list[Picture]:
    """H.264 at CRF 32: visibly blocky."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "32"})
        stream.height, stream.width = (side // 2 * 2 for side in frames[0].shape[:2])
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            picture = np.ascontiguousarray(frame[: stream.height, : stream.width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def _each(edit: Callable[[Picture], Picture]) -> Callable[[Sequence[Picture]], list[Picture]]:
    return lambda frames: [edit(frame) for frame in frames]


EDITS: dict[str, Callable[[Sequence[Picture]], list[Picture]]] = {
    "recolour": _each(recolour),
    "relight": _each(relight),
    "dark and blurred": _each(dark_blur),
    "overlay": _each(overlay),
    "half size, grey": _each(half_size_grey),
    "re-encoded": reencode,
}
