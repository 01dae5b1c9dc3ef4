"""The one vocabulary of what can go wrong, shared by manifest rows, HTTP answers, metrics labels and the documentation.

A failure is data: code that meets one raises `MediaError` (or returns a `Reason`), the caller writes it to the row. The
value of a reason is what users see and filter by, so a value never changes its meaning.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why an input was not kept. Reasons of the file, the pair and the person quarantine it; those of the verdict reject it, and so does an
    edited half that lost the face of a source that shows one."""

    # The file
    MISSING = "missing"
    UNREADABLE = "unreadable"
    OUTSIDE_INPUT = "outside_input"
    EMPTY_FILE = "empty_file"
    UNKNOWN_CONTAINER = "unknown_container"
    BROKEN_MEDIA = "broken_media"
    NO_VIDEO_STREAM = "no_video_stream"
    TOO_MANY_STREAMS = "too_many_streams"
    TOO_LARGE = "too_large"
    TOO_LONG = "too_long"
    TOO_SHORT = "too_short"
    FRAME_RATE = "frame_rate"
    PICTURE_SIZE = "picture_size"
    TIMED_OUT = "timed_out"
    CRASHED = "crashed"
    # The pair
    BAD_ROW = "bad_row"
    MISSING_HALF = "missing_half"
    DUPLICATE = "duplicate"
    LENGTH_MISMATCH = "length_mismatch"
    FPS_MISMATCH = "fps_mismatch"
    NOT_FINITE = "not_finite"
    # The person
    NO_FACE = "no_face"
    TWO_FACES = "two_faces"
    FACE_LOST = "face_lost"
    # The verdict
    NO_EVIDENCE = "no_evidence"
    NO_EDIT = "no_edit"
    EDIT_FADES = "edit_fades"
    MISALIGNED = "misaligned"
    LATE = "late"
    SPEECH = "speech"
    GAZE = "gaze"
    BLINK = "blink"
    POSE = "pose"
    SYNC = "sync"
    NOT_BEST = "not_best"
    # The edit and the service
    BAD_REQUEST = "bad_request"
    UNKNOWN_ADAPTER = "unknown_adapter"
    BAD_ADAPTER = "bad_adapter"
    NO_CONSENT = "no_consent"
    UNAUTHORIZED = "unauthorized"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    KEY_LIMIT = "key_limit"
    QUEUE_FULL = "queue_full"
    DEADLINE = "deadline"
    NO_SPACE = "no_space"
    OUT_OF_MEMORY = "out_of_memory"
    UNAVAILABLE = "unavailable"


class SyncLoraError(Exception):
    """An error for the user: one line that names the value and the remedy."""


class MediaError(SyncLoraError):
    """One input cannot be used.

    Attributes:
        reason: the word for the manifest.
        detail: what was found, with the value and the limit it broke.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type["MediaError"], tuple[Reason, str]]:
        return MediaError, (self.reason, self.detail)


_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
"""What CUDA, torch's allocator on Linux, and others say."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory did not suffice, of the machine or of its card."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _OUT_OF_MEMORY)
