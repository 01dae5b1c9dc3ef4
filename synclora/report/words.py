"""The report's words: what each reason, part and signal means to somebody who reads no code, and how numbers are written."""

import math

from synclora.errors import Reason

EXPLANATIONS: dict[Reason, str] = {
    Reason.MISSING: "A file named in the input does not exist.",
    Reason.UNREADABLE: "The file is there, but may not be read.",
    Reason.OUTSIDE_INPUT: "The file lies outside the input folder, or a link leads out of it.",
    Reason.EMPTY_FILE: "The file has no bytes.",
    Reason.UNKNOWN_CONTAINER: "The file is no video container that we open.",
    Reason.BROKEN_MEDIA: "The video is damaged: decoding stopped before its end.",
    Reason.NO_VIDEO_STREAM: "The file holds no moving picture, for example sound alone.",
    Reason.TOO_MANY_STREAMS: "The file holds more streams than any camera writes.",
    Reason.TOO_LARGE: "The file has more bytes than the limit.",
    Reason.TOO_LONG: "The video has more seconds or frames than the limit.",
    Reason.TOO_SHORT: "The video has too few frames to compare a movement.",
    Reason.FRAME_RATE: "The frame rate is below or above what a performance needs.",
    Reason.PICTURE_SIZE: "The picture is too small for a face, too large to decode, or not of the size that a model was asked for.",
    Reason.TIMED_OUT: "The video did not finish in its time, on every try.",
    Reason.CRASHED: "The worker died on this input on every try, or met an error that no other word describes.",
    Reason.BAD_ROW: "The row of the input table, or of the prompts, cannot be used.",
    Reason.MISSING_HALF: "Only one half of the pair was found.",
    Reason.DUPLICATE: "Another input has the same name.",
    Reason.LENGTH_MISMATCH: "The halves differ in length by more than can be trimmed, or a model made more or fewer frames than asked.",
    Reason.FPS_MISMATCH: "The halves have different frame rates.",
    Reason.NOT_FINITE: "A model gave infinities, or no numbers at all, where a picture or its latents should be.",
    Reason.NO_FACE: "No face was found.",
    Reason.TWO_FACES: "A second person is in the picture.",
    Reason.FACE_LOST: "The face leaves the picture or is lost by the edit.",
    Reason.NO_EVIDENCE: "Nothing moves beyond its measuring noise, so nothing can be compared.",
    Reason.NO_EDIT: "The edit changed nothing, or too little: the edited half or portrait is a copy of the source.",
    Reason.EDIT_FADES: "The edit shows in the first frame and then goes.",
    Reason.MISALIGNED: "Source and edit do not lie on each other where they begin: face or hands stand elsewhere.",
    Reason.LATE: "The edited half moves too early or too late, in all or in part.",
    Reason.SPEECH: "The mouths do not open together.",
    Reason.GAZE: "The eyes do not look the same way together.",
    Reason.BLINK: "The lids do not close together.",
    Reason.POSE: "Head, shoulders or arms do not move together.",
    Reason.SYNC: "Each cue passes, but their mean is too low.",
    Reason.NOT_BEST: "The pair passes every check, but others score better.",
    Reason.BAD_REQUEST: "The request holds a value that cannot be used.",
    Reason.UNKNOWN_ADAPTER: "There is no adapter of this name.",
    Reason.BAD_ADAPTER: "The adapter's file is damaged, or made for another model.",
    Reason.NO_CONSENT: "Nobody said that the people shown agree to the edit.",
    Reason.UNAUTHORIZED: "The request carries no key that is known here.",
    Reason.NOT_FOUND: "There is no such edit, or it belongs to another key.",
    Reason.CONFLICT: "The request contradicts what is there: a key of repetition used for something else, or an edit that has no video.",
    Reason.KEY_LIMIT: "This key has as many edits under way, or has asked as often, as it may.",
    Reason.QUEUE_FULL: "As many edits are waiting as the service takes.",
    Reason.DEADLINE: "The edit did not finish in the time that an edit has.",
    Reason.NO_SPACE: "The disk of the service is full.",
    Reason.UNAVAILABLE: "The service cannot reach its job table just now; asking again helps.",
    Reason.OUT_OF_MEMORY: "The work does not fit the memory of the machine or its card, even alone.",
}
"""One plain sentence per reason."""

PART_WORDS = {
    "mouth": "mouth",
    "iris": "iris",
    "lids": "lids",
    "head": "head",
    "shoulders": "shoulders",
    "left_arm": "left arm",
    "right_arm": "right arm",
}

SIGNAL_WORDS = {
    "speech": "lip gap over mouth width",
    "gaze": "iris offset over eye width",
    "blink": "closing of the lids",
    "head_yaw": "head, turn",
    "head_pitch": "head, nod",
    "head_roll": "head, tilt",
    "shoulders_roll": "shoulders, tilt",
    "left_elbow": "left elbow, angle",
    "left_wrist_x": "left wrist, sideways",
    "left_wrist_y": "left wrist, height",
    "right_elbow": "right elbow, angle",
    "right_wrist_x": "right wrist, sideways",
    "right_wrist_y": "right wrist, height",
}

DASH = "–"

RANDOM_WEIGHTS = "Random weights: this proves the plumbing, not a picture"


def explain(reason: str | None) -> str:
    """The sentence for a reason of a row; "" for one that this version does not know."""
    return EXPLANATIONS[Reason(reason)] if reason in set(Reason) else ""


def number(value: float | None, digits: int = 2, *, sign: bool = False) -> str:
    """A number for people: fixed digits, a true minus, a dash where there is none, never a minus zero."""
    if value is None or value != value:
        return DASH
    rounded = round(value, digits) + 0.0
    text = f"{rounded:{'+' if sign and rounded else ''}.{digits}f}"
    return text.replace("-", "−")


def short(value: float | None) -> str:
    """A number of any size in three digits, for axes and readouts: 0.0123, 1.5, 24 577, 2e−5; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return DASH
    if abs(value) >= 999.5:
        return count(round(value)).replace("-", "−")
    return f"{value + 0.0:.3g}".replace("e-0", "e-").replace("-", "−")


def count(value: int) -> str:
    """A count with thin thousands: 24 577."""
    return f"{value:,}".replace(",", "\u202f")


def share(part: int, whole: int) -> str:
    """A percentage: one digit below ten, so that 2.1 % stays 2.1 %."""
    percent = 100 * part / whole if whole else 0.0
    return f"{percent:.1f}\u202f%" if 0 < percent < 10 else f"{percent:.0f}\u202f%"
