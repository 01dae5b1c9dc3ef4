"""MediaPipe, and nothing else: frames to face-mesh and pose landmarks, with a second look in the mirror.

    with Landmarker(LandmarkSettings()) as landmarker:
        landmarks = landmarker.track(frames, fps=25.0)

The second look is what makes noise measurable. The picture is mirrored, measured by a tracker of its own, and its landmarks are
mirrored back: whatever the two looks disagree on is the tracker's error, not the person's movement. The face is cheap and looked at
twice in every frame. The body is expensive, so its two looks take turns on the time line (look 0 at steps 0, 2, 4, …, look 1 at steps
1, 3, 5, …) and together cost one.

Shapes: t frames, k landmarks (478 face, 33 body), c coordinates: x and y in units of the picture's width and height, for the body
also MediaPipe's visibility. NaN where nothing was found or looked at.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from synclora.motion.settings import LandmarkSettings

Floats = NDArray[np.float32]
Picture = NDArray[np.uint8]

FACE_POINTS = 478
BODY_POINTS = 33
_PERSON = 0.8  # the face detector's confidence: real faces had .85 and more, shirts and flames up to .75
_NO_FACE = np.full((FACE_POINTS, 2), np.nan, np.float32)
_NO_BODY = np.full((BODY_POINTS, 3), np.nan, np.float32)

# Twins under mirroring, of the landmarks that synclora.motion.signals reads (MediaPipe face mesh topology).
_FACE_TWINS = (
    *((61, 291), (33, 263), (133, 362), (160, 387), (158, 385), (153, 380), (144, 373), (234, 454), (468, 473)),
    *((159, 386), (145, 374), (78, 308), (127, 356)),
)
_BODY_TWINS = (*((1, 4), (2, 5), (3, 6)), *((left, left + 1) for left in range(7, 33, 2)))


def _mirror_order(points: int, twins: Iterable[tuple[int, int]]) -> NDArray[np.intp]:
    order = np.arange(points)
    for left, right in twins:
        order[[left, right]] = right, left
    return order


_FACE_ORDER = _mirror_order(FACE_POINTS, _FACE_TWINS)
_BODY_ORDER = _mirror_order(BODY_POINTS, _BODY_TWINS)


@contextmanager
def quiet() -> Iterator[None]:
    """MediaPipe's C++ logs to file descriptor 2 whatever the log level; a user should see only our own lines."""
    saved = os.dup(2)
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(sink)
        os.close(saved)


@dataclass(frozen=True)
class Landmarks:
    """One video's landmarks.

    Attributes:
        face_tkc: (t, 478, 2), every frame.
        face_again_tkc: (t, 478, 2), the mirror's look, every frame.
        body_tkc: (2, t, 33, 3), the two looks, each on its own frames only; the third coordinate is visibility.
        body_look_t: (t,) int8, which of the two looks at the body was due on a frame, -1 for neither.
        second_face: width of a second face over the first one's, median over the frames that were counted; 0 if none. A detector
            sees faces in flames and curtains now and then; a person stays.
        width: picture width in pixels.
        height: picture height in pixels.
    """

    face_tkc: Floats
    face_again_tkc: Floats
    body_tkc: Floats
    body_look_t: NDArray[np.int8]
    second_face: float
    width: int
    height: int


class Landmarker:
    """Holds the MediaPipe graphs: build once per worker, use for many videos. About 500 MB; not thread-safe."""

    def __init__(self, settings: LandmarkSettings) -> None:
        self.settings = settings
        with quiet():
            import mediapipe as mp

            solutions = mp.solutions
            confidence = {
                "min_detection_confidence": settings.min_detection_confidence,
                "min_tracking_confidence": settings.min_tracking_confidence,
            }
            self._faces = [
                solutions.face_mesh.FaceMesh(max_num_faces=1, refine_landmarks=True, **confidence) for _look in range(2)
            ]
            self._bodies = [solutions.pose.Pose(model_complexity=1, **confidence) for _look in range(2)]
            self._counter = solutions.face_detection.FaceDetection(model_selection=0)

    def __enter__(self) -> "Landmarker":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Free the graphs."""
        for graph in (*self._faces, *self._bodies, self._counter):
            graph.close()

    def track(self, frames: Iterable[Picture], fps: float, expected: int = 0) -> Landmarks:
        """Measure one video, frame by frame; no frame is held.

        Args:
            frames: (height, width, 3) uint8 RGB, all of one size.
            fps: frames per second, which turns the settings' seconds into frames.
            expected: the number of frames, if known: spreads the frames on which faces are counted.

        Raises:
            ValueError: there is no frame.
        """
        with quiet():
            for graph in (*self._faces, *self._bodies):
                graph.reset()  # trackers carry the last video's person over otherwise
            return self._track(iter(frames), fps, expected)

    def _track(self, frames: Iterator[Picture], fps: float, expected: int) -> Landmarks:
        pose_step = max(1, round(self.settings.pose_step_s * fps))
        count_step = max(1, (expected or round(4 * fps)) // self.settings.face_count_looks)
        face: list[Floats] = []
        face_again: list[Floats] = []
        bodies: tuple[list[Floats], list[Floats]] = ([], [])
        looks: list[int] = []
        second_faces: list[float] = []
        height = width = 0
        for index, frame in enumerate(frames):
            height, width = frame.shape[:2]
            look = (index // pose_step) % 2 if index % pose_step == 0 else -1
            mirror = np.asarray(cv2.flip(frame, 1), np.uint8)  # ten times faster than a negative stride
            face.append(_face(self._faces[0], frame))
            face_again.append(_unmirror(_face(self._faces[1], mirror), _FACE_ORDER))
            bodies[0].append(_body(self._bodies[0], frame) if look == 0 else _NO_BODY)
            bodies[1].append(_unmirror(_body(self._bodies[1], mirror), _BODY_ORDER) if look == 1 else _NO_BODY)
            looks.append(look)
            if index % count_step == 0:
                second_faces.append(_second_face(self._counter, frame))
        if not face:
            raise ValueError("no frame to track")
        return Landmarks(
            np.stack(face),
            np.stack(face_again),
            np.stack([np.stack(body) for body in bodies]),
            np.array(looks, np.int8),
            float(np.median(second_faces)),
            width,
            height,
        )


def _face(graph: Any, frame: Picture) -> Floats:
    found = graph.process(frame).multi_face_landmarks
    return np.array([(p.x, p.y) for p in found[0].landmark], np.float32) if found else _NO_FACE


def _body(graph: Any, frame: Picture) -> Floats:
    found = graph.process(frame).pose_landmarks
    return np.array([(p.x, p.y, p.visibility) for p in found.landmark], np.float32) if found else _NO_BODY


def _second_face(counter: Any, frame: Picture) -> float:
    found = [d for d in counter.process(frame).detections or [] if d.score[0] >= _PERSON]
    widths = sorted((d.location_data.relative_bounding_box.width for d in found), reverse=True)
    return float(widths[1] / widths[0]) if len(widths) > 1 else 0.0


def _unmirror(points_kc: Floats, order: NDArray[np.intp]) -> Floats:
    back = points_kc[order].copy()
    back[:, 0] = 1.0 - back[:, 0]
    return back
