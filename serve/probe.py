"""Opens what was uploaded, before a job is made of it: the source in a confined child, the pictures beside it, a few at a time.

probe = Probe(settings)
info = await probe.source(path)         # frames, rate, size; or the MediaError that says what is wrong with it
await probe.picture(path)
probe.close()
"""

import threading
from pathlib import Path

import anyio

from serve.settings import ServiceSettings
from synclora.errors import MediaError
from synclora.media.decode import Decoder
from synclora.media.images import read_picture
from synclora.media.probe import VideoInfo

SECONDS = 30  # reading 3600 timestamps and one frame takes well below one
PICTURE_SIDE = 1024  # decoded whole, and made small at once


class Probe:
    """A bounded number of decoders. Each child is one video's at a time."""

    def __init__(self, settings: ServiceSettings) -> None:
        most = {
            "wall_seconds": min(SECONDS, settings.media.wall_seconds),
            "cpu_seconds": min(SECONDS, settings.media.cpu_seconds),
        }
        self._limits = settings.media.model_copy(update=most)
        self._places = anyio.CapacityLimiter(settings.probes)
        self._idle: list[Decoder] = []
        self._lock = threading.Lock()

    async def source(self, path: Path) -> VideoInfo:
        """The facts of a video.

        Raises:
            MediaError: it cannot be used.
        """
        return await anyio.to_thread.run_sync(self._look, path, limiter=self._places)

    async def picture(self, path: Path, name: str) -> None:
        """Decode a picture and forget it.

        Raises:
            MediaError: it cannot be used; `name` says which.
        """
        try:
            await anyio.to_thread.run_sync(read_picture, path, PICTURE_SIDE, limiter=self._places)
        except MediaError as error:
            raise MediaError(error.reason, f"{name}: {error.detail}") from error

    def close(self) -> None:
        """End the children."""
        with self._lock:
            idle, self._idle = self._idle, []
        for decoder in idle:
            decoder.close()

    def _look(self, path: Path) -> VideoInfo:
        with self._lock:
            decoder = self._idle.pop() if self._idle else Decoder(self._limits)
        try:
            return decoder.probe(path)
        except MediaError as error:
            raise MediaError(error.reason, f"source: {error.detail}") from error
        finally:
            with self._lock:
                self._idle.append(decoder)
