"""The loop that one would write first: decode, resize, encode, save. One process, pinned to one core.

    python -m tests.benchmarks.plain_encode CORE START_FILE OUT BUCKET VIDEO [VIDEO …]

No ids, no checks, no decoder of its own process, no flush to the disk. Prints the number of frames and the seconds they took, measured after all
processes are ready (START_FILE appears).
"""

import os
import sys
import time
from itertools import islice
from pathlib import Path


def main() -> None:
    core, start, out, shape, *videos = sys.argv[1:]
    os.sched_setaffinity(0, {int(core)})
    import av
    import cv2
    import numpy as np
    import torch
    from safetensors.torch import save_file

    from synclora.backbone.find import find_backbone

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    width, height, count = map(int, shape.split("x"))
    codec = find_backbone("tiny:ltx-video").codec(torch.float32, "cpu")

    def encode(video: str) -> None:
        with av.open(video) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in islice(container.decode(video=0), count)]
        pixels_thwc = np.stack([cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in frames])
        video_bcfyx = torch.from_numpy(pixels_thwc).permute(3, 0, 1, 2)[None].float().div_(127.5).sub_(1)
        save_file(
            {"latents": codec.encode(video_bcfyx)[0]}, Path(out) / f"{Path(video).parent.name}-{Path(video).stem}.safetensors"
        )

    encode(videos[0])
    Path(f"{start}.{core}").touch()
    while not Path(start).exists():
        time.sleep(0.01)
    began = time.perf_counter()
    for video in videos:
        encode(video)
    print(len(videos) * count, time.perf_counter() - began)


if __name__ == "__main__":
    main()
