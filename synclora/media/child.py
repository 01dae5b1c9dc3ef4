"""The confined process that opens videos: `python -m synclora.media.child LIMITS_JSON`, started by `Decoder`.

Before it sees a file it gives up what a decoder never needs: memory beyond a bound, writing files, many descriptors.
Each line of its input is one request: {"ask": "frames" | "probe" | "sound", "path": ..., ...}.
"""

import contextlib
import json
import os
import resource
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import av

from synclora.errors import MediaError, Reason
from synclora.media import sound, wire
from synclora.media.picture import Shaper
from synclora.media.reader import Video

if TYPE_CHECKING:
    from synclora.media.settings import MediaLimits

OPEN_FILES = 32  # standard streams, the reply pipe, the video; Python needs a few for late imports


def main() -> None:
    """Serve requests until the input ends."""
    limits = cast("MediaLimits", SimpleNamespace(**json.loads(sys.argv[1])))
    replies = os.dup(1)
    os.dup2(2, 1)  # nothing that prints can disturb the replies
    confine(limits)
    av.logging.set_level(av.logging.PANIC)
    for line in sys.stdin.buffer:
        allow_cpu(limits.cpu_seconds)
        with contextlib.suppress(BrokenPipeError):
            answer(replies, json.loads(line), limits)


def confine(limits: "MediaLimits") -> None:
    """Resource limits that this process cannot lift again."""
    memory = limits.memory_mb * 1024**2
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def allow_cpu(seconds: int) -> None:
    """Time for one more video; beyond it the kernel ends the process with SIGXCPU."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + seconds + 1, hard))


def answer(replies: int, request: dict[str, Any], limits: "MediaLimits") -> None:
    """Reply to one request; every failure but the process's death is a reply too."""
    try:
        {"frames": send_frames, "probe": send_info, "sound": send_sound}[request["ask"]](replies, request, limits)
        wire.send(replies, wire.DONE)
    except BrokenPipeError:
        raise
    except MediaError as error:
        wire.send_json(replies, wire.ERROR, {"reason": error.reason, "detail": error.detail})
    except MemoryError:
        detail = f"decoding it needs more than memory_mb = {limits.memory_mb}"
        wire.send_json(replies, wire.ERROR, {"reason": Reason.TOO_LARGE, "detail": detail})
    except Exception as error:  # a surprise is the input's failure too: the next video must not suffer
        detail = f"{type(error).__name__}: {' '.join(str(error).split())}"
        wire.send_json(replies, wire.ERROR, {"reason": Reason.CRASHED, "detail": detail})


def send_info(replies: int, request: dict[str, Any], limits: "MediaLimits") -> None:
    """What the header, the timestamps and the first frame tell."""
    with Video(request["path"], limits) as video:
        first, _ = next(video.frames())
        wire.send_json(replies, wire.INFO, {"info": video.info(first).to_json()})


def send_frames(replies: int, request: dict[str, Any], limits: "MediaLimits") -> None:
    """The same, then every frame."""
    with Video(request["path"], limits) as video:
        shaper = None
        for frame, times_shown in video.frames():
            if shaper is None:
                info = video.info(frame)
                shaper = Shaper(info.width, info.height, info.rotation, request["half"], request["side"])
                shape = {"width": shaper.width, "height": shaper.height}
                wire.send_json(replies, wire.INFO, {"info": info.to_json(), **shape})
            rows = shaper.rows(frame) if times_shown else []
            for _ in range(times_shown):
                wire.send(replies, wire.FRAME, rows)


def send_sound(replies: int, request: dict[str, Any], limits: "MediaLimits") -> None:
    """The sound track alone, as an MP4, after the time of its first sample."""
    path, start = request["path"], request["start"]
    found = sound.whole(path, limits) if start is None else sound.extract(path, limits, start, limits.max_seconds)
    wire.send_json(replies, wire.INFO, {"start": str(found.start)})
    wire.send(replies, wire.BLOB, [found.mp4])


if __name__ == "__main__":
    main()
