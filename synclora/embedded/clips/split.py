"""Who is trained on, who is watched while training, and who is kept for the final numbers: by identity, so that no face is on two sides.

    split_of("woman_coat")      # "held_out"

Identities are those of the portraits' MANIFEST.json. All that is not named here is for training.
"""

from typing import Literal

Split = Literal["train", "validation", "held_out"]

VALIDATION: dict[str, str] = {
    "man_selfie_glasses": "speech, three blinks (.051), thin glasses: lids behind reflections, the head almost still",
    "woman_reporter_synth": "generated; speech (.089), blinks (.091), a moving head: near to what pair generators make",
    "synth_rej1": "a picture, for puppets: dark skin, braids",
}
"""Looked at while training and while choosing settings; never trained on."""

HELD_OUT: dict[str, str] = {
    "woman_coat": "filmed by a contracted model; speech, several blinks, head tilts, glances: every cue moves; a small face",
    "man_green_screen": "the widest pure glance of all clips, a broad smile with teeth, a long blink; every edge of the iris counts",
    "mic_woman": "speech, strong glances, tilts, a microphone before the chin; nine real edits of her exist to try the adapter on",
    "flux_woman_0035": "a picture, for puppets of an unseen face: frontal, light",
    "flux_man_0177": "a picture, for puppets of an unseen face: frontal, bearded",
}
"""Touched by final numbers only. The real ones' smoothed cues (speech, blink, gaze) deviate by .133 .063 .035; .098 .043 .126;
.043 .072 .065: together they move every one, at 20 and 25 fps."""


def split_of(identity: str) -> Split:
    """On which side a person is."""
    if identity in HELD_OUT:
        return "held_out"
    return "validation" if identity in VALIDATION else "train"
