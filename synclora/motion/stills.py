"""MediaPipe on a still picture: faces, and the person's outline.

faces = still_faces(picture)          # each (478, 3) in pixels
matte = person_matte(picture)         # (height, width), 0..1

with Stills() as stills:              # for many pictures: faces in 3 to 7 ms instead of 65 and more with new graphs
    faces, second = stills.faces(picture), stills.second_face(picture)
"""

import math
from itertools import product
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synclora.motion.landmarks import Floats, Picture, quiet
from synclora.motion.signals import FACE_FRAME

_EAR, _OTHER_EAR = FACE_FRAME.index(234), FACE_FRAME.index(454)
_PERSON = 0.8  # of the face detector, as in landmarks.py: in 65 portraits faces had .86 and more, a hand and a shirt up to .53

_APART = 0.75  # widths of the wider one between the middles of two faces: nearer, they are one, seen in the whole and in a part


class Stills:
    """Holds MediaPipe's graphs for still pictures, which know nothing of the picture before. About 90 MB; not thread-safe."""

    def __init__(self, confidence: float = 0.5) -> None:
        with quiet():
            from mediapipe import solutions

            self._mesh = solutions.face_mesh.FaceMesh(
                static_image_mode=True, refine_landmarks=True, max_num_faces=2, min_detection_confidence=confidence
            )
            self._detection = solutions.face_detection.FaceDetection
        self._counter: Any = None

    def __enter__(self) -> "Stills":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Free the graphs."""
        for graph in (self._mesh, self._counter):
            if graph:
                graph.close()

    def faces(self, picture: Picture) -> list[Floats]:
        """Up to two faces, each (478, 3): x and y in pixels, z in the scale of x, growing away from the camera."""
        with quiet():
            found = self._mesh.process(picture).multi_face_landmarks or []
        height, width = picture.shape[:2]
        return [np.array([(p.x * width, p.y * height, p.z * width) for p in face.landmark], np.float32) for face in found]

    def second_face(self, picture: Picture) -> float:
        """Width of a second face over the first one's, counting sure ones alone; 0 if there is none.

        Looked for in the picture's parts as well: the detector sees at 128 pixels, and smaller faces are less sure in the whole. Of 93 pictures
        with a second face laid in, the whole alone told 57, with its parts 75; 66 pictures of one person had none. Takes 9 ms.
        """
        height, width = picture.shape[:2]
        found = self._sure(picture, 0, 0)
        for top, left in product((0, height // 4, height // 2), (0, width // 4, width // 2)):
            part = np.ascontiguousarray(picture[top : top + height // 2, left : left + width // 2])
            found += self._sure(part, left, top)
        if not found:
            return 0.0
        x, y, first = found[0]
        others = [one for centre_x, centre_y, one in found if math.hypot(centre_x - x, centre_y - y) > _APART * max(first, one)]
        return max(others, default=0.0) / first

    def _sure(self, picture: Picture, left: int, top: int) -> list[tuple[float, float, float]]:
        """Faces that are surely some: middle x and y and width, in pixels, the widest first."""
        with quiet():
            self._counter = self._counter or self._detection(model_selection=0)
            found = [one for one in self._counter.process(picture).detections or [] if one.score[0] >= _PERSON]
        boxes = [one.location_data.relative_bounding_box for one in found]
        height, width = picture.shape[:2]
        places = [(left + (b.xmin + b.width / 2) * width, top + (b.ymin + b.height / 2) * height, b.width * width) for b in boxes]
        return sorted(places, key=lambda place: place[2], reverse=True)


def still_faces(picture: Picture, confidence: float = 0.5) -> list[Floats]:
    """The faces of one picture, see `Stills.faces`."""
    with Stills(confidence) as stills:
        return stills.faces(picture)


def face_width(face_kc: NDArray[np.floating[Any]]) -> float:
    """From ear to ear, of the points FACE_FRAME (11, 2)."""
    return float(np.linalg.norm(face_kc[_EAR] - face_kc[_OTHER_EAR]))


def face_distance(face_kc: NDArray[np.floating[Any]], still_kc: NDArray[np.floating[Any]]) -> float:
    """Mean distance of the points FACE_FRAME (11, 2), in pixels, in widths of the second face: a shift, a scale and a turned head count
    alike."""
    return float(np.linalg.norm(face_kc - still_kc, axis=-1).mean()) / max(1.0, face_width(still_kc))


def person_matte(picture: Picture) -> Floats:
    """How surely each pixel belongs to a person: (height, width) in 0..1."""
    with quiet():
        import mediapipe as mp

        with mp.solutions.selfie_segmentation.SelfieSegmentation(model_selection=0) as segmenter:
            return np.asarray(segmenter.process(picture).segmentation_mask, np.float32)
