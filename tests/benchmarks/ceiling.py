"""The ceiling: one process pinned to one core, running only MediaPipe on frames that are already in memory.

    python -m tests.benchmarks.ceiling CORE START_FILE PLAN VIDEO [VIDEO …]

PLAN "ours" is the plan of `Landmarker`; "plain" is what one would write first: face mesh and pose on every frame, one look each. Prints the
number of frames and the seconds they took, measured after all processes are ready (START_FILE appears).
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np


def plain_plan() -> Callable[[Sequence[np.ndarray], float], None]:
    import mediapipe as mp

    face = mp.solutions.face_mesh.FaceMesh(max_num_faces=2, refine_landmarks=True)
    body = mp.solutions.pose.Pose(model_complexity=1)

    def track(frames: Sequence[np.ndarray], fps: float) -> None:
        face.reset()
        body.reset()
        for frame in frames:
            face.process(frame)
            body.process(frame)

    return track


def our_plan() -> Callable[[Sequence[np.ndarray], float], None]:
    from synclora.motion.landmarks import Landmarker
    from synclora.motion.settings import LandmarkSettings

    landmarker = Landmarker(LandmarkSettings())
    return lambda frames, fps: landmarker.track(frames, fps, len(frames)) and None


def main() -> None:
    core, start, plan, *videos = sys.argv[1:]
    os.sched_setaffinity(0, {int(core)})
    from synclora.media.decode import Decoder

    with Decoder() as decoder:
        clips = [(list(frames), float(frames.info.fps)) for frames in map(decoder.frames, videos)]
    track = our_plan() if plan == "ours" else plain_plan()
    track(clips[0][0][:30], clips[0][1])
    Path(f"{start}.{core}").touch()
    while not Path(start).exists():
        time.sleep(0.01)
    began = time.perf_counter()
    for frames, fps in clips:
        track(frames, fps)
    print(sum(len(frames) for frames, _ in clips), time.perf_counter() - began)


if __name__ == "__main__":
    main()
