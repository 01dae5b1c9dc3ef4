"""MediaPipe on a still picture: faces, and the person's outline.

faces = still_faces(picture)          # each (478, 3) in pixels
matte = person_matte(picture)         # (height, width), 0..1
"""

import numpy as np

from synclora.motion.landmarks import Floats, Picture, quiet


def still_faces(picture: Picture, confidence: float = 0.5) -> list[Floats]:
    """Up to two faces, each (478, 3): x and y in pixels, z in the scale of x, growing away from the camera."""
    with quiet():
        import mediapipe as mp

        with mp.solutions.face_mesh.FaceMesh(
            static_image_mode=True, refine_landmarks=True, max_num_faces=2, min_detection_confidence=confidence
        ) as mesh:
            found = mesh.process(picture).multi_face_landmarks or []
    height, width = picture.shape[:2]
    return [np.array([(p.x * width, p.y * height, p.z * width) for p in face.landmark], np.float32) for face in found]


def person_matte(picture: Picture) -> Floats:
    """How surely each pixel belongs to a person: (height, width) in 0..1."""
    with quiet():
        import mediapipe as mp

        with mp.solutions.selfie_segmentation.SelfieSegmentation(model_selection=0) as segmenter:
            return np.asarray(segmenter.process(picture).segmentation_mask, np.float32)
